"""The ticks of a schedule: the next ones after an instant, and the last ones that are due.

Pure: instants are arguments, and results are in UTC. Jitter moves each tick by the schedule's constant; start and end
dates bound the ticks before jitter, so the last tick of a schedule may come after its end date by its jitter.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile

from penstock.errors import InvalidSchedule

from .schedule import Schedule

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT = timedelta(microseconds=1)
_MIN_SPAN = timedelta(seconds=1)


def ticks_after(schedule: Schedule, after: datetime, limit: int = 1) -> list[datetime]:
    """The next ticks after an instant, ascending, in UTC; fewer than `limit` if the schedule ends.

    Args:
        schedule: whose ticks.
        after: with a time zone; a tick at this instant is left out.
        limit: 0 and more.

    Raises:
        InvalidSchedule: `after` has no time zone.
    """
    if after.tzinfo is None:
        raise InvalidSchedule(f"schedule {schedule.name!r}: ticks_after needs a datetime with a time zone")
    return list(islice(_ticks(schedule, after.astimezone(UTC)), max(limit, 0)))


def check_has_tick(schedule: Schedule) -> None:
    """Check that a tick comes between the dates of a schedule, at its declaration.

    Raises:
        InvalidSchedule: none does.
    """
    start, end = schedule.starts_at, schedule.ends_at
    if start is not None and end is not None and not ticks_after(schedule, start - _INSTANT):
        raise InvalidSchedule(
            f"schedule {schedule.name!r}: no tick of {schedule.spec!r} comes between {start.isoformat()} and"
            f" {end.isoformat()}"
        )


def due_ticks(schedule: Schedule, first: datetime, now: datetime, limit: int) -> list[datetime]:
    """The last `limit` ticks from `first` to `now`, both inclusive, ascending.

    The cost depends on `limit`, not on how long ago `first` is: windows go back from `now`, each as long as the density
    of the last one says, or twice as long where no tick is. One that has far more than are needed is halved.
    """
    first, end = first.astimezone(UTC), now.astimezone(UTC) + _INSTANT
    span = (schedule.every or timedelta(minutes=1)) * limit
    found = list[datetime]()
    while len(found) < limit and first < end:
        start = end - span if span < end - first else first
        needed = limit - len(found)
        window = list(islice(takewhile(end.__gt__, _ticks(schedule, start - _INSTANT)), 2 * needed + 1))
        if len(window) > 2 * needed:
            span = (end - start) / 2
            continue
        found[:0] = window
        end = start
        growth = min(2.0, (needed - len(window) + 1) / len(window)) if window else 2.0
        span = max(_MIN_SPAN, span * max(growth, 0.0))
    return found[-limit:]


def _ticks(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    jitter = schedule.jitter
    bound = after - jitter
    if schedule.starts_at is not None:
        bound = max(bound, schedule.starts_at.astimezone(UTC) - _INSTANT)
    expression = schedule.expression
    nominal = _intervals(schedule, bound) if expression is None else expression.after(bound)
    for tick in nominal:
        if schedule.ends_at is not None and tick > schedule.ends_at:
            return
        yield tick + jitter


def _intervals(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    every = schedule.every or timedelta(0)
    anchor = _EPOCH if schedule.starts_at is None else schedule.starts_at.astimezone(UTC)
    tick = anchor + ((after - anchor) // every + 1) * every
    while tick.year < 9999:
        yield tick
        tick += every
