"""The producer of a pod: turns demand into claims, and never claims beyond it.

It remembers unmet demand, keeps one claim in flight, and sleeps by the waiting protocol: announce, let every
transaction that could have missed the announcement end, look once more, wait for a wake-up or the poll. What a claim
took whose reply was lost is found by its token and handed back. Surprising: a claim is never cancelled, only waited
for, because a cancelled one may have committed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from penstock.errors import ClaimRefused, RowLocked, SchemaMismatch, SchemaMissing, StatementRefused, StoreError
from penstock.job import ClaimedJob
from penstock.stages import DemandDispatcher, Dropped, Producer
from penstock.store import Store
from penstock.store.acknowledge.unknown_claims import release_unknown

from ..observe.metrics import WorkerMetrics
from ..retry_delay import retry_delay
from ..state import WorkerState
from .held_claims import HeldClaims, release

logger = logging.getLogger("penstock.claimer")

MAX_CLAIM = 500
"""Jobs in one call: from 100 to 500 the cost per job still falls, at 1,000 no more (measured)."""
MAX_WINDOW = 100_000
"""Most demand that one consumer may have open; its window is a setting and follows the run time of jobs."""
DISCONNECTED_AFTER = 3
"""Claims in a row without an answer until readiness fails."""
FATAL_ERRORS = (SchemaMissing, SchemaMismatch, StatementRefused)
"""Errors of the store that repeating cannot mend."""
MARK_SECONDS = 15.0
"""How long an announcement of a waiter stands."""


class ClaimPermit(Protocol):
    """What the lease says about claiming."""

    worker: int
    queue: int

    def may_claim(self) -> bool:
        """Running, and the lease renewed recently enough."""


class Claimer(Producer[ClaimedJob]):
    """Claims one queue's jobs.

    Args:
        store: where to claim.
        permit: this worker's ids, and whether the lease allows a claim now.
        state: of this worker; a drain ends the claim loop.
        held: where claims are entered before anybody sees them.
        queue: the queue's name.
        poll_seconds: longest sleep without a look; jittered by a fifth.
        listening: whether wake-ups can arrive; without, no announcement is made.
    """

    def __init__(
        self,
        *,
        store: Store,
        permit: ClaimPermit,
        state: WorkerState,
        held: HeldClaims,
        metrics: WorkerMetrics,
        queue: str,
        poll_seconds: float,
        listening: Callable[[], bool],
        rng: random.Random,
    ) -> None:
        super().__init__(name="claimer", dispatcher=DemandDispatcher(max_demand=MAX_WINDOW))
        self._store, self._permit, self._held, self._metrics = store, permit, held, metrics
        self._state = state
        self._queue, self._poll, self._listening, self._rng = queue, poll_seconds, listening, rng
        self.pending = 0
        """Demand that no claim has met yet."""
        self._wake = asyncio.Event()
        self.in_flight = False
        """A claim has been sent and not answered."""
        self.claim_error: str | None = None
        """Why the last claim failed; None once one was answered."""
        self.fatal_error: str | None = None
        """As `last_error`, where trying again cannot help: the schema, a right or this program is wrong."""
        self._failures = 0
        self._marked_until = 0.0
        self._lost_tokens: list[int] = []
        self._to_release: list[ClaimedJob] = []
        self._release_at, self._locked_tries = 0.0, 0
        self._moves = 0
        self._loop_task: asyncio.Task[None] | None = None

    # -- what others call -----------------------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Begin the claim loop."""
        self._loop_task = asyncio.get_running_loop().create_task(self._claim_loop(), name="claim loop")

    async def handle_demand(self, demand: int) -> list[ClaimedJob]:
        """Remember it; the claim loop does the rest."""
        self.pending += demand
        self.wake()
        return []

    def wake(self) -> None:
        """There may be work, or something changed: look now."""
        self._wake.set()

    async def close(self) -> None:
        """Stop claiming for good; returns when no claim is in flight any more."""
        self._state.drain()
        self.wake()
        if self._loop_task is not None:
            await asyncio.wait([self._loop_task])
        with contextlib.suppress(StoreError):
            await self.release_pending()

    @property
    def may_hold_unknown_claims(self) -> bool:
        """Whether a claim whose reply was lost may still hold jobs that nobody here knows."""
        return bool(self._lost_tokens)

    @property
    def disconnected(self) -> bool:
        """Whether several claims in a row were not answered."""
        return self._failures >= DISCONNECTED_AFTER

    def on_released(self, events: Sequence[ClaimedJob], why: Dropped) -> None:
        """Claims that the consumers will not run: the claim loop hands them back."""
        del why
        self.release_later(events)

    def release_later(self, jobs: Sequence[ClaimedJob]) -> None:
        """Have unstarted claims handed back, soon."""
        self._to_release.extend(jobs)
        self.wake()

    def check_claims(self, *, moved: bool) -> None:
        """Release, soon, what the database says that we hold and we do not, if it may have lost our last commits."""
        self._moves += moved
        if moved:
            self.wake()

    async def on_stop(self, reason: object) -> None:
        """End the claim loop, whatever the way here."""
        del reason
        await self.close()

    # -- the loop -------------------------------------------------------------------------------------------------

    async def _claim_loop(self) -> None:
        while not self._state.draining:
            self._wake.clear()
            try:
                await self._try_release()
                if not self._may_claim_now():
                    await self._sleep(min(self._poll, 1.0))
                elif await self._claim_once():
                    self._succeeded()
                else:
                    await self._wait_for_work()
            except ClaimRefused as refused:
                self._failures = 0
                logger.info("claim refused: %s", refused)
                await self._sleep(min(self._poll, 1.0))
            except Exception as error:  # noqa: BLE001 - a claim loop that ended would look like an idle worker
                await self._sleep(self._failed(error))

    def _succeeded(self) -> None:
        """All that a look needs was answered."""
        self.claim_error = self.fatal_error = None
        self._failures = 0

    def _failed(self, error: Exception) -> float:
        """Remember why, for readiness; returns seconds to retry_delay. What only people can mend is said once."""
        self._failures += 1
        self.claim_error = f"{type(error).__name__}: {error}"
        if isinstance(error, StoreError) and not isinstance(error, FATAL_ERRORS):
            logger.warning("claim failed, demand of %d kept: %s", self.pending, error)
        elif self.fatal_error != self.claim_error:
            self.fatal_error = self.claim_error
            expected = isinstance(error, StoreError)
            logger.error("claims are refused and repeating them cannot help: %s", error, exc_info=not expected)
        return retry_delay(self._failures, self._rng)

    def _may_claim_now(self) -> bool:
        return self._state.may_claim and self.pending > 0 and self._permit.may_claim()

    async def _try_release(self) -> None:
        """As `release_pending`, but a row that another transaction holds stops no claim: it is tried again later."""
        if time.monotonic() < self._release_at or not (self._lost_tokens or self._to_release or self._moves):
            return
        try:
            await self.release_pending()
        except RowLocked as error:
            logger.warning("claims are released later, another transaction holds a row: %s", error)
        locked = bool(self._lost_tokens or self._to_release or self._moves)
        self._locked_tries = self._locked_tries + 1 if locked else 0
        self._release_at = time.monotonic() + retry_delay(self._locked_tries, self._rng) if locked else 0.0

    async def release_pending(self) -> None:
        """Release what was given back, and what a claim took whose reply was lost; what is locked stays for later.

        Raises:
            RowLocked: the worker's row, or one of a claim whose reply was lost, is held by another transaction.
            StoreError: as `Store.release`.
        """
        if self._to_release:
            jobs = list(self._to_release)
            self._metrics.released += await release(self._store, self._held, jobs)
            # Only now: what was not answered is tried again, which is safe.
            self._to_release[: len(jobs)] = self._held.still(jobs)
        while self._lost_tokens:
            await self._store.jobs.release_claim(self._permit.worker, self._permit.queue, self._lost_tokens[0])
            self._lost_tokens.pop(0)
        if self._moves:
            await self._release_unknown()

    async def _release_unknown(self) -> None:
        worker, unsure = self._permit.worker, self._moves
        held = [job for job in self._held.snapshot() if job.worker == worker]
        if number := await release_unknown(self._store, worker, self._permit.queue, held):
            logger.warning("claims released whose outcomes the database lost with its last commits: %d", number)
            self._metrics.released += number
        self._moves -= unsure  # another server may have answered meanwhile

    async def _claim_once(self) -> bool:
        """One claim for the open demand; True if it brought anything."""
        asked = min(self.pending, MAX_CLAIM)
        token = self._rng.getrandbits(63)
        started = time.perf_counter()
        self.in_flight = True
        try:
            jobs = await self._store.jobs.claim(self._permit.worker, self._permit.queue, self._queue, asked, token)
        except ClaimRefused:
            raise
        except Exception:  # also one of our own: what the claim took may be committed whatever went wrong behind it
            self._lost_tokens.append(token)
            raise
        finally:
            self.in_flight = False
        self._metrics.claimed(len(jobs), time.perf_counter() - started)
        if jobs:
            self.pending -= len(jobs)
            self._held.add(jobs)
            self.push(jobs)
        return bool(jobs)

    async def _wait_for_work(self) -> None:
        """The waiting protocol; returns early if a look found something."""
        found = self._listening() and await self._announce()
        self._succeeded()
        if not found:
            await self._sleep(self._poll * self._rng.uniform(0.8, 1.2))

    async def _announce(self) -> bool:
        """Be marked as waiting; True if a look on the way found work.

        While the mark has stood without a gap since a settled look, every enqueue has seen it: renewing it is enough.
        """
        now = time.monotonic()
        if self._marked_until - now > MARK_SECONDS / 2:
            return False
        gap = self._marked_until <= now
        try:
            marked_until = now + await self._store.queues.mark_waiting([self._permit.queue], MARK_SECONDS)
        except RowLocked as error:  # no wake-ups then: the poll covers it
            logger.warning("no wake-ups for now, another transaction holds the queue's row: %s", error)
            return False
        if gap and await self._outwait_writers():
            return True
        self._marked_until = marked_until
        return False

    async def _outwait_writers(self) -> bool:
        """Wait until no transaction is open that began before the mark, then look; True if a look found work."""
        horizon = await self._store.queues.take_xid()
        give_up = time.monotonic() + self._poll
        delay = 0.001
        while await self._store.queues.oldest_xid() <= horizon:
            if await self._claim_once() or self._state.draining:
                return True
            if time.monotonic() >= give_up:  # a long writer somewhere on the server: the poll covers it
                return False
            await asyncio.sleep(delay)
            delay = min(delay * 2, 0.1)
        return await self._claim_once()

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
