"""What a dead letter keeps beside its errors: how the worker and its queue were when the job died.

Gathered in the acknowledger, for the outcomes that make dead letters alone, and written with them in one statement. It
must neither fail nor hold up an acknowledgement: what cannot be had in half a second is left out. Behind the commit it
says the same to people: a log line for each failed attempt, and the hooks of dead letters.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from penstock.errors import StoreError
from penstock.events import DeadLetterMade, QueueDepth
from penstock.job import Finished, OutcomeState
from penstock.store import Depth, WorkerStore

from ..execution.outcomes import INCOMPATIBLE
from ..middleware.hooks import Announcer
from .logs import fields
from .metrics import WorkerMetrics

logger = logging.getLogger("penstock.attempt")

RECENT_ERRORS = 5
"""Errors of the same task that a dead letter keeps, the latest of this process."""
DEPTH_SECONDS = 5.0
"""For so long one look at the queue serves all dead letters."""
PATIENCE_SECONDS = 0.5
TELL_SECONDS = 15.0
"""Between two `queue.depth` events, while anybody listens."""
MOST_LINES = 10
LINES_SECONDS = 10.0
"""Log lines of failed attempts of one task within so many seconds; the next one says how many were left out."""
_LONGEST = 300
"""Characters of a message among recent errors and in a log line."""


class Forensics:
    """Of one worker.

    Args:
        store: asked for the depth of the queue.
        queue: its id and name; the id is known once the lease is.
        facts: of the process, for people: pod, node, worker, version, running, ...
        announcer: tells the hooks of dead letters.
        holder: names this process in what a rescue of its makes.
        tasks: names of the App's tasks: errors of others are not remembered.
    """

    def __init__(
        self, *, store: WorkerStore, queue: Callable[[], tuple[int, str]], facts: Callable[[], Mapping[str, Any]],
        announcer: Announcer, metrics: WorkerMetrics, tasks: Sequence[str], holder: str,
        clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._store, self._queue, self._facts, self._announcer = store, queue, facts, announcer
        self._metrics, self._holder = metrics, holder
        self._clock, self._wall = clock, wall
        self._recent: dict[str, deque[dict[str, Any]]] = {name: deque(maxlen=RECENT_ERRORS) for name in tasks}
        self._lines = Lines()
        self._depth: Depth | None = None
        self._looked_at = float("-inf")

    async def attach(self, batch: list[Finished]) -> list[Finished]:
        """The batch, its dead letters with forensics."""
        if not any(map(_may_die, batch)):
            return batch
        depth = await self._depth_now()
        common = {"made_by": "worker", **self._facts(), **machine(), "queue": depth and depth._asdict()}
        return [self._with(outcome, common) if _may_die(outcome) else outcome for outcome in batch]

    def settled(self, batch: Sequence[Finished]) -> None:
        """These were accepted: remember errors, say what failed, tell the hooks."""
        for outcome in batch:
            if outcome.error is not None:
                self._failed(outcome, msgspec.json.decode(outcome.error))

    def _incompatible(self, outcome: Finished, message: str, extra: Mapping[str, Any]) -> None:
        """Its arguments are another release's: not an error of the task, but somebody should know."""
        job = outcome.job
        if (more := self._lines.admit(f"{INCOMPATIBLE} {job.task}", self._clock())) is not None:
            logger.warning(
                "job %d waits %.1f s for a worker of another release, its arguments do not fit this one: %s%s",
                job.id, outcome.delay, message[:_LONGEST],
                f"; {more} more of this task were not logged" if more else "", extra=extra,
            )  # fmt: skip

    async def rescued(self) -> None:
        """A rescue may have made dead letters: say so once, here or wherever the next rescue is. Raises StoreError."""
        for letter in await self._store.take_unreported(self._holder):
            self._metrics.buried(letter.queue, letter.task)
            logger.error(
                "job %d is a dead letter of a rescue (%s): %s: %s", letter.id, letter.reason, letter.error,
                letter.message, extra={
                    "job": letter.id, "attempt": letter.attempt, "queue": letter.queue, "task": letter.task,
                    "reason": letter.reason,
                },
            )  # fmt: skip
            self._announcer.tell("job.dead", DeadLetterMade(**letter._asdict(), by_rescue=True))

    async def tell_depth(self) -> None:
        """Tell the hooks of the queue's depth now and then, until cancelled."""
        while self._announcer.hears("queue.depth"):
            number, name = self._queue()
            with contextlib.suppress(StoreError):  # the claimer says what is wrong
                depth = await self._store.depth(number)
                self._announcer.tell("queue.depth", QueueDepth(queue=name, **depth._asdict()))
            await asyncio.sleep(TELL_SECONDS)
        await asyncio.Event().wait()

    async def _depth_now(self) -> Depth | None:
        now = self._clock()
        if now - self._looked_at >= DEPTH_SECONDS:
            self._looked_at, self._depth = now, None
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
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
        if job.task in self._recent and outcome.state is not OutcomeState.SNOOZE:
            self._recent[job.task].append({
                "at": round(self._wall(), 3), "job": job.id, "attempt": job.attempt, "type": kind,
                "message": message[:_LONGEST],
            })  # fmt: skip
        extra = {**fields(job), "outcome": outcome.state.value, "reason": outcome.reason}
        if outcome.state is OutcomeState.SNOOZE:
            self._incompatible(outcome, message, extra)
            return
        what = "is a dead letter" if dead else f"runs again in {outcome.delay:.1f} s"
        more = self._lines.admit(job.task if job.task in self._recent else None, self._clock())
        if more is not None:
            logger.log(
                logging.ERROR if dead else logging.WARNING, "attempt %d of %d failed with %s: %s; the job %s (%s)%s",
                job.attempt, job.max_attempts, kind, message[:_LONGEST], what, outcome.reason,
                f"; {more} more of this task were not logged" if more else "", extra=extra,
            )  # fmt: skip
        if dead and self._announcer.hears("job.dead"):
            self._announcer.tell("job.dead", DeadLetterMade(
                id=job.id, queue=job.queue, task=job.task, reason=outcome.reason or "failed", attempt=job.attempt,
                error=kind, message=message, by_rescue=False,
            ))  # fmt: skip


def _may_die(outcome: Finished) -> bool:
    """Whether it may make a dead letter; the database alone knows for how long arguments have been refused."""
    return outcome.state is OutcomeState.FAILED or outcome.reason == INCOMPATIBLE


class Lines:
    """So many log lines of a task and no more: a task that fails a thousand times a second fails for one reason."""

    def __init__(self) -> None:
        self._seen: dict[str | None, tuple[float, int]] = {}

    def admit(self, task: str | None, now: float) -> int | None:
        """How many lines were dropped before this one; None: this one is dropped too."""
        since, count = self._seen.get(task, (now, 0))
        if now - since >= LINES_SECONDS:
            self._seen[task] = (now, 1)
            return max(0, count - MOST_LINES)
        self._seen[task] = (since, count + 1)
        return 0 if count < MOST_LINES else None


def machine() -> dict[str, Any]:
    """Load, memory and threads of this process and its host, as far as the platform tells."""
    found: dict[str, Any] = {
        "python": platform.python_version(), "pid": os.getpid(), "threads": threading.active_count(),
        "memory": {"resident_bytes": _resident(), "limit_bytes": _memory_limit()},
    }  # fmt: skip
    if hasattr(os, "getloadavg"):
        found["load"] = [round(load, 2) for load in os.getloadavg()]
    return found


def _resident() -> int | None:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _memory_limit() -> int | None:
    try:
        return int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such file, or "max"
        return None
