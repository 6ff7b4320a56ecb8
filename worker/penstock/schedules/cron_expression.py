"""One cron expression in one time zone: its bounds, and its ticks with the rules for daylight saving time.

cronsim parses the five fields and matches dates; the walk over dates and hours is here, because its cost must have a
bound for any expression and its local times must follow Penstock's rules. An expression whose hour and minute are both
fixed names local times: one that is skipped fires at the end of the gap, one that comes twice fires the first time. One
whose minute or hour starts with a star names intervals: it follows elapsed time through both changes, as Debian's cron.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

from cronsim import CronSim, CronSimError

from penstock.errors import InvalidSchedule, shown

from .zones import exists, first_instant

MAX_LENGTH: Final = 200
"""Characters of an expression."""
MAX_TERMS: Final = 60
"""Terms of a field, between commas."""
FIELDS: Final = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day of month": "1 to 31, L and LW",
    "month": "1 to 12 and JAN to DEC",
    "day of week": "0 to 7, SUN to SAT, 5L and 5#2",
}
"""The fields in order, with their values; each also takes `*`, ascending ranges, steps and lists."""
SHORTCUTS: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
SEARCH_YEARS: Final = 40
"""Years that are searched for the next tick: 29 February falls on each weekday within 40."""
_CALENDARS: Final = (2000, 2001, 2002, 2003, 2004, 2005, 2006, 2007, 2008, 2009, 2012, 2016, 2020, 2024)
"""A year of each of the fourteen calendars: seven weekdays for 1 January, leap or not."""
_MAX_STEPS: Final = {"minute": 59, "hour": 23}
"""`*/90` as the minute would not mean every 90 minutes, but the start of every hour."""
_STEP: Final = re.compile(r"/([0-9]+)")
_CHARACTERS: Final = re.compile(r"[0-9A-Za-z*/,#-]+")
_EPOCH: Final = datetime(2000, 1, 1)  # noqa: DTZ001 - cronsim needs a start, which is not used
_DAY, _MINUTE = timedelta(days=1), timedelta(minutes=1)


class CronExpression:
    """A parsed expression.

    Args:
        text: five fields, or one of `SHORTCUTS`; at most `MAX_LENGTH` characters.
        zone: its local times are of this zone.
        of: how errors name the schedule.

    Raises:
        InvalidSchedule: it does not parse, or no date ever matches it, such as 30 February.
    """

    __slots__ = ("_days", "_hours", "_minutes", "_sim", "_zone", "follows_elapsed_time", "text")

    def __init__(self, text: str, zone: tzinfo, *, of: str) -> None:
        self.text = text
        fields = _fields(text, of=of)
        self._sim = _parsed(fields, text, of=of)
        self._zone = zone
        days = sorted(self._sim.days)
        self._days = days if self._sim.day_and and days[0] > 0 else list(range(1, 32))  # of a month; below 0: its last
        self._hours, self._minutes = sorted(self._sim.hours), sorted(self._sim.minutes)
        self.follows_elapsed_time = fields[0].startswith("*") or fields[1].startswith("*")
        if next(self._dates(date(2000, 1, 1), years=_CALENDARS), None) is None:
            raise InvalidSchedule(f"{of}: no date ever matches the cron expression {shown(text)}")

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Ticks after an instant, ascending, in UTC; it stops where none comes within `SEARCH_YEARS` years."""
        return self._elapsed(instant) if self.follows_elapsed_time else self._local_times(instant)

    def explain(self) -> str:
        """The expression in plain language, as cronsim words it."""
        return self._sim.explain()

    def _dates(self, start: date, *, years: tuple[int, ...] = ()) -> Iterator[date]:
        """Dates that match, from `start` for `SEARCH_YEARS` years or of the given years."""
        months = sorted(self._sim.months)
        for year in years or range(start.year, min(start.year + SEARCH_YEARS, 9998) + 1):
            for month in months:
                length = monthrange(year, month)[1]
                for day in (date(year, month, one) for one in self._days if one <= length):
                    if day >= start and self._sim.match_day(day):
                        yield day

    def _local_times(self, instant: datetime) -> Iterator[datetime]:
        last = instant
        for day in self._dates(instant.astimezone(self._zone).date()):
            for hour in self._hours:
                for minute in self._minutes:
                    tick = first_instant(datetime.combine(day, time(hour, minute), self._zone))
                    if tick > last:
                        yield tick
                        last = tick

    def _elapsed(self, instant: datetime) -> Iterator[datetime]:
        now = instant.astimezone(UTC).replace(second=0, microsecond=0) + _MINUTE
        hours, minutes, months = self._sim.hours, self._sim.minutes, self._sim.months
        limit = min(now.year + SEARCH_YEARS, 9998)
        while now.year < limit:
            local = now.astimezone(self._zone)
            if local.month not in months or not self._sim.match_day(local.date()):
                now = self._next_date(now, local)
            elif local.hour not in hours:
                now = self._forward(now, local, timedelta(minutes=60 - local.minute))
            elif local.minute not in minutes:
                ahead = (m - local.minute for m in self._minutes if m > local.minute)
                now = self._forward(now, local, timedelta(minutes=next(ahead, 60 - local.minute)))
            else:
                yield now
                now += _MINUTE
                limit = min(now.year + SEARCH_YEARS, 9998)

    def _next_date(self, now: datetime, local: datetime) -> datetime:
        """Midnight of the next date that matches, or a minute later where clocks change in between."""
        day = next(self._dates(local.date() + _DAY), None)
        if day is None:
            return now.replace(year=9999)
        midnight = datetime.combine(day, time(), self._zone)
        start = first_instant(midnight)
        return start if start > now and exists(midnight) else max(start, now + _MINUTE)

    def _forward(self, now: datetime, local: datetime, ahead: timedelta) -> datetime:
        """Go ahead; by a single minute where the zone's offset changes on the way."""
        later = now + ahead
        return later if later.astimezone(self._zone).utcoffset() == local.utcoffset() else now + _MINUTE


