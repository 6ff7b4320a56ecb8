"""Upkeep behind the leader row: promote what is due, rescue from lost workers and from hung attempts, partitions ahead,
old things dropped.

Every call is idempotent, so that two leaders at once (one of them frozen and thawed) do no harm. Workers run it where
workers live; the operator or the local mode where none does. At rest it costs about one query a second; what must look
at many rows is done the less often the longer it takes. No chore waits for a row that others hold, and one that fails
is repeated by itself: neither the other chores nor the leadership, which has a task of its own, depend on it.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from penstock.errors import RowLocked, StoreError

from .rows import AuditPart
from .store import Store

logger = logging.getLogger("penstock.maintenance")

NAME = "maintenance"
LONGEST_PAUSE = 0.75
"""Seconds between looks at the deferred: with the query's own time, a job starts within a second of being due."""
SHORTEST_PAUSE = 0.05
HOUSEKEEPING_SECONDS = 60.0
SPREAD = 60.0
"""All who wait for a leadership try within this part of a lease of its end, not in one instant: 250 ms of 15 s."""
MARKS_SECONDS = 1.0
RESTING_MARKS_SECONDS = 5.0
"""Between publications of marks, while they move and while they do not."""
AGAIN_SECONDS = 1.0
MAX_AGAIN_SECONDS = 15.0
"""Until a chore that failed is repeated: doubled from the one to the other."""
RETENTION_SECONDS = 3600.0
"""Between looks for a partition to drop: each drops one day at most, so a wrong clock that is noticed costs little."""
LIMITS_SECONDS = 2.0
"""Between looks for limits that were turned on and not counted."""
AUDITS: Final[Mapping[AuditPart, str]] = {
    "sequences": "of the sequences that were behind the tables (in a copy of the database)",
    "marks": "of the queues with jobs below their marks; workers claim these jobs now",
    "limits": "of the limits that did not count what runs (rows were removed by hand)",
    "queues": "of the queues that had jobs and no row; each is named orphaned-ID now",
}
BATCH = 5000
"""Jobs that one call promotes or rescues."""
PROMOTE_REST = 4.0
SCAN_REST = 20.0
"""Pause after a call as a multiple of the time that it took: looking for due jobs takes at most a fifth of a lane,
looking through all ready ones (for deadlines, for jobs that nobody holds) at most a twentieth."""


