"""Maintenance by one leader per database: promote, fire schedules, rescue, publish marks, partitions, prune, audit.

Every call is idempotent: two leaders at once (one of them frozen and thawed) do no harm. Workers run it; without a live
worker the operator or the local mode does. When idle it costs about one query a second; a chore that reads many rows
runs less often the longer it takes. No chore waits for a row that others lock, and one that fails
is retried alone: neither the other chores nor the leadership, which has its own task, depend on it.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from penstock.cancellation import run_together
from penstock.errors import RowLocked, StoreError

from .rows import AuditPart
from .schedule_chores import ScheduleChores
from .store import Store

logger = logging.getLogger("penstock.maintenance")

NAME = "maintenance"
MAX_PAUSE = 0.75
"""Maximum seconds between promotions: with the query's own time, a job starts within a second of its due time."""
MIN_PAUSE = 0.05
CLEANUP_SECONDS = 60.0
SPREAD = 60.0
"""Processes that wait for a leadership spread tries over this part of a lease after it expired: 250 ms of 15 s."""
MARKS_SECONDS = 1.0
RESTING_MARKS_SECONDS = 5.0
"""Seconds between publications of marks, while they move and while they do not."""
RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 15.0
"""Seconds until a failed chore is retried: doubled from the first to the second."""
RETENTION_SECONDS = 3600.0
"""Seconds between drops of a partition: each drops at most one day, which limits the damage of a wrong clock."""
LIMITS_SECONDS = 2.0
"""Seconds between counts of limits that were turned on."""
AUDITS: Final[Mapping[AuditPart, str]] = {
    "sequences": "of the sequences that lagged the tables (in a copy of the database)",
    "marks": "of the queues with jobs below their marks; workers now claim these jobs",
    "limits": "of the limits that counted wrong (rows were removed manually)",
    "queues": "of the queues that had jobs and no row; their names are now orphaned-ID",
}
BATCH = 5000
"""Jobs that one call promotes or rescues."""
PROMOTE_REST = 4.0
SCAN_REST = 20.0
"""Pause after a call as a multiple of its duration: searching due jobs takes at most a fifth of a connection's time,
scanning all ready ones (for deadlines, for jobs without a worker) at most a twentieth."""


@dataclass(slots=True)
class MaintenanceStats:
    """Counts since the start, for metrics. `last_error` is None while every chore succeeds."""

    leading: bool = False
    promoted: int = 0
    rescued: int = 0
    poisoned: int = 0
    lost_workers: int = 0
    overdue: int = 0
    """Attempts reclaimed past their deadline."""
    last_error: str | None = None
    succeeded_at: float | None = None
    """When this process last completed all due chores, on the loop's clock."""


