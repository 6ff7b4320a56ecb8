"""The producer stage of a worker: turns open demand into claims, and never claims more.

It remembers demand that no claim has met, keeps one claim in flight, and sleeps by the waiting protocol: mark the queue
as waited for, let every transaction end that could have missed the mark, claim once more, wait for a wake-up or the
poll. A claim is never cancelled, only awaited, because a cancelled one may have committed; the jobs of a claim whose
reply was lost are found by its token and released.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Sequence

from penstock.errors import ClaimRefused, RowLocked, SchemaMismatch, SchemaMissing, StatementRefused, StoreError
from penstock.job import ClaimedJob
from penstock.stages import DemandDispatcher, Dropped, Producer
from penstock.store import Store

from ..observe.metrics import WorkerMetrics
from ..retry_delay import retry_delay
from ..state import WorkerState
from .held_claims import HeldClaims
from .pending_releases import ClaimPermit, PendingReleases

logger = logging.getLogger("penstock.claimer")

MAX_CLAIM = 500
"""Jobs in one claim: up to 500 the cost per job still falls, at 1,000 no more (measured)."""
MAX_WINDOW = 100_000
"""Demand that one consumer may have open; its real window is a setting and follows the run time of jobs."""
DISCONNECTED_AFTER = 3
"""Claims in a row without a reply until readiness fails."""
FATAL_ERRORS = (SchemaMissing, SchemaMismatch, StatementRefused)
"""Errors of the store that a retry cannot cure."""
MARK_SECONDS = 15.0
"""Validity of a waiting mark."""
MAX_PAUSE_SECONDS = 1.0
"""Until the claimer checks again whether it may claim; less if the poll interval is."""


class Claimer(Producer[ClaimedJob]):
    """Claims the jobs of one queue.

    Args:
        store: claims and releases.
        permit: ids of this worker and its queue, and whether the lease allows a claim now.
        state: of this worker; a drain ends the claim loop.
        held_claims: gets claims before any consumer does.
        queue: name of the queue.
        poll_seconds: maximum sleep without a claim, with a jitter of 20 %.
        listening: whether wake-ups can arrive; if not, the queue is not marked.
        rng: draws tokens and jitter.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        store: Store,
        permit: ClaimPermit,
        state: WorkerState,
        held_claims: HeldClaims,
        metrics: WorkerMetrics,
        queue: str,
        poll_seconds: float,
        listening: Callable[[], bool],
        rng: random.Random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name="claimer", dispatcher=DemandDispatcher(max_demand=MAX_WINDOW))
        self._store, self._permit, self._state = store, permit, state
        self._held_claims, self._metrics, self._rng = held_claims, metrics, rng
        self._queue, self._poll, self._listening, self._clock = queue, poll_seconds, listening, clock
        self.pending = 0
        """Open demand: asked for and not claimed yet."""
        self.in_flight = False
        """A claim was sent and not answered."""
        self.claim_error: str | None = None
        """Why the last claim failed; None once one was answered."""
        self.fatal_error: str | None = None
        """As `claim_error`, if a retry cannot help: the schema, a right or this program is wrong."""
        self._wake = asyncio.Event()
        self._failures = 0
        self._marked_until = 0.0
        self._releases = PendingReleases(
            store=store, permit=permit, held_claims=held_claims, metrics=metrics, rng=rng, clock=clock
        )
        self._loop_task: asyncio.Task[None] | None = None

    # -- for the other parts ---------------------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Start the claim loop."""
        self._loop_task = asyncio.get_running_loop().create_task(self._claim_loop(), name="claim loop")

    async def handle_demand(self, demand: int) -> list[ClaimedJob]:
        """Remember the demand; the claim loop does the rest."""
        self.pending += demand
        self.wake()
        return []

    def wake(self) -> None:
        """There may be work, or something changed: check now."""
        self._wake.set()

    async def close(self) -> None:
        """Stop claiming for good; returns when no claim is in flight."""
        self._state.drain()
        self.wake()
        if self._loop_task is not None:
            await asyncio.wait([self._loop_task])
        with contextlib.suppress(StoreError):
            await self._releases.release()

    @property
    def may_hold_unknown_claims(self) -> bool:
        """True if a claim whose reply was lost may still hold jobs that this process does not know."""
        return self._releases.has_lost_claims

    @property
    def disconnected(self) -> bool:
        """True if several claims in a row had no reply."""
        return self._failures >= DISCONNECTED_AFTER

    def on_released(self, events: Sequence[ClaimedJob], why: Dropped) -> None:
        """Claims that the consumers will not run: the claim loop releases them."""
        del why
        self.release_later(events)

    def release_later(self, jobs: Sequence[ClaimedJob]) -> None:
        """Release unstarted claims soon, in the claim loop."""
        self._releases.add(jobs)
        self.wake()

    async def release_pending(self) -> None:
        """Release now what waits for it; for the drain, when the claim loop has stopped. Raises StoreError."""
        await self._releases.release()

    def check_claims(self, *, moved: bool) -> None:
        """Release soon what the database ascribes to this worker and the worker does not hold.

        Args:
            moved: another server answered, which may have lost the last commits; otherwise nothing is checked.
        """
        if moved:
            self._releases.add_unknown()
            self.wake()

    async def on_stop(self, reason: object) -> None:
        """End the claim loop, whatever stopped the stage."""
        del reason
        await self.close()

    # -- the claim loop --------------------------------------------------------------------------------------------

    async def _claim_loop(self) -> None:
        while not self._state.draining:
            self._wake.clear()
            try:
                await self._releases.try_release()
                if not self._may_claim_now():
                    await self._sleep(min(self._poll, MAX_PAUSE_SECONDS))
                elif await self._claim_once():
                    self._succeeded()
                else:
                    await self._wait_for_work()
            except ClaimRefused as refused:
                self._failures = 0
                logger.info("claim refused", extra={"reason": str(refused)})
                await self._sleep(min(self._poll, MAX_PAUSE_SECONDS))
            except Exception as error:  # noqa: BLE001 - without its claim loop a worker would seem idle
                await self._sleep(self._failed(error))

    def _succeeded(self) -> None:
        """Everything that a claim needs was answered."""
        self.claim_error = self.fatal_error = None
        self._failures = 0

    def _failed(self, error: Exception) -> float:
        """Keep the error for readiness; returns seconds to pause. A fatal error is logged once."""
        self._failures += 1
        self.claim_error = f"{type(error).__name__}: {error}"
        if isinstance(error, StoreError) and not isinstance(error, FATAL_ERRORS):
            logger.warning("claim failed, retrying", extra={"demand": self.pending, "error": str(error)})
        elif self.fatal_error != self.claim_error:
            self.fatal_error = self.claim_error
            expected = isinstance(error, StoreError)
            logger.error("cannot claim jobs, not retrying", exc_info=not expected, extra={"error": str(error)})
        return retry_delay(self._failures, self._rng)

    def _may_claim_now(self) -> bool:
        return self._state.may_claim and self.pending > 0 and self._permit.may_claim()

    async def _claim_once(self) -> bool:
        """One claim for the open demand; True if it returned jobs."""
        count = min(self.pending, MAX_CLAIM)
        token = self._rng.getrandbits(63)
        started = time.perf_counter()
        self.in_flight = True
        try:
            jobs = await self._store.jobs.claim(self._permit.worker, self._permit.queue, self._queue, count, token)
        except ClaimRefused:
            raise
        except Exception:  # of this program too: the claim may have committed whatever failed after it
            self._releases.add_lost_claim(token)
            raise
        finally:
            self.in_flight = False
        self._metrics.claimed(len(jobs), time.perf_counter() - started)
        if jobs:
            self.pending -= len(jobs)
            self._held_claims.add(jobs)
            self.push(jobs)
        return bool(jobs)

    async def _wait_for_work(self) -> None:
        """The waiting protocol; returns early if a claim found jobs."""
        found = self._listening() and await self._mark()
        self._succeeded()
        if not found:
            await self._sleep(self._poll * self._rng.uniform(0.8, 1.2))

    async def _mark(self) -> bool:
        """Mark the queue as waited for; True if a claim on the way found jobs.

        While marks have been valid without a gap since the writers were outwaited, every enqueue has seen one: renewing
        the mark is enough.
        """
        now = self._clock()
        if self._marked_until - now > MARK_SECONDS / 2:
            return False
        gap = self._marked_until <= now
        try:
            marked_until = now + await self._store.queues.mark_waiting([self._permit.queue], MARK_SECONDS)
        except RowLocked as error:  # no wake-ups then, but polling finds every job
            logger.warning("no wake-ups for now, another transaction locks the queue row", extra={"error": str(error)})
            return False
        if gap and await self._outwait_writers():
            return True
        self._marked_until = marked_until
        return False

    async def _outwait_writers(self) -> bool:
        """Wait until no transaction is open that started before the mark, then claim; True if a claim found jobs."""
        horizon = await self._store.queues.take_xid()
        deadline = self._clock() + self._poll
        delay = 0.001
        while await self._store.queues.oldest_xid() <= horizon:
            if await self._claim_once() or self._state.draining:
                return True
            if self._clock() >= deadline:  # a long transaction somewhere on the server: polling covers it
                return False
            await asyncio.sleep(delay)
            delay = min(delay * 2, 0.1)
        return await self._claim_once()

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
