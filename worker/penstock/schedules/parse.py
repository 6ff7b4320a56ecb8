"""Reads one entry of a JobQueue's `spec.schedules[]` into a `Schedule`; unknown and missing fields are errors.

Owns the names of the manifest's fields, and nothing of their rules, which are in `schedule`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from penstock.errors import InvalidSchedule, shown

from .schedule import Schedule
from .ticks import check_has_tick

FIELDS: Final = {
    "name": "name",
    "task": "task",
    "cron": "cron",
    "everySeconds": "every",
    "timeZone": "time_zone",
    "args": "args",
    "suspend": "suspend",
    "missed": "missed",
    "missedLimit": "missed_limit",
    "overlap": "overlap",
    "jitterSeconds": "jitter_seconds",
    "leadSeconds": "lead_seconds",
    "startDate": "starts_at",
    "endDate": "ends_at",
    "priority": "priority",
    "maxAttempts": "max_attempts",
}
"""Attributes of a `Schedule` by field of the manifest; dates are RFC 3339 text."""
_REQUIRED: Final = ("name", "task")
assert set(FIELDS.values()) <= {f.name for f in fields(Schedule)}


def parse(document: Mapping[str, Any], *, queue: str = "default") -> Schedule:
    """The schedule of one entry.

    Args:
        document: the entry, camel case, as `FIELDS` names it; a field that is None counts as missing.
        queue: of its jobs.

    Raises:
        InvalidSchedule: a field is unknown, missing or breaks a rule; one message for the first fault.
    """
    if not isinstance(document, Mapping):
        raise InvalidSchedule(f"a schedule must be a mapping, got {shown(document)}")
    given = {name: value for name, value in document.items() if value is not None}
    of = f"schedule {shown(given.get('name'))}"
    if unknown := sorted(set(map(str, given)) - FIELDS.keys()):
        raise InvalidSchedule(f"{of}: unknown field {shown(unknown[0])}")
    for name in _REQUIRED:
        if name not in given:
            raise InvalidSchedule(f"{of}: the field {name!r} is missing")
    values: dict[str, Any] = {FIELDS[name]: _value(name, value, of=of) for name, value in given.items()}
    made = Schedule(**values, queue=queue)
    check_has_tick(made)
    return made


def _value(name: str, value: Any, *, of: str) -> Any:
    if name == "everySeconds":
        if type(value) is not int or not 0 < value <= 366 * 86_400:
            raise InvalidSchedule(f"{of}: everySeconds must be 1 to {366 * 86_400}, got {shown(value)}")
        return timedelta(seconds=value)
    if name in ("startDate", "endDate") and isinstance(value, str):
        try:
            date = datetime.fromisoformat(value)
        except ValueError as error:
            raise InvalidSchedule(f"{of}: {name} must be an RFC 3339 time, got {shown(value)}") from error
        return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    return value
