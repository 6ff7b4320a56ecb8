"""A schedule's recurrence in plain language, for the CLI, `kubectl describe` and people."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from penstock.plural import plural

from .schedule import Schedule

_UNITS: Final = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_MAX_COUNT: Final = 120
"""Units of one kind in an interval; above, larger units are named as well."""
_WORDS: Final = ("second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
_ORDINALS: Final = {word: number for number, word in enumerate(_WORDS, start=2)}
_NTH: Final = rf"({'|'.join(_ORDINALS)}|\d+(?:st|nd|rd|th))"
_NTH_MINUTE: Final = re.compile(rf"^every {_NTH} minute(?: of every hour|(?= from \d\d:))")
_NTH_HOUR: Final = re.compile(rf"^at minute 0 past every {_NTH} hour(?! from)")
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
        text = "" if expression is None else _plain(expression.explain())
        text += f", {schedule.time_zone}"
    if schedule.jitter_seconds:
        text += f", plus {schedule.jitter.total_seconds():.0f} s of jitter"
    if schedule.starts_at is not None:
        text += f", from {schedule.starts_at.isoformat()}"
    if schedule.ends_at is not None:
        text += f", until {schedule.ends_at.isoformat()}"
    return text


def _plain(text: str) -> str:
    """The text of cronsim, reworded: "every second hour" is every two hours only if it divides the day."""
    text = text[:1].lower() + text[1:]
    if (match := _NTH_MINUTE.match(text)) and 60 % _number(match[1]) == 0:
        text = f"every {_number(match[1])} minutes{text[match.end() :]}"
    elif (match := _NTH_HOUR.match(text)) and 24 % _number(match[1]) == 0:
        text = f"every {_number(match[1])} hours on the hour{text[match.end() :]}"
    for pattern, better in _BETTER:
        text = pattern.sub(better, text)
    return _WEEKDAYS.sub(lambda found: found[0].replace("day", "days"), text)


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
