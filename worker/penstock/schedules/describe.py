"""A schedule's recurrence in plain language, for the CLI, `kubectl describe` and people."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from penstock.plural import plural

from .schedule import Schedule

_UNITS: Final = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_EVERY_NTH: Final = re.compile(r"every (\d+)(?:st|nd|rd|th) minute of every hour")


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
    text = text[:1].lower() + text[1:]
    text = text.replace("on Monday through Friday", "on weekdays")
    if (match := _EVERY_NTH.fullmatch(text)) and 60 % int(match[1]) == 0:
        return f"every {match[1]} minutes"
    return text


def _interval(every: timedelta) -> str:
    left, parts = int(every.total_seconds()), list[str]()
    for seconds, unit in _UNITS:
        if count := left // seconds:
            parts.append(plural(count, unit))
            left -= count * seconds
    if len(parts) == 1 and parts[0].startswith("1 "):
        return f"every {parts[0][2:]}"
    return "every " + " ".join(parts)
