"""Maintenance's part in schedules: fires the ticks that are due, and settles those whose jobs have ended.

Owns the cadence. Due ticks are read when the next one comes, and at least every few seconds, because another process
may declare a schedule or end a pause. Any process may do this at any time: exactness is the store's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .schedules import Schedules

RESTING_SECONDS: Final = 5.0
"""Seconds between two reads while no tick comes sooner: the first tick of a new schedule may be that late."""
MIN_PAUSE: Final = 0.02
SETTLE_SECONDS: Final = 1.0
"""Seconds between two settlements while jobs of ticks are live, and before the first: a new worker claims first."""
SETTLE_REST: Final = 20.0
"""Pause after a settlement as a multiple of its duration: it reads every live job of a tick."""
IDLE_SETTLE_SECONDS: Final = 60.0
PRUNE_BATCH: Final = 5000


@dataclass(slots=True)
class ScheduleChores:
    """The chores, with what they counted.

    Args:
        schedules: statements.
        clock: monotonic seconds.

    Attributes:
        fired: jobs that ticks enqueued, since the start.
        failed: schedules whose ticks could not be decided, each time that they were tried.
    """

    schedules: Schedules
    clock: Callable[[], float]
    fired: int = 0
    failed: int = 0
    _settle_at: float | None = None

    async def fire(self) -> float:
        """Fire what is due, and settle what has ended; returns seconds until the next call."""
        result = await self.schedules.fire_due()
        self.fired += result.jobs
        self.failed += result.failed
        soon = self.clock() + SETTLE_SECONDS
        if self._settle_at is None or (result.jobs and soon < self._settle_at):
            self._settle_at = soon
        if self.clock() >= self._settle_at:
            started = self.clock()
            _, still_open = await self.schedules.settle()
            rest = max(SETTLE_SECONDS, SETTLE_REST * (self.clock() - started))
            self._settle_at = self.clock() + (rest if still_open else IDLE_SETTLE_SECONDS)
        until = min(RESTING_SECONDS, self._settle_at - self.clock())
        if result.next_due is not None:
            until = min(until, result.next_due)
        return max(MIN_PAUSE, until)

    async def prune(self) -> int:
        """Delete the rows of old ticks; returns how many."""
        pruned = 0
        while (batch := await self.schedules.prune(PRUNE_BATCH)) > 0:
            pruned += batch
            if batch < PRUNE_BATCH:
                break
        return pruned
