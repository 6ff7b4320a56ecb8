"""The probes of a worker: whether it is alive, whether it is ready for jobs, and its gauges.

The health thread reads them while the event loop runs or hangs, so everything here reads plain attributes. Not ready:
draining, cordoned and empty, no database, cannot claim, or the event loop does not tick. Not alive only if nothing but
a restart helps, because a restart interrupts jobs: the loop has been blocked for longer than any task may take and for
ten minutes, or the lease thread is dead. Each answer is a sentence.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from penstock.store import Maintenance

from ..claims.claimer import Claimer
from ..claims.held_claims import HeldClaims
from ..claims.lease import Lease
from ..execution.consumers import Consumers
from ..execution.slots import Slots
from ..state import WorkerState
from .gauges import Gauges

MAX_BLOCKED_SECONDS = 600.0
"""Seconds without a tick of the loop until liveness fails; longer if a task's timeout is."""
MIN_BLOCKED_SECONDS = 2.5
"""Seconds without a tick until readiness fails."""


@dataclass(slots=True, kw_only=True)
class Probes:
    """Judges one worker from outside its loop.

    Args:
        state: of the worker.
        max_timeout: of the App's tasks, seconds.
        clock: monotonic seconds.
        wall: seconds of the Unix epoch, for timestamps in metrics.
    """

    lease: Lease
    held_claims: HeldClaims
    claimer: Claimer
    consumers: Consumers
    maintenance: Maintenance
    slots: Slots
    state: WorkerState
    max_timeout: float
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    ticked: float = field(init=False)
    """When the event loop last ran its ticker."""

    def __post_init__(self) -> None:
        self.ticked = self.clock()

    def live(self) -> str | None:
        """None, or why only a restart helps."""
        if self.lease.worker and not self.lease.alive:
            return "the lease thread is dead"
        blocked = self.clock() - self.ticked
        limit = max(MAX_BLOCKED_SECONDS, self.max_timeout)
        return f"the event loop has been blocked for {blocked:.0f} s" if blocked > limit else None

    def ready(self) -> str | None:
        """None, or why this worker gets no jobs."""
        if self.state.draining:
            return "draining"
        if self.lease.state in {"cordoned", "drained"} and not len(self.held_claims):
            return self.lease.state
        if (fatal_error := self.claimer.fatal_error) is not None:
            return f"cannot claim jobs: {fatal_error}"
        if not self.lease.worker:
            return f"waiting for the database: {self.lease.last_error or 'no response yet'}"
        if not self.lease.recently_renewed:
            return (
                f"disconnected: the lease was last renewed {self.lease.age:.0f} s ago{_because(self.lease.last_error)}"
            )
        if self.claimer.disconnected:
            return f"disconnected: claims fail{_because(self.claimer.claim_error)}"
        blocked = self.clock() - self.ticked
        return f"the event loop has been blocked for {blocked:.0f} s" if blocked > MIN_BLOCKED_SECONDS else None

    def gauges(self) -> Gauges:
        """The numbers of this moment, for a scrape."""
        stats, busy, lease = self.maintenance.stats, len(self.slots.running), self.lease
        oldest = self.held_claims.oldest()
        now, wall = self.clock(), self.wall()
        return Gauges(
            busy_slots=busy,
            idle_slots=self.slots.concurrency - busy,
            open_demand=self.claimer.pending,
            waiting_jobs=self.consumers.waiting,
            unacknowledged_outcomes=self.consumers.unacknowledged,
            prefetching=self.consumers.prefetching,
            leading=stats.leading,
            rescued_lease=stats.rescued,
            rescued_poison=stats.poisoned,
            rescued_deadline=stats.overdue,
            maintenance_succeeded_at=0.0 if stats.succeeded_at is None else wall - (now - stats.succeeded_at),
            lease_renewed_at=wall - lease.age if lease.worker else 0.0,
            oldest_running_at=0.0 if oldest is None else wall - (now - oldest),
        )


def _because(last_error: str | None) -> str:
    return f" ({last_error})" if last_error else ""
