"""A schedule's recurrence in plain language, for the CLI, `kubectl describe` and people."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from penstock.plural import plural

from .schedule import Schedule
from .zones import zone_of

_UNITS: Final = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
MAX_TEXT: Final = 160
"""Characters of an expression in plain language."""
_MAX_COUNT: Final = 120
"""Units of one kind in an interval; above, larger units are named as well."""
_WORDS: Final = ("second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
_ORDINALS: Final = {word: number for number, word in enumerate(_WORDS, start=2)}
_NTH: Final = rf"({'|'.join(_ORDINALS)}|\d+(?:st|nd|rd|th))"
_NTH_MINUTE: Final = re.compile(rf"^every {_NTH} minute(?: of every hour|(?= from \d\d:))")
_NTH_HOUR: Final = re.compile(rf"^at minute 0 past every {_NTH} hour(?! from)")
_NUMERAL: Final = re.compile(r"\b(\d+)th\b")
_DAY: Final = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_WEEKDAYS: Final = re.compile(rf"\bon {_DAY}(?:, {_DAY})*(?:,? and {_DAY})?(?! through)")
_BETTER: Final = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        (r"\bon Monday through Friday\b", "on weekdays"),
        (r"\bon Sunday through Saturday\b", "every day"),
        (r"^at minute 0 past every hour from (\d+) through (\d+)", r"every hour from \1:00 through \2:00"),
        (r"\bfrom (\d):00 through", r"from 0\1:00 through"),
        (r"\bthrough (\d):00", r"through 0\1:00"),
        (r" past (every|hours?)\b", r" of \1"),
        (r"\bon every day of month from (\d+) through (\d+)", r"on days \1 through \2 of the month"),
        (r"\bday of month\b", "day of the month"),
        (r"^(at \d\d:\d\d(?:,? (?:and )?\d\d:\d\d)*) in ", r"\1 every day in "),
        (r"\bin every month from (\w+ through \w+)", r"from \1"),
    )
)
"""What is odd English in the text of cronsim, and what is said instead, in this order."""


def describe(schedule: Schedule) -> str:
    """One clause, such as "at 09:00 on weekdays, Europe/Berlin" or "every 5 minutes"; dates and jitter follow."""
    if schedule.every is not None:
        text = _interval(schedule.every)
    else:
        expression = schedule.expression
        text = "" if expression is None else _plain(expression.explain(), schedule.spec)
        text += f", {schedule.time_zone}"
    if schedule.jitter_seconds:
        text += f", plus {schedule.jitter.total_seconds():.0f} s of jitter"
    if schedule.starts_at is not None:
        text += f", from {schedule.starts_at.isoformat()}"
    if schedule.ends_at is not None:
        text += f", until {schedule.ends_at.isoformat()}"
    return text


def local_time(instant: datetime, zone: str) -> str:
    """An instant as a time of day, such as "09:00 Europe/Berlin"; with seconds if it has any.

    Raises:
        InvalidSchedule: this system does not know the zone.
    """
    local = instant.astimezone(zone_of(zone, of="a schedule"))
    return f"{local:%H:%M:%S} {zone}" if local.second else f"{local:%H:%M} {zone}"


def _plain(text: str, expression: str) -> str:
    """The text of cronsim, reworded: "every second hour" is every two hours only if it divides the day.

    It lists every time of day; the expression is easier to read than a long list.
    """
    if len(text) > MAX_TEXT:
        return f"at the times of {expression}"
    text = text[:1].lower() + text[1:]
    if (match := _NTH_MINUTE.match(text)) and 60 % _number(match[1]) == 0:
        text = f"every {_number(match[1])} minutes{text[match.end() :]}"
    elif (match := _NTH_HOUR.match(text)) and 24 % _number(match[1]) == 0:
        text = f"every {_number(match[1])} hours on the hour{text[match.end() :]}"
    for pattern, better in _BETTER:
        text = pattern.sub(better, text)
    text = _NUMERAL.sub(_with_suffix, text)
    return _WEEKDAYS.sub(lambda found: found[0].replace("day", "days"), text)


def _with_suffix(found: re.Match[str]) -> str:
    """31st and 22nd, for which cronsim says 31th and 22th."""
    number = int(found[1])
    suffix = "th" if 10 < number % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def _number(ordinal: str) -> int:
    return _ORDINALS.get(ordinal) or int(ordinal[:-2])


def _interval(every: timedelta) -> str:
    left, parts = int(every.total_seconds()), list[str]()
    for seconds, unit in _UNITS:
        if left % seconds == 0 and left // seconds <= _MAX_COUNT:
            count = left // seconds
            return f"every {unit}" if count == 1 else f"every {plural(count, unit)}"
    for seconds, unit in _UNITS:
        if count := left // seconds:
            parts.append(plural(count, unit))
            left -= count * seconds
    return "every " + " ".join(parts)
