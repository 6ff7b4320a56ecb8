"""The end of the pipeline: hands outcomes to the store and sees them answered.

An acknowledgement is repeated until the database answers, because repeating it is safe; a batch that the database
refuses is halved until the one outcome that cannot be stored is found, and that job fails for it. Outcomes of claims
that were taken back are counted and dropped, never repeated.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter

import msgspec

from penstock.errors import RejectedByDatabase, StoreError
from penstock.job import Finished, OutcomeState
from penstock.stages import Consumer, Subscription
from penstock.store import Difference, Store

from .again import pause
from .failure import describe
from .forensics import Forensics
from .held import Held
from .metrics import WorkerMetrics

logger = logging.getLogger("penstock.acknowledger")

_worker = attrgetter("job.worker")


class Acknowledger(Consumer[Finished]):
    """Acknowledges batches.

    Args:
        store: where.
        held: claims leave it when they are answered.
        forensics: what dead letters keep, and whom they are told.
        accepted: told how many outcomes were answered.
    """

    def __init__(
        self, *, name: str, store: Store, held: Held, metrics: WorkerMetrics, forensics: Forensics,
        accepted: Callable[[int], None], chance: random.Random,
    ) -> None:  # fmt: skip
        super().__init__(name=name)
        self._store, self._held, self._metrics, self._accepted, self._chance = store, held, metrics, accepted, chance
        self._forensics = forensics
        self.trouble: str | None = None

    async def handle_events(self, events: Sequence[Finished], subscription: Subscription) -> None:
        """Acknowledge one batch; returns when the database has answered."""
        del subscription
        self._metrics.events["consumers"] += len(events)
        try:
            for worker, batch in groupby(events, key=_worker):
                await self._answered(worker, await self._forensics.attach(list(batch)))
        finally:
            self._accepted(len(events))

    async def _answered(self, worker: int, batch: list[Finished]) -> None:
        failures = 0
        while True:
            started = time.perf_counter()
            try:
                differences = await self._store.ack(worker, batch)
            except RejectedByDatabase as error:
                await self._halve(worker, batch, error)
                return
            except StoreError as error:
                failures += 1
                self.trouble = str(error)
                logger.warning("acknowledgement of %d outcomes will be repeated: %s", len(batch), error)
                await asyncio.sleep(pause(failures, self._chance))
                continue
            self._settle(batch, differences, time.perf_counter() - started)
            return

    def _settle(self, batch: list[Finished], differences: Sequence[Difference], seconds: float) -> None:
        self.trouble = None
        held = self._held
        held.remove(outcome.job for outcome in batch)
        if differences:
            stored = {(d.id, d.token): d.state for d in differences}
            fenced = [o for o in batch if stored.get((o.job.id, o.job.token), "") is None]
            self._metrics.fenced += len(fenced)
            for outcome in fenced:
                logger.warning("outcome of job %d refused: its claim was taken back", outcome.job.id)
            batch = [_as_stored(o, stored) for o in batch if stored.get((o.job.id, o.job.token), "") is not None]
        held.accepted(batch)
        self._metrics.acknowledged(batch, seconds)
        self._forensics.settled(batch)

    async def _halve(self, worker: int, batch: list[Finished], error: RejectedByDatabase) -> None:
        if len(batch) > 1:
            middle = len(batch) // 2
            await self._answered(worker, batch[:middle])
            await self._answered(worker, batch[middle:])
            return
        outcome = batch[0]
        if outcome.reason == "outcome_rejected":  # even the plain failure was refused: leave the claim to the lease
            logger.error("outcome of job %d cannot be stored: %s", outcome.job.id, error)
            return
        logger.error("outcome of job %d was refused by the database and becomes a failure: %s", outcome.job.id, error)
        plain = msgspec.structs.replace(
            outcome, state=OutcomeState.FAILED, reason="outcome_rejected", result=None, forensics="{}",
            error=describe(error, outcome.job.attempt),
        )  # fmt: skip
        await self._answered(worker, [plain])


def _as_stored(outcome: Finished, stored: Mapping[tuple[int, int], str | None]) -> Finished:
    """The outcome as the database has it: a job flagged cancel ends as cancelled, whatever its attempt said."""
    state = stored.get((outcome.job.id, outcome.job.token))
    return outcome if state is None else msgspec.structs.replace(outcome, state=OutcomeState(state))
