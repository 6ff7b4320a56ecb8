"""Runs twice a second on a worker's event loop: measures the loop's lag, and repairs rare inconsistencies.

It releases claims that were unstarted for too long, fills slots that demand leaves free, frees slots whose attempt
left no outcome, and restores settings of the process that code of the application has changed.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from .claims.claimer import Claimer
from .claims.held_claims import HeldClaims
from .claims.lease import Lease
from .execution.consumers import Consumers
from .execution.slots import Slots
from .observe.loop_watchdog import LoopWatchdog
from .observe.metrics import WorkerMetrics
from .observe.probes import Probes
from .process_state import here
from .signals import Signals
from .state import WorkerState

TICK_SECONDS: Final = 0.5


@dataclass(slots=True, kw_only=True)
class Ticker:
    """The parts of one worker that need a tick."""

    probes: Probes
    metrics: WorkerMetrics
    state: WorkerState
    consumers: Consumers
    slots: Slots
    claimer: Claimer
    lease: Lease
    held_claims: HeldClaims
    signals: Signals

    async def run(self) -> None:
        """Tick until cancelled; meanwhile a thread watches whether the loop is blocked."""
        watch = LoopWatchdog(ticked=lambda: self.probes.ticked, job_of=self.slots.job_of)
        self.probes.ticked = time.monotonic()
        watch.start()
        try:
            await self._run()
        finally:
            watch.close()

    async def _run(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(TICK_SECONDS)
            here.keep_stack()
            ticked = self.probes.ticked = time.monotonic()
            self.metrics.loop_lag = max(0.0, ticked - before - TICK_SECONDS)
            self.signals.keep()
            self.tick()

    def tick(self) -> None:
        """Check once."""
        consumers = self.consumers
        consumers.sweep()
        stale = consumers.take_stale() if self.state.may_hold else consumers.take_waiting()
        if stale:
            self.claimer.release_later(stale)
        consumers.start_waiting()
        consumers.top_up()
        if self.lease.state == "cordoned" and not len(self.held_claims):
            self.lease.renew_soon()
