"""The drain of a worker: one fixed order of steps, each bounded in time.

    1 not ready        probes and the operator see it first
    2 stop claiming    a claim in flight is awaited, never cut
    3 release          what was not started is released, its attempt refunded
    4 finish           what runs may run until three quarters of the grace period
    5 cancel           the rest is cancelled and released
    6 release fenced   attempts that lost their lease meanwhile are released
    7 flush            outcomes are acknowledged
    8 deregister       an empty worker is removed, any other is marked lost (by the lease, after this)

SIGKILL at any point loses nothing: what was not acknowledged is rescued when the lease expires.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from penstock.errors import StoreError
from penstock.job import ClaimedJob
from penstock.stages import StageError
from penstock.store import Store

from .claims.claimer import Claimer
from .claims.held_claims import HeldClaims, release
from .execution.consumers import Consumers
from .execution.slots import Slots
from .observe.metrics import WorkerMetrics
from .state import WorkerState

logger = logging.getLogger("penstock.drain")

FINISH_SHARE = 0.75
"""Share of the grace period that running jobs may use; the rest is for releasing and flushing."""


@dataclass(slots=True, kw_only=True)
class Drain:
    """Drains one worker.

    Args:
        grace: seconds from the signal to the kill.
    """

    claimer: Claimer
    consumers: Consumers
    slots: Slots
    state: WorkerState
    store: Store
    held_claims: HeldClaims
    metrics: WorkerMetrics
    grace: float
    clock: Callable[[], float] = time.monotonic
    _loop: asyncio.AbstractEventLoop | None = None
    _started_at: float = 0.0
    _share: float = 1.0
    _timeout: asyncio.Timeout | None = None
    _stages_stopped: bool = False

    def shorten(self, seconds: float) -> None:
        """The process will be killed in this many seconds, sooner than planned; from any thread, idempotent."""
        if self._loop is None:
            self.grace = min(self.grace, max(0.0, seconds))
        else:
            self._loop.call_soon_threadsafe(self._cut, self.clock() - self._started_at + seconds)

    def _cut(self, grace: float) -> None:
        if grace > self.grace - 1.0:  # the same time, reported again
            return
        left = grace - (self.clock() - self._started_at)
        logger.warning("pod will be killed, releasing unfinished jobs first", extra={"in_seconds": round(left, 1)})
        self.grace = grace
        if self._timeout is not None and self._loop is not None:
            self._timeout.reschedule(self._loop.time() + self._left(self._started_at, self._share))

    @property
    def remaining(self) -> float:
        """Seconds of the grace period that are left; all of it before the drain."""
        return self.grace if self._loop is None else self.grace - (self.clock() - self._started_at)

    async def run(self) -> bool:
        """Every step but the last; True if this worker holds no claim, known or unknown."""
        started = self._started_at = self.clock()
        self._loop = asyncio.get_running_loop()
        self.state.drain()
        await self._step("stop claiming", self.claimer.close())
        await self._step("release", self.release_waiting())
        await self._step("finish", self.slots.idle(), FINISH_SHARE)
        if self.slots.running:
            await self._step("cancel", self._cancel_rest())
        await self._step("release fenced", self.claimer.release_pending())  # attempts that lost their lease
        if not self._stages_stopped:  # otherwise no outcome is emitted any more
            self.consumers.flush()
            await self._step("flush", self.held_claims.empty())
        extra = {"seconds": round(self.clock() - started, 2), "claims_held": len(self.held_claims)}
        logger.info("drained", extra=extra)
        return not len(self.held_claims) and not self.claimer.may_hold_unknown_claims

    async def release_waiting(self) -> None:
        """Release what was not started."""
        await self.consumers.call("settle")  # deliveries in flight have arrived then
        jobs = self.consumers.take_waiting()
        await self._release(jobs)

    async def _release(self, jobs: Sequence[ClaimedJob]) -> None:
        """Release; claims whose rows other transactions lock are retried in step 6."""
        if jobs:
            self.metrics.released += await release(self.store, self.held_claims, jobs)
        if locked := self.held_claims.still(jobs):
            logger.warning(
                "claims will be released later, other transactions lock their rows", extra={"claims": len(locked)}
            )
            self.claimer.release_later(locked)

    async def _cancel_rest(self) -> None:
        unfinished = await self.consumers.cancel_running()
        logger.warning("grace period nearly over, unfinished jobs released", extra={"jobs": len(unfinished)})
        await self._release(unfinished)

    def _left(self, started: float, share: float) -> float:
        """Seconds left of that share of the grace period, at least 0.1."""
        return max(0.1, self.grace * share - (self.clock() - started))

    async def _step(self, name: str, step: Awaitable[None], share: float = 1.0) -> None:
        self._share = share
        started = self.clock()
        try:
            async with asyncio.timeout(self._left(self._started_at, share)) as self._timeout:
                await step
        except TimeoutError:
            extra = {"step": name, "seconds": round(self.clock() - started, 1)}
            logger.warning("drain step timed out", extra=extra)
        except (StoreError, StageError) as error:
            self._stages_stopped |= isinstance(error, StageError)
            logger.warning("drain step failed, the lease covers it", extra={"step": name, "error": str(error)})
        finally:
            self._timeout = None