@dataclass(slots=True)
class Upkeep:
    """What has been done since the start, for metrics. `last_error` is None while all goes well."""

    leading: bool = False
    promoted: int = 0
    rescued: int = 0
    poisoned: int = 0
    lost_workers: int = 0
    overdue: int = 0
    """Attempts taken back past their deadline."""
    last_error: str | None = None
    succeeded_at: float | None = None
    """When this process last did all that was due, on the loop's clock."""


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
    buried: Callable[[], Awaitable[None]] | None = None
    """Awaited when a rescue made dead letters, and now and then for those of a leader that could not say so."""

    chance: Callable[[], float] = random.random
    """In [0, 1): when, behind the end of another's leadership, this process tries."""
    _marking: tuple[int, int] | None = None
    _leads: asyncio.Event = field(default_factory=asyncio.Event)
    _errors: dict[str, tuple[int, str]] = field(default_factory=dict)
    """By chore that failed when it was last tried: how often in a row, and the last error."""

    async def run(self) -> None:
        """Work until cancelled. An unreachable database is waited for."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_leading(), name="maintenance leadership")
            group.create_task(self._do_chores(), name="maintenance chores")

    async def _keep_leading(self) -> None:
        while True:
            pause = await self._tried("lead", self._lead)
            if "lead" in self._errors:  # soon, however often it failed: a lease is short
                pause = AGAIN_SECONDS
            if self.upkeep.leading:
                self._leads.set()
            else:
                self._leads.clear()
            await asyncio.sleep(pause)

    async def _do_chores(self) -> None:
        chores = {
            "promote": self._promote, "rescue": self._rescue, "rescue overdue": self._overdue, "marks": self._marks,
            "limits": self._limits, "housekeeping": self._housekeeping, "retention": self._retention,
        }  # fmt: skip
        due = dict.fromkeys(chores, float("-inf"))
        while True:
            await self._leads.wait()
            for name, chore in chores.items():
                if self.upkeep.leading and self.clock() >= due[name]:
                    due[name] = self.clock() + await self._tried(name, chore)
            if self.upkeep.leading and not self._errors:
                self.upkeep.succeeded_at = self.clock()
            await asyncio.sleep(max(0.0, min(due.values()) - self.clock()))

    async def _tried(self, name: str, chore: Callable[[], Awaitable[float]]) -> float:
        """Seconds until it is due again; an error is kept for whoever looks, and only this chore is repeated for it."""
        try:
            pause = await chore()
        except StoreError as error:
            self._marking = None  # the next answer may come from another server
            failures = self._errors.get(name, (0, ""))[0] + 1
            self._errors[name] = (failures, f"{name}: {error}")
            pause = min(MAX_AGAIN_SECONDS, AGAIN_SECONDS * 2.0 ** min(failures - 1, 10))
        else:
            self._errors.pop(name, None)
        self.upkeep.last_error = next((said for _, said in self._errors.values()), None)
        return pause

    # Each chore returns seconds until it is due again.

    async def _lead(self) -> float:
        """Another's leadership is tried for when it ends: whatever its holder had waits until somebody leads.

        While another transaction holds the leader's row nobody can take the leadership, so whoever has it goes on.
        """
        try:
            held, left = await self.store.leadership.acquire(NAME, self.holder, self.lease)
        except RowLocked:
            raise
        except StoreError:
            self.upkeep.leading = False
            raise
        self.upkeep.leading = held is not None
        if self.upkeep.leading:
            return self.lease / 3
        return min(self.lease / 3, left + SHORTEST_PAUSE + self.chance() * self.lease / SPREAD)

    async def _promote(self) -> float:
        began = self.clock()
        promotion = await self.store.leadership.promote(BATCH)
        self.upkeep.promoted += promotion.promoted
        if promotion.promoted >= BATCH:
            return 0.0
        rest = PROMOTE_REST * (self.clock() - began)
        if not promotion.promoted and promotion.next_due == 0:  # others hold the rows that are due
            return max(rest, LONGEST_PAUSE)
        if promotion.next_due == 0:  # the queues share a batch, and one has more than its part
            return max(rest, SHORTEST_PAUSE)
        return max(rest, min(LONGEST_PAUSE, max(SHORTEST_PAUSE, promotion.next_due or LONGEST_PAUSE)))

    async def _rescue(self, *, strays: bool = False) -> float:
        rescue = await self.store.leadership.rescue(self.holder, self.lease, strays=strays)
        self.upkeep.lost_workers += rescue.lost
        self.upkeep.rescued += rescue.rescued
        self.upkeep.poisoned += rescue.poisoned
        if rescue.poisoned or strays:
            await self._tell()
        return 0.0 if rescue.rescued + rescue.poisoned >= BATCH else self.lease / 5

    async def _overdue(self) -> float:
        began = self.clock()
        overdue = await self.store.leadership.rescue_overdue(self.holder, self.lease)
        self.upkeep.overdue += overdue.retried + overdue.buried
        if overdue.buried:
            await self._tell()
        return max(self.lease / 5, SCAN_REST * (self.clock() - began))

    async def _tell(self) -> None:
        if self.buried is not None:
            await self.buried()

    async def _marks(self) -> float:
        """Begin, and at the next look publish; often while queues move, seldom while they rest."""
        if self._marking is None:
            self._marking = await self.store.leadership.begin_marks()
            return SHORTEST_PAUSE
        moved = await self.store.leadership.publish_marks(*self._marking)
        if moved is None:
            return MARKS_SECONDS
        self._marking = None
        return MARKS_SECONDS if moved else RESTING_MARKS_SECONDS

    async def _limits(self) -> float:
        return LIMITS_SECONDS if await self.store.leadership.count_limits() else SHORTEST_PAUSE

    async def _housekeeping(self) -> float:
        began = self.clock()
        errors = list[StoreError]()
        for step in (
            functools.partial(self._rescue, strays=True), self.store.leadership.make_partitions, self._audit,
            self.store.leadership.prune_workers, self.store.leadership.prune_queues,
        ):  # fmt: skip
            try:
                await step()
            except StoreError as error:  # the others are done all the same
                errors.append(error)
        if errors:
            raise errors[0]
        return max(HOUSEKEEPING_SECONDS, SCAN_REST * (self.clock() - began))

    async def _audit(self) -> None:
        """Sequences before marks: what they gave again is found below the marks."""
        for part, said in AUDITS.items():
            if corrected := await self.store.leadership.audit(part):
                logger.warning("audit: corrected %d %s", corrected, said)

    async def _retention(self) -> float:
        await self.store.leadership.drop_partitions()
        return RETENTION_SECONDS
