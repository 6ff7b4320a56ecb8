"""Schedules as maintenance, a worker's registration, the operator and the CLI use them.

Owns the statements. What is due is computed and decided by due_schedules.py, from the database's clock. It needs no
leadership to be exact: a tick is decided under the schedule's row lock, and who comes second finds another next_at.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from penstock.errors import StoreError
from penstock.schedules import Schedule, ticks_after

from . import arrays
from .connections import Connections
from .due_schedules import DUE_LIMIT, DueRow, DueSchedules, Fired, TicksDue, stored_schedule

_DECLARATIONS: Final = 20
"""How often a declaration waits for due ticks of what it changes, a call of `fire_due` each."""


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


class Schedules:
    """Statements about schedules.

    Args:
        connections: open, or opened before the first call.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._due = DueSchedules(self)

    async def declare(self, queue: str, source: str, schedules: Sequence[Schedule]) -> dict[str, str]:
        """Make a queue's schedules from one source these; returns a verdict by name (declare_schedules.sql).

        Args:
            queue: the queue's name.
            source: "code" or "jobqueue"; a JobQueue's schedule wins over one of code with its name.
            schedules: all of them; others of this source are marked removed.

        Raises:
            StoreError: a tick of a schedule whose recurrence changes is due, and cannot be fired before the change.
        """
        result: dict[str, str] = {}
        for _ in range(_DECLARATIONS):
            now = (await self._connections.rows("schedule_due", 0))[-1][-1]
            document = arrays.documents([_columns(one, now) for one in schedules])
            rows = await self._connections.rows("declare_schedules", queue, source, document)
            verdicts = {str(name): str(verdict) for name, verdict in rows}
            due = [name for name, verdict in verdicts.items() if verdict == "due"]
            result |= {
                name: verdict for name, verdict in verdicts.items() if verdict != "unchanged" or name not in result
            }
            if not due:
                return result
            await self.fire_due()
        raise StoreError(f"schedule {due[0]!r} has a tick that is due and does not fire; its change is not declared")

    async def due(self, limit: int = DUE_LIMIT) -> tuple[list[DueRow], float | None]:
        """Schedules whose next tick has come and that nobody locks, and seconds until the earliest tick of the others.

        Those are 0 and less where others are due too: beyond the limit, or locked. None: no other tick comes.
        """
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
        """Fire ticks that are due, in one transaction (due_schedules.py).

        Raises:
            DatabaseUnavailable: the ticks are decided by the next call, or were by this one.
            RowLocked: another transaction has locked a table; the next call decides what this one did not.
        """
        return await self._due.fire(limit)


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
        "jitter_number": schedule.jitter_number,
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
