"""Upkeep behind the leader row: promote what is due, rescue from lost workers, partitions ahead, old things dropped.

Every call is idempotent, so that two leaders at once (one of them frozen and thawed) do no harm. Workers run it where
workers live; the operator or the local mode where none does. At rest it costs about one query a second.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from penstock.errors import StoreError

from .store import Rescue, Store

NAME = "maintenance"
LONGEST_PAUSE = 0.75
"""Seconds between looks at the deferred: with the query's own time, a job starts within a second of being due."""
SHORTEST_PAUSE = 0.05
HOUSEKEEPING_SECONDS = 60.0
LIMITS_SECONDS = 2.0
"""Between looks for limits that were turned on and not counted."""
BATCH = 5000


@dataclass(slots=True)
class Upkeep:
    """What has been done since the start, for metrics. `last_error` is None while all goes well."""

    leading: bool = False
    promoted: int = 0
    rescued: int = 0
    poisoned: int = 0
    lost_workers: int = 0
    last_error: str | None = None


@dataclass(slots=True)
class Maintenance:
    """The loop of one holder.

    Args:
        store: connections shared with the caller.
        holder: names this process among all, for the leader row.
        lease: seconds; of workers and of the leadership.
        clock: monotonic seconds.
    """

    store: Store
    holder: str
    lease: float
    clock: Callable[[], float]
    upkeep: Upkeep = field(default_factory=Upkeep)

    async def run(self) -> None:
        """Work until cancelled. An unreachable database is waited for."""
        lead_at = rescue_at = house_at = limits_at = float("-inf")
        while True:
            pause = LONGEST_PAUSE
            try:
                now = self.clock()
                if now >= lead_at:
                    self.upkeep.leading = await self.store.lead(NAME, self.holder, self.lease) is not None
                    lead_at = now + self.lease / 3
                if self.upkeep.leading:
                    if now >= house_at:
                        await self._housekeeping()
                        house_at = now + HOUSEKEEPING_SECONDS
                    if now >= rescue_at:
                        self._count(await self.store.rescue(self.holder, self.lease))
                        rescue_at = now + self.lease / 5
                    pause = await self._promote()
                    if now >= limits_at:
                        counted = await self.store.count_limits()
                        limits_at = now + (LIMITS_SECONDS if counted else 0.0)
                self.upkeep.last_error = None
            except StoreError as error:
                self.upkeep.leading, self.upkeep.last_error = False, str(error)
                lead_at, pause = float("-inf"), 1.0
            await asyncio.sleep(pause)

    async def _promote(self) -> float:
        promotion = await self.store.promote(BATCH)
        self.upkeep.promoted += promotion.promoted
        if promotion.promoted >= BATCH:
            return 0.0
        return min(LONGEST_PAUSE, max(SHORTEST_PAUSE, promotion.next_due or LONGEST_PAUSE))

    def _count(self, rescue: Rescue) -> None:
        self.upkeep.lost_workers += rescue.lost
        self.upkeep.rescued += rescue.rescued
        self.upkeep.poisoned += rescue.poisoned

    async def _housekeeping(self) -> None:
        await self.store.make_partitions()
        await self.store.drop_partitions()
        await self.store.prune_workers()


@contextlib.asynccontextmanager
async def maintaining(maintenance: Maintenance) -> AsyncIterator[Maintenance]:
    """Run the upkeep beside the block."""
    task = asyncio.create_task(maintenance.run(), name="maintenance")
    try:
        yield maintenance
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
