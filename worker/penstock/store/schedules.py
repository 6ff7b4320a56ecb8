"""Schedules as maintenance, a worker's registration, the operator and the CLI use them.

Owns the statements, and `fire_due`, which computes ticks from the database's clock and decides them in batches. It
needs no leadership to be exact: a tick is decided under the schedule's row lock, and who comes second finds another
next_at. A schedule that fails is noted and left alone for a minute; the others go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from penstock.errors import DatabaseUnavailable, InvalidSchedule, RowLocked, StoreError
from penstock.schedules import Schedule, due_ticks, ticks_after

from . import arrays
from .connections import Connections

BATCH: Final = 200
"""Schedules of one statement; their ticks take about ten milliseconds to compute, which an event loop can wait."""
DUE_LIMIT: Final = BATCH
"""Schedules of one call of `fire_due`: one transaction, after which the other chores of maintenance have their turn."""
_EVERY: Final = "@every "


class ScheduleRow(NamedTuple):
    """A schedule as list_schedules.sql describes it. `jitter` and `lead_seconds` are seconds, `late` is seconds."""

    id: int
    queue: str
    name: str
    source: str
    generation: int
    spec: str
    zone: str
    starts_at: datetime | None
    ends_at: datetime | None
    jitter: int
    lead_seconds: int
    task: str
    missed: str
    missed_limit: int
    overlap: str
    paused: bool
    suspended: bool
    paused_at: datetime | None
    paused_by: str | None
    next_at: datetime | None
    last_tick: datetime | None
    last_job: int | None
    fired: int
    last_success_at: datetime | None
    late: float | None
    last_error: str | None
    waiting: int
    busy: bool
    now: datetime

    @property
    def schedule(self) -> Schedule:
        """The declaration, without its arguments. Raises InvalidSchedule: this version cannot read it."""
        return stored_schedule(self)

    @property
    def follows_previous(self) -> bool:
        """Whether the next tick's job needs no slot of its own: it is skipped, or waits for one that is live."""
        return self.overlap != "Allow" and (self.busy or self.waiting > 0)


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


def stored_schedule(row: ScheduleRow | DueRow) -> Schedule:
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


