"""Adds forensics to dead letters: the state of the worker and its queue at that time, and recent errors of the task.

Collected in the acknowledger, only for outcomes that may make dead letters, and stored with them in one statement. It
must neither fail nor delay an acknowledgement: what takes longer than half a second is left out. After the commit it
logs each failed attempt and dispatches the hooks of dead letters.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from penstock.errors import StoreError
from penstock.events import DeadLetterMade, QueueDepth
from penstock.job import Finished, OutcomeState
from penstock.store import Depth, WorkerStore

from ..execution.outcomes import INCOMPATIBLE
from ..middleware.hooks import HookDispatcher
from .line_limit import LineLimit
from .logs import fields
from .machine import machine_facts
from .metrics import WorkerMetrics

logger = logging.getLogger("penstock.attempt")

RECENT_ERRORS = 5
"""Errors of the same task that a dead letter keeps, the latest of this process."""
DEPTH_SECONDS = 5.0
"""For this long one sample of the queue serves all dead letters."""
SAMPLE_SECONDS = 0.5
REPORT_SECONDS = 15.0
"""Interval of `queue.depth` events, while a hook listens."""
_MAX_MESSAGE = 300
"""Characters of an error's message among recent errors and in a log line."""


class Forensics:
    """The forensics of one worker.

    Args:
        store: samples the queue and takes unreported dead letters.
        queue: its id and name; the id is known once the lease is.
        facts: of the process: pod, node, worker, version, running attempts, ...
        hooks: get dead letters and the depth of the queue.
        holder: identity of this process in the dead letters of its rescues.
        tasks: names of the App's tasks: errors of others are not remembered.
    """

    def __init__(
        self,
        *,
        store: WorkerStore,
        queue: Callable[[], tuple[int, str]],
        facts: Callable[[], Mapping[str, Any]],
        hooks: HookDispatcher,
        metrics: WorkerMetrics,
        tasks: Sequence[str],
        holder: str,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._queue, self._facts, self._hooks = store, queue, facts, hooks
        self._metrics, self._holder = metrics, holder
        self._clock, self._wall = clock, wall
        self._recent: dict[str, deque[dict[str, Any]]] = {name: deque(maxlen=RECENT_ERRORS) for name in tasks}
        self._limit = LineLimit()
        self._depth: Depth | None = None
        self._sampled_at = float("-inf")

    async def attach(self, batch: list[Finished]) -> list[Finished]:
        """The batch, its dead letters with forensics."""
        if not any(map(_may_die, batch)):
            return batch
        depth = await self._depth_now()
        common = {"made_by": "worker", **self._facts(), **machine_facts(), "queue": depth and depth._asdict()}
        return [self._with(outcome, common) if _may_die(outcome) else outcome for outcome in batch]

    def settled(self, batch: Sequence[Finished]) -> None:
        """These were accepted: keep their errors, log the failures, dispatch the hooks."""
        for outcome in batch:
            if outcome.error is not None:
                self._failed(outcome, msgspec.json.decode(outcome.error))

    def _incompatible(self, outcome: Finished, message: str) -> None:
        """The arguments are another release's: not an error of the task, but worth a warning."""
        job = outcome.job
        suppressed = self._limit.admit(f"{INCOMPATIBLE} {job.task}", self._clock())
        if suppressed is None:
            return
        extra = {**fields(job), "reason": outcome.reason, "error": message[:_MAX_MESSAGE]}
        extra |= {"retry_in_seconds": round(outcome.delay, 1)} | ({"suppressed": suppressed} if suppressed else {})
        logger.warning("arguments do not fit this release of the task, the job waits for another", extra=extra)

    async def rescued(self) -> None:
        """A rescue may have made dead letters: each is reported once, by one worker. Raises StoreError."""
        for letter in await self._store.take_unreported(self._holder):
            self._metrics.buried(letter.queue, letter.task)
            extra = {"job": letter.id, "attempt": letter.attempt, "queue": letter.queue, "task": letter.task}
            extra |= {"reason": letter.reason, "error_type": letter.error, "error": letter.message}
            logger.error("job became a dead letter when its claim was rescued", extra=extra)
            self._hooks.dispatch("job.dead", DeadLetterMade(**letter._asdict(), by_rescue=True))

    async def report_depth(self) -> None:
        """Dispatch the depth of the queue every 15 s, until cancelled."""
        while self._hooks.has_functions("queue.depth"):
            number, name = self._queue()
            with contextlib.suppress(StoreError):  # the claimer says what is wrong
                depth = await self._store.depth(number)
                self._hooks.dispatch("queue.depth", QueueDepth(queue=name, **depth._asdict()))
            await asyncio.sleep(REPORT_SECONDS)
        await asyncio.Event().wait()

    async def _depth_now(self) -> Depth | None:
        now = self._clock()
        if now - self._sampled_at >= DEPTH_SECONDS:
            self._sampled_at, self._depth = now, None
            try:
                async with asyncio.timeout(SAMPLE_SECONDS):
                    self._depth = await self._store.depth(self._queue()[0])
            except (StoreError, TimeoutError) as error:
                logger.debug("forensics: the queue's depth is not known: %s", error)
        return self._depth

    def _with(self, outcome: Finished, common: Mapping[str, Any]) -> Finished:
        recent = list(self._recent.get(outcome.job.task, ()))
        found = {**common, "duration_seconds": round(outcome.duration, 6), "recent_errors": recent}
        return msgspec.structs.replace(outcome, forensics=msgspec.json.encode(found).decode())

    def _failed(self, outcome: Finished, error: Mapping[str, Any]) -> None:
        job, dead = outcome.job, outcome.state is OutcomeState.FAILED
        kind, message = str(error.get("type")), str(error.get("message"))
        if outcome.state is OutcomeState.SNOOZE:
            self._incompatible(outcome, message)
            return
        if job.task in self._recent:
            at = round(self._wall(), 3)
            recent = {"at": at, "job": job.id, "attempt": job.attempt, "type": kind, "message": message[:_MAX_MESSAGE]}
            self._recent[job.task].append(recent)
        self._log_failure(outcome, kind, message)
        if dead and self._hooks.has_functions("job.dead"):
            reason = outcome.reason or "failed"
            letter = DeadLetterMade(
                id=job.id,
                queue=job.queue,
                task=job.task,
                reason=reason,
                attempt=job.attempt,
                error=kind,
                message=message,
                by_rescue=False,
            )
            self._hooks.dispatch("job.dead", letter)

    def _log_failure(self, outcome: Finished, kind: str, message: str) -> None:
        job = outcome.job
        suppressed = self._limit.admit(job.task if job.task in self._recent else None, self._clock())
        if suppressed is None:
            return
        extra = {**fields(job), "max_attempts": job.max_attempts, "outcome": outcome.state.value}
        extra |= {"reason": outcome.reason, "error_type": kind, "error": message[:_MAX_MESSAGE]}
        extra |= {"suppressed": suppressed} if suppressed else {}
        if outcome.state is OutcomeState.FAILED:
            logger.error("attempt failed, the job is a dead letter", extra=extra)
        else:
            extra["retry_in_seconds"] = round(outcome.delay, 1)
            logger.warning("attempt failed, the job will be retried", extra=extra)


def _may_die(outcome: Finished) -> bool:
    """Return True if it may make a dead letter; only the database knows how long arguments have not matched."""
    return outcome.state is OutcomeState.FAILED or outcome.reason == INCOMPATIBLE
