"""Decides the ticks that are due: computes them from the database's clock, and fires a bounded number at once.

Owns how much one step does. The event loop of a worker runs jobs and renews leases, so it has its turn after each
schedule, and a transaction holds a bounded number of schedules and ticks. A schedule that fails is noted and left alone
for a minute; the others go on. A locked one is stepped over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

from penstock.errors import DatabaseUnavailable, InvalidSchedule, RowLocked, StoreError
from penstock.schedules import Schedule, due_ticks, ticks_after

DUE_LIMIT: Final = 200
"""Schedules of one step: one transaction, after which the other chores of maintenance have their turn."""
MAX_TICKS: Final = 1000
"""Ticks of one step, as many as one schedule with the highest `missed_limit` has: jobs of one transaction."""
LOCKED_PAUSE: Final = 1.0
"""Seconds until the next step while nothing can be moved, because other transactions hold the schedules."""
_EVERY: Final = "@every "


class _DeclarationColumns(Protocol):
    """The columns of a declaration, as each row of a schedule has them."""

    @property
    def queue(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def spec(self) -> str: ...
    @property
    def zone(self) -> str: ...
    @property
    def starts_at(self) -> datetime | None: ...
    @property
    def ends_at(self) -> datetime | None: ...
    @property
    def jitter(self) -> int: ...
    @property
    def missed(self) -> str: ...
    @property
    def missed_limit(self) -> int: ...


class DueRow(NamedTuple):
    """What the ticks of a schedule that is due are computed from."""

    id: int
    queue: str
    name: str
    task: str
    spec: str
    zone: str
    starts_at: datetime | None
    ends_at: datetime | None
    jitter: int
    missed: str
    missed_limit: int
    generation: int
    next_at: datetime
    now: datetime


class TicksDue(NamedTuple):
    """The ticks of one schedule, and when the next one comes; for `Schedules.fire`."""

    id: int
    generation: int
    seen: datetime
    next: datetime | None
    ticks: list[datetime]


class Statements(Protocol):
    """The statements that a step needs, as `Schedules` has them."""

    async def due(self, limit: int) -> tuple[list[DueRow], float | None]:
        """Schedules that are due, and seconds until the earliest tick of the others."""

    async def fire(self, decisions: Sequence[TicksDue]) -> dict[int, int]:
        """Decide the ticks in one transaction; returns the jobs of the schedules that were moved."""

    async def failed(self, row: DueRow, error: Exception) -> None:
        """Note that the ticks of a schedule could not be decided."""


@dataclass(slots=True)
class Fired:
    """The result of `fire_due`.

    Attributes:
        schedules: how many were moved on.
        jobs: how many jobs were enqueued.
        failed: how many could not be decided.
        next_due: seconds until the next tick, on the database's clock; 0: more are due; None: no tick comes.
    """

    schedules: int = 0
    jobs: int = 0
    failed: int = 0
    next_due: float | None = None


def stored_schedule(row: _DeclarationColumns) -> Schedule:
    """The declaration that a row holds, without its arguments.

    Raises:
        InvalidSchedule: this version of Penstock cannot read it, or its system does not know the time zone.
    """
    every = timedelta(seconds=int(row.spec.removeprefix(_EVERY))) if row.spec.startswith(_EVERY) else None
    return Schedule(
        name=row.name,
        queue=row.queue,
        task=row.task,
        cron=None if every else row.spec,
        every=every,
        time_zone=row.zone,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        jitter_seconds=row.jitter,
        missed=row.missed,  # type: ignore[arg-type]
        missed_limit=row.missed_limit,
    )


def ticks_due(row: DueRow) -> TicksDue:
    """The ticks of a schedule up to the database's clock, as many as its policy for missed ones can use."""
    schedule = stored_schedule(row)
    limit = schedule.missed_limit if schedule.missed == "All" else 1
    ticks = due_ticks(schedule, row.next_at, row.now, limit)
    following = ticks_after(schedule, row.now, 1)
    return TicksDue(row.id, row.generation, row.next_at, following[0] if following else None, ticks)


class DueSchedules:
    """Fires what is due, step by step.

    Args:
        schedules: statements.
    """

    def __init__(self, schedules: Statements) -> None:
        self._schedules = schedules
        self._room = MAX_TICKS
        """Ticks of the next step: halved when the server did not complete one, doubled when it did."""

    async def fire(self, limit: int = DUE_LIMIT) -> Fired:
        """Fire the ticks of at most `limit` schedules, the longest due first, as many as fit into one transaction.

        Raises:
            DatabaseUnavailable: the ticks are decided by the next call, which takes half as many, or were by this one.
            RowLocked: another transaction has locked a table; the next call decides what this one did not.
        """
        rows, next_due = await self._schedules.due(limit)
        result = Fired()
        decided, complete = await self._decided(rows, result)
        room = self._room
        if decided:
            await self._fire(decided, result)
        if room == self._room:
            self._room = min(MAX_TICKS, 2 * room)
        moved = result.schedules + result.failed
        if moved and (not complete or len(rows) >= limit):
            result.next_due = 0.0
        elif moved < len(rows) or (next_due is not None and next_due <= 0):
            result.next_due = LOCKED_PAUSE if next_due is None or next_due <= 0 else min(LOCKED_PAUSE, next_due)
        else:
            result.next_due = next_due
        return result

    async def _decided(self, rows: Sequence[DueRow], result: Fired) -> tuple[list[tuple[DueRow, TicksDue]], bool]:
        """The decisions that fit into a step, at least one, and whether those are all."""
        decided, size = list[tuple[DueRow, TicksDue]](), 0
        for row in rows:
            if size >= self._room:
                return decided, False
            await asyncio.sleep(0)
            try:
                decision = ticks_due(row)
            except (InvalidSchedule, ArithmeticError, ValueError) as error:
                await self._note(row, error, result)
                continue
            size += _size(decision)
            if decided and size > self._room:
                return decided, False
            decided.append((row, decision))
        return decided, True

    async def _fire(self, decided: Sequence[tuple[DueRow, TicksDue]], result: Fired) -> None:
        """Fire decisions, in halves if the database refuses them: one refused schedule does not stop its neighbours.

        A lock is no refusal: each half would wait for it again, and the other chores of maintenance with it.
        """
        try:
            fired = await self._schedules.fire([decision for _, decision in decided])
        except RowLocked:
            raise
        except StoreError as error:
            self._room = min(self._room, max(1, sum(_size(decision) for _, decision in decided) // 2))
            if isinstance(error, DatabaseUnavailable):
                raise
            if len(decided) == 1:
                await self._note(decided[0][0], error, result)
                return
            half = len(decided) // 2
            await self._fire(decided[:half], result)
            await self._fire(decided[half:], result)
        else:
            result.schedules += len(fired)
            result.jobs += sum(fired.values())

    async def _note(self, row: DueRow, error: Exception, result: Fired) -> None:
        result.failed += 1
        await self._schedules.failed(row, error)


def _size(decision: TicksDue) -> int:
    return max(1, len(decision.ticks))