class Schedules:
    """Statements about schedules.

    Args:
        connections: open, or opened before the first call.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def declare(self, queue: str, source: str, schedules: Sequence[Schedule]) -> dict[str, str]:
        """Make a queue's schedules from one source these; returns a verdict by name (declare_schedules.sql).

        Args:
            queue: the queue's name.
            source: "code" or "jobqueue"; a JobQueue's schedule wins over one of code with its name.
            schedules: all of them; others of this source are marked removed.
        """
        now = (await self._connections.rows("schedule_due", 0))[-1][-1]
        document = arrays.documents([_columns(one, now) for one in schedules])
        rows = await self._connections.rows("declare_schedules", queue, source, document)
        return {str(name): str(verdict) for name, verdict in rows}

    async def due(self, limit: int = DUE_LIMIT) -> tuple[list[DueRow], float | None]:
        """Schedules whose next tick has come, and seconds until the earliest other one; None if there is none."""
        *rows, last = await self._connections.rows("schedule_due", limit)
        earliest, now = last[-2:]
        return [DueRow(*row) for row in rows], None if earliest is None else (earliest - now).total_seconds()

    async def fire(self, decisions: Sequence[TicksDue]) -> dict[int, int]:
        """Decide ticks of many schedules in one transaction; returns the jobs of those that it moved, by id."""
        ticks = [(one.id, tick) for one in decisions for tick in one.ticks]
        rows = await self._connections.rows(
            "schedule_fire",
            [one.id for one in decisions],
            [one.generation for one in decisions],
            [one.seen for one in decisions],
            [one.next for one in decisions],
            [id_ for id_, _ in ticks],
            [tick for _, tick in ticks],
        )
        return {int(id_): int(fired) for id_, fired in rows}

    async def failed(self, row: DueRow, error: Exception) -> None:
        """Note that a schedule's ticks could not be decided; it is tried again in a minute."""
        await self._connections.rows("schedule_failed", row.id, row.generation, f"{type(error).__name__}: {error}")

    async def settle(self, limit: int = 5000) -> tuple[int, int]:
        """Note how jobs of ticks ended, and start ticks that waited; returns how many, and how many are open."""
        settled, still_open = (await self._connections.rows("settle_schedules", limit))[0]
        return int(settled), int(still_open)

    async def prune(self, limit: int = 5000) -> int:
        """Delete rows of old ticks; returns how many."""
        return int(await self._connections.value("prune_ticks", limit))

    async def list(self, queues: Sequence[str] | None = None) -> list[ScheduleRow]:
        """The declared schedules of these queues, or of all."""
        names = None if queues is None else list(queues)
        return [ScheduleRow(*row) for row in await self._connections.rows("list_schedules", names)]

    async def pause(self, row: ScheduleRow, *, paused: bool, next_at: datetime | None = None) -> tuple[bool, bool]:
        """Pause or resume; returns whether it exists, and whether its declaration is still that of the row.

        Args:
            row: from `list`.
            paused: or resumed.
            next_at: its first tick from now on, for a resume; those of the pause are not fired.
        """
        values = (row.queue, row.name, paused, row.generation, next_at)
        found, done = (await self._connections.rows("pause_schedule", *values))[0]
        return bool(found), bool(done)

    async def run(self, queue: str, name: str) -> int | None:
        """Enqueue a job of a schedule now; returns its id, None if there is no such schedule."""
        job = await self._connections.value("run_schedule", queue, name)
        return None if job is None else int(job)

    async def fire_due(self, limit: int = DUE_LIMIT) -> Fired:
        """Fire the ticks that are due, `BATCH` schedules a statement.

        Raises:
            DatabaseUnavailable: the ticks are decided by the next call, or were by this one.
            RowLocked: another transaction has locked a table; the next call decides what this one did not.
        """
        rows, next_due = await self.due(limit)
        result = Fired(next_due=0.0 if len(rows) >= limit else next_due)
        for start in range(0, len(rows), BATCH):
            await asyncio.sleep(0)
            decided = list[tuple[DueRow, TicksDue]]()
            for row in rows[start : start + BATCH]:
                try:
                    decided.append((row, ticks_due(row)))
                except (InvalidSchedule, ArithmeticError, ValueError) as error:
                    await self._note(row, error, result)
            await self._fire(decided, result)
        if result.schedules + result.failed < len(rows):
            result.next_due = 0.0  # others hold them, or have decided them
        return result

    async def _fire(self, decided: Sequence[tuple[DueRow, TicksDue]], result: Fired) -> None:
        """Fire a batch, in halves if the database refuses it: one refused schedule does not stop its neighbours.

        A lock is no refusal: each half would wait for it again, and the other chores of maintenance with it.
        """
        if not decided:
            return
        try:
            fired = await self.fire([decision for _, decision in decided])
        except (DatabaseUnavailable, RowLocked):
            raise
        except StoreError as error:
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
        await self.failed(row, error)


def _columns(schedule: Schedule, now: datetime) -> dict[str, Any]:
    """A declaration by column, its first tick after `now` included; times are ISO 8601 text."""
    following = ticks_after(schedule, now, 1)
    times = {
        "starts_at": schedule.starts_at,
        "ends_at": schedule.ends_at,
        "next_at": following[0] if following else None,
    }
    return {
        "name": schedule.name,
        "spec": schedule.spec,
        "zone": schedule.time_zone,
        "jitter": schedule.jitter_seconds,
        "lead": schedule.lead_seconds,
        "task": schedule.task,
        "args": dict(schedule.args),
        "priority": schedule.priority,
        "max_attempts": schedule.max_attempts,
        "missed": schedule.missed,
        "missed_limit": schedule.missed_limit,
        "overlap": schedule.overlap,
        "suspended": schedule.suspend,
    } | {name: None if value is None else value.isoformat() for name, value in times.items()}
