"""The last stage of a worker: sends outcomes to the store in batches, until the database has answered for each.

An acknowledgement is retried until it is answered, because it is idempotent. A batch that the database rejects is
halved until the one outcome that cannot be stored is found; that attempt fails for it, and if the failure is rejected
as well, the claim is dropped and the attempt counts. Outcomes whose jobs' rows another transaction locks are postponed,
and the rest of the batch is stored. Outcomes of lost claims are counted as fenced and dropped, never retried.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import groupby

import msgspec

from penstock.cancellation import cancel_and_wait
from penstock.errors import RowLocked, SchemaMissing, StoreError
from penstock.job import Finished, OutcomeState
from penstock.stages import Consumer, Subscription
from penstock.store import AckConflict, Store
from penstock.store.acknowledge.unlocked import LOCKED, ack_unlocked
from penstock.store.outcome_columns import is_refusal

from ..execution.outcomes import INCOMPATIBLE, INVALID, error_json
from ..observe.forensics import Forensics
from ..observe.logs import fields
from ..observe.metrics import WorkerMetrics
from ..retry_delay import retry_delay
from .held_claims import HeldClaims
from .postponed_outcomes import Postponed, worker_of

logger = logging.getLogger("penstock.acknowledger")

REFUSED = "outcome_rejected"
"""Reason of an attempt whose outcome the database rejected."""

_Send = Callable[[int, list[Finished]], Awaitable[list[Finished]]]


class JobAcknowledger(Consumer[Finished]):
    """Acknowledges batches.

    Args:
        store: acknowledges.
        held_claims: claims leave it when they are answered.
        forensics: adds forensics to dead letters, logs failures, and calls hooks.
        accepted: called with the number of outcomes that were answered.
    """

    def __init__(
        self,
        *,
        name: str,
        store: Store,
        held_claims: HeldClaims,
        metrics: WorkerMetrics,
        forensics: Forensics,
        accepted: Callable[[int], None],
        rng: random.Random,
    ) -> None:
        super().__init__(name=name)
        self._store, self._held_claims, self._metrics, self._accepted, self._rng = (
            store,
            held_claims,
            metrics,
            accepted,
            rng,
        )
        self._forensics = forensics
        self._postponed = Postponed(send=self._send_unlocked, stored=self._stored_late, rng=rng)
        self._retrying: asyncio.Task[None] | None = None
        self.ack_error: str | None = None

    async def on_start(self) -> None:
        """Start retrying postponed outcomes."""
        self._retrying = asyncio.get_running_loop().create_task(self._postponed.run(), name=f"{self.name} postponed")

    async def on_stop(self, reason: object) -> None:
        """Leave what is still postponed to the lease: those jobs are retried."""
        del reason
        if self._retrying is not None:
            await cancel_and_wait([self._retrying])
        if len(self._postponed):
            extra = {"outcomes": len(self._postponed)}
            logger.error("outcomes not stored, other transactions lock their jobs' rows", extra=extra)

    async def handle_events(self, events: Sequence[Finished], subscription: Subscription) -> None:
        """Acknowledge one batch; returns when the database has answered."""
        del subscription
        self._metrics.events["consumers"] += len(events)
        locked = list[Finished]()
        try:
            for worker, batch in groupby(events, key=worker_of):
                locked += await self._acknowledge(worker, await self._forensics.attach(list(batch)))
        finally:
            self._metrics.postponed += len(locked)
            self._metrics.unstored += len(locked)
            self._postponed.add(locked)
            self._accepted(len(events) - len(locked))

    async def _acknowledge(self, worker: int, batch: list[Finished]) -> list[Finished]:
        """Acknowledge a batch until it is answered; returns the outcomes that are not stored: rows are locked."""
        failures = 0
        while True:
            started = time.perf_counter()
            try:
                try:
                    differences = await self._store.jobs.ack(worker, batch)
                except RowLocked:  # the locked ones later
                    differences = await ack_unlocked(self._store, worker, batch)
            except StoreError as error:
                if is_refusal(error):
                    return await self._halve(worker, batch, error, self._acknowledge)
                failures += 1
                self.ack_error = str(error)
                extra = {"outcomes": len(batch), "error": str(error)}
                logger.warning("acknowledgement failed, retrying", extra=extra)
                await asyncio.sleep(retry_delay(failures, self._rng))
                continue
            return self._settle(batch, differences, time.perf_counter() - started)

    async def _send_unlocked(self, worker: int, batch: list[Finished]) -> list[Finished]:
        """Send postponed outcomes again; returns those whose rows are still locked."""
        started = time.perf_counter()
        try:
            differences = await ack_unlocked(self._store, worker, batch)
        except StoreError as error:
            if not is_refusal(error):
                raise
            return await self._halve(worker, batch, error, self._send_unlocked)
        return self._settle(batch, differences, time.perf_counter() - started)

    def _stored_late(self, count: int) -> None:
        self._metrics.unstored -= count
        self._accepted(count)

    def _settle(self, batch: list[Finished], differences: Sequence[AckConflict], seconds: float) -> list[Finished]:
        """Account for what the database answered; returns the outcomes that it did not store: rows are locked."""
        self.ack_error = None
        held_claims, locked = self._held_claims, list[Finished]()
        if any(difference.state == LOCKED for difference in differences):
            names = {(d.id, d.token) for d in differences if d.state == LOCKED}
            locked = [o for o in batch if (o.job.id, o.job.token) in names]
            batch = [o for o in batch if (o.job.id, o.job.token) not in names]
        held_claims.remove(outcome.job for outcome in batch)
        if differences:
            stored = {(d.id, d.token): d.state for d in differences}
            fenced = [o for o in batch if stored.get((o.job.id, o.job.token), "") is None]
            self._metrics.fenced += len(fenced)
            for outcome in fenced:
                logger.warning("outcome fenced, the claim was lost", extra=fields(outcome.job))
            batch = [_as_stored(o, stored) for o in batch if stored.get((o.job.id, o.job.token), "") is not None]
        held_claims.accepted(batch)
        self._metrics.acknowledged(batch, seconds)
        self._forensics.settled(batch)
        return locked

    async def _halve(self, worker: int, batch: list[Finished], error: StoreError, send: _Send) -> list[Finished]:
        if len(batch) > 1:
            middle = len(batch) // 2
            return await send(worker, batch[:middle]) + await send(worker, batch[middle:])
        outcome = batch[0]
        if outcome.reason == REFUSED:  # the failure without a result was rejected too
            return await self._end_claim(worker, outcome, error)
        extra = {**fields(outcome.job), "error": str(error)}
        logger.error("outcome rejected by the database, the attempt fails", extra=extra)
        plain = msgspec.structs.replace(
            outcome,
            state=OutcomeState.FAILED,
            reason=REFUSED,
            result=None,
            forensics="{}",
            error=error_json(error, outcome.job.attempt),
        )
        return await send(worker, [plain])

    async def _end_claim(self, worker: int, outcome: Finished, refusal: StoreError) -> list[Finished]:
        """No table takes the outcome: the attempt counts, the job is deferred. Returns it if its row is locked."""
        job, failures = outcome.job, 0
        while True:
            try:
                due = await self._store.jobs.end_refused(worker, job, error_json(refusal, job.attempt))
                break
            except RowLocked:
                return [outcome]
            except StoreError as error:
                if isinstance(error, SchemaMissing) or is_refusal(error):
                    extra = {**fields(job), "worker": worker, "error": str(error)}
                    logger.error("claim of a job kept until the lease of its worker expires", extra=extra)
                    return []
                failures += 1
                self.ack_error = str(error)
                extra = {**fields(job), "error": str(error)}
                logger.warning("cannot record a failed attempt, retrying", extra=extra)
                await asyncio.sleep(retry_delay(failures, self._rng))
        self.ack_error = None
        self._held_claims.remove([job])
        extra = {**fields(job), "error": str(refusal)}
        if due is None:
            logger.error("outcome cannot be stored, the claim was lost", extra=extra)
        else:
            logger.error("outcome cannot be stored, the attempt counts", extra={**extra, "due_in_seconds": round(due)})
        return []


def _as_stored(outcome: Finished, stored: Mapping[tuple[int, int], str | None]) -> Finished:
    """The outcome as the database stored it: a job flagged cancel becomes cancelled, whatever its attempt returned.

    One that has waited too long for a release that accepts its arguments becomes failed.
    """
    state = stored.get((outcome.job.id, outcome.job.token))
    if state is None:
        return outcome
    waited = state == OutcomeState.FAILED and outcome.reason == INCOMPATIBLE
    return msgspec.structs.replace(
        outcome, state=OutcomeState(state), reason=INVALID if waited else outcome.reason, delay=0.0
    )
