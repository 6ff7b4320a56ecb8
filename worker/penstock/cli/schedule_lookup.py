"""Finds the schedules that a command names, and computes the ticks that it shows.

Owns the errors about unknown and ambiguous names, and what a row says in plain language. Must not query the database:
it is given all rows. Times of ticks come from `penstock.schedules`, so a time shown here is one at which maintenance
enqueues. A row that this version cannot read is still listed, with its expression in place of the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from heapq import nsmallest
from typing import TYPE_CHECKING, Final, NamedTuple

from penstock.errors import ConfigurationError, InvalidSchedule, PenstockError, shown
from penstock.schedules import describe, ticks_after
from penstock.schedules.zones import zone_of

from .output import format_duration

if TYPE_CHECKING:
    from penstock.store.schedules import ScheduleRow

_INSTANT: Final = timedelta(microseconds=1)


class ComingTick(NamedTuple):
    """A tick to come. `seconds`: from now, by the database's clock."""

    queue: str
    name: str
    task: str
    tick: datetime
    seconds: float


def schedules_of_queue(rows: Sequence[ScheduleRow], queue: str | None, queues: Iterable[str] = ()) -> list[ScheduleRow]:
    """The rows of a queue, or all without one.

    Args:
        rows: all schedules.
        queue: its name, or None.
        queues: names of further queues that exist; they have no schedules.

    Raises:
        PenstockError: no queue has this name.
    """
    if queue is None:
        return list(rows)
    known = {row.queue for row in rows}.union(queues)
    if queue not in known:
        raise PenstockError(f"there is no queue {shown(queue)}{_near(queue, known)}")
    return [row for row in rows if row.queue == queue]


def find_schedule(rows: Sequence[ScheduleRow], name: str) -> ScheduleRow:
    """The row with this name.

    Raises:
        PenstockError: there is none.
        ConfigurationError: several queues have a schedule with this name.
    """
    found = [row for row in rows if row.name == name]
    if not found:
        raise PenstockError(f"there is no schedule {shown(name)}{_near(name, {row.name for row in rows})}")
    if len(found) > 1:
        queues = ", ".join(row.queue for row in found)
        raise ConfigurationError(f"schedule {shown(name)} exists in the queues {queues}: give --queue")
    return found[0]


def _near(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, sorted(known), n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def plain_recurrence(row: ScheduleRow) -> str:
    """The recurrence in plain language; the stored text if this version cannot read it."""
    try:
        return describe(row.schedule)
    except InvalidSchedule:
        return f"{row.spec}, {row.zone} (not readable by this version)"


def schedule_state(row: ScheduleRow) -> str:
    """Whether the schedule ticks, and if not, why."""
    if row.paused_at is not None:
        paused = f"paused {format_duration((row.now - row.paused_at).total_seconds())} by {row.paused_by}"
        return f"{paused}, suspended" if row.suspended else paused
    if row.suspended:
        return "suspended"
    if row.last_error is not None:
        return "failing"
    if row.late is not None:
        return f"late {format_duration(row.late)}"
    return "ended" if row.next_at is None else "active"


def upcoming_ticks(row: ScheduleRow, limit: int) -> list[ComingTick]:
    """The next ticks, fewer if the schedule ends; of a paused one, those that would come after a resume now.

    Raises:
        InvalidSchedule: this version cannot read the schedule.
    """
    after = row.now
    if not row.paused:
        if row.next_at is None:
            return []
        after = max(after, row.next_at.astimezone(UTC) - _INSTANT)
    ticks = ticks_after(row.schedule, after, limit)
    return [ComingTick(row.queue, row.name, row.task, tick, (tick - row.now).total_seconds()) for tick in ticks]


def merged_ticks(rows: Iterable[ScheduleRow], limit: int) -> list[ComingTick]:
    """The next ticks of all schedules that are not paused, the earliest first.

    The first `limit` ticks belong to the `limit` schedules that tick next; no other is computed.
    """
    ticking = [row for row in rows if not row.paused and row.next_at is not None]
    first = nsmallest(limit, ticking, key=lambda row: row.next_at or row.now)
    return nsmallest(limit, (tick for row in first for tick in _readable_ticks(row, limit)), key=lambda one: one.tick)


def _readable_ticks(row: ScheduleRow, limit: int) -> list[ComingTick]:
    try:
        return upcoming_ticks(row, limit)
    except InvalidSchedule:
        return []


def in_zone(row: ScheduleRow, instant: datetime | None) -> datetime | None:
    """The instant in the schedule's time zone; in UTC if this system does not know the zone."""
    if instant is None:
        return None
    try:
        return instant.astimezone(zone_of(row.zone, of=row.name))
    except InvalidSchedule:
        return instant.astimezone(UTC)