def check_text(text: object, *, of: str) -> None:
    """Check that an expression is text of a bounded length. Raises InvalidSchedule."""
    if not isinstance(text, str) or not 0 < len(text) <= MAX_LENGTH:
        raise InvalidSchedule(f"{of}: a cron expression has 1 to {MAX_LENGTH} characters, got {shown(text)}")


def _fields(text: str, *, of: str) -> list[str]:
    check_text(text, of=of)
    fields = SHORTCUTS.get(text.strip().lower(), text).split()
    if text.lstrip().startswith("@") and len(fields) != len(FIELDS):
        raise InvalidSchedule(f"{of}: a shortcut is one of {', '.join(SHORTCUTS)}, got {shown(text)}")
    if len(fields) != len(FIELDS):
        raise InvalidSchedule(
            f"{of}: a cron expression has five fields ({', '.join(FIELDS)}), got {len(fields)} in {shown(text)}"
        )
    for name, field in zip(FIELDS, fields, strict=True):
        if not _CHARACTERS.fullmatch(field) or field.count(",") >= MAX_TERMS:
            raise _invalid(name, field, text, of=of)
    for (name, maximum), field in zip(_MAX_STEPS.items(), fields, strict=False):
        if any(int(step) > maximum for step in _STEP.findall(field)):
            raise InvalidSchedule(
                f"{of}: the {name} of a cron expression is invalid: {shown(field)} in {shown(text)}; a step of it is"
                f" at most {maximum}"
            )
    return fields


def _invalid(name: str, field: str, text: str, *, of: str) -> InvalidSchedule:
    return InvalidSchedule(
        f"{of}: the {name} of a cron expression is invalid: {shown(field)} in {shown(text)}; it takes {FIELDS[name]},"
        " ascending ranges, steps and lists"
    )


def _parsed(fields: list[str], text: str, *, of: str) -> CronSim:
    """Field by field first: an error then names the field and its value."""
    for place, name in enumerate(FIELDS):
        alone = [field if place == n else "*" for n, field in enumerate(fields)]
        try:
            CronSim(" ".join(alone), _EPOCH)
        except (CronSimError, AssertionError, ValueError) as error:
            raise _invalid(name, fields[place], text, of=of) from error
    try:
        return CronSim(" ".join(fields), _EPOCH)
    except (CronSimError, AssertionError, ValueError) as error:
        raise InvalidSchedule(f"{of}: no date ever matches the cron expression {shown(text)}") from error