@dataclass(slots=True)
class Maintenance:
    """The maintenance loop of one process.

    Args:
        store: connections shared with the caller.
        holder: a unique name of this process, for the leader row.
        lease: seconds; of workers and of the leadership.
        clock: monotonic seconds.
    """

    store: Store
    holder: str
    lease: float
    clock: Callable[[], float]
    stats: MaintenanceStats = field(default_factory=MaintenanceStats)
    on_dead_letters: Callable[[], Awaitable[None]] | None = None
    """Awaited after a rescue made dead letters, and once in a while for those that an earlier leader did not report."""

    rng: Callable[[], float] = random.random
    """Draws from [0, 1): when this process tries, after another's leadership expired."""
    schedule_chores: ScheduleChores = field(init=False)
    _marking: tuple[int, int] | None = None
    _leads: asyncio.Event = field(default_factory=asyncio.Event)
    _errors: dict[str, tuple[int, str]] = field(default_factory=dict)
    """By failed chore: how often in a row, and the last error."""

    def __post_init__(self) -> None:
        self.schedule_chores = ScheduleChores(self.store.schedules, self.clock)

    async def run(self) -> None:
        """Run until cancelled. Waits for an unreachable database."""
        await run_together(maintenance_leadership=self._keep_leading(), maintenance_chores=self._do_chores())

    async def _keep_leading(self) -> None:
        while True:
            pause = await self._attempt("lead", self._lead)
            if "lead" in self._errors:  # soon, after any number of failures: a lease is short
                pause = RETRY_SECONDS
            if self.stats.leading:
                self._leads.set()
            else:
                self._leads.clear()
            await asyncio.sleep(pause)

    async def _do_chores(self) -> None:
        chores = {
            "promote": self._promote,
            "schedules": self.schedule_chores.fire,
            "rescue": self._rescue,
            "rescue overdue": self._overdue,
            "marks": self._marks,
            "limits": self._limits,
            "cleanup": self._cleanup,
            "retention": self._retention,
        }
        due = dict.fromkeys(chores, float("-inf"))
        while True:
            await self._leads.wait()
            for name, chore in chores.items():
                if self.stats.leading and self.clock() >= due[name]:
                    due[name] = self.clock() + await self._attempt(name, chore)
            if self.stats.leading and not self._errors:
                self.stats.succeeded_at = self.clock()
            await asyncio.sleep(max(0.0, min(due.values()) - self.clock()))

    async def _attempt(self, name: str, chore: Callable[[], Awaitable[float]]) -> float:
        """Seconds until it is due again; an error is kept in the stats, and only this chore is retried for it."""
        try:
            pause = await chore()
        except StoreError as error:
            self._marking = None  # the next reply may come from another server
            failures = self._errors.get(name, (0, ""))[0] + 1
            self._errors[name] = (failures, f"{name}: {error}")
            pause = min(MAX_RETRY_SECONDS, RETRY_SECONDS * 2.0 ** min(failures - 1, 10))
        else:
            self._errors.pop(name, None)
        self.stats.last_error = next((message for _, message in self._errors.values()), None)
        return pause

    # Each chore returns seconds until it is due again.

    async def _lead(self) -> float:
        """Try for another's leadership when it ends, because the chores wait until a process leads.

        While another transaction locks the leader's row nobody can take the leadership: its holder goes on.
        """
        try:
            led_for, left = await self.store.leadership.acquire(NAME, self.holder, self.lease)
        except RowLocked:
            raise
        except StoreError:
            self.stats.leading = False
            raise
        self.stats.leading = led_for is not None
        if self.stats.leading:
            return self.lease / 3
        return min(self.lease / 3, left + MIN_PAUSE + self.rng() * self.lease / SPREAD)

    async def _promote(self) -> float:
        started = self.clock()
        promotion = await self.store.leadership.promote(BATCH)
        self.stats.promoted += promotion.promoted
        if promotion.promoted >= BATCH:
            return 0.0
        rest = PROMOTE_REST * (self.clock() - started)
        if not promotion.promoted and promotion.next_due == 0:  # others lock the rows that are due
            return max(rest, MAX_PAUSE)
        if promotion.next_due == 0:  # the queues share a batch, and one has more than its share
            return max(rest, MIN_PAUSE)
        return max(rest, min(MAX_PAUSE, max(MIN_PAUSE, promotion.next_due or MAX_PAUSE)))

    async def _rescue(self, *, strays: bool = False) -> float:
        rescue = await self.store.leadership.rescue(self.holder, self.lease, strays=strays)
        self.stats.lost_workers += rescue.lost
        self.stats.rescued += rescue.rescued
        self.stats.poisoned += rescue.poisoned
        if rescue.poisoned or strays:
            await self._notify()
        return 0.0 if rescue.rescued + rescue.poisoned >= BATCH else self.lease / 5

    async def _overdue(self) -> float:
        started = self.clock()
        overdue = await self.store.leadership.rescue_overdue(self.holder, self.lease)
        self.stats.overdue += overdue.retried + overdue.dead_lettered
        if overdue.dead_lettered:
            await self._notify()
        return max(self.lease / 5, SCAN_REST * (self.clock() - started))

    async def _notify(self) -> None:
        if self.on_dead_letters is not None:
            await self.on_dead_letters()

    async def _marks(self) -> float:
        """Start a publication, and publish in the next call; often while queues move, rarely while they rest."""
        if self._marking is None:
            self._marking = await self.store.leadership.start_marks()
            return MIN_PAUSE
        moved = await self.store.leadership.publish_marks(*self._marking)
        if moved is None:
            return MARKS_SECONDS
        self._marking = None
        return MARKS_SECONDS if moved else RESTING_MARKS_SECONDS

    async def _limits(self) -> float:
        return LIMITS_SECONDS if await self.store.leadership.count_limits() else MIN_PAUSE

    async def _cleanup(self) -> float:
        started = self.clock()
        errors = list[StoreError]()
        for step in (
            functools.partial(self._rescue, strays=True),
            self.store.leadership.make_partitions,
            self._audit,
            self.store.leadership.prune_workers,
            self.store.leadership.prune_queues,
            self.schedule_chores.prune,
        ):
            try:
                await step()
            except StoreError as error:  # the others are done nevertheless
                errors.append(error)
        if errors:
            raise errors[0]
        return max(CLEANUP_SECONDS, SCAN_REST * (self.clock() - started))

    async def _audit(self) -> None:
        """Sequences before marks: jobs with repeated numbers are then found below the marks."""
        for part, what in AUDITS.items():
            if corrected := await self.store.leadership.audit(part):
                logger.warning("audit: corrected %d %s", corrected, what)

    async def _retention(self) -> float:
        await self.store.leadership.drop_partitions()
        return RETENTION_SECONDS
