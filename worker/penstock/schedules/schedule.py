"""`Schedule`: the value that a declaration in code and a `spec.schedules[]` of a JobQueue both become, with its rules.

Pure. Every rule raises where the schedule is declared, never at a tick. A schedule recurs by a cron expression in a
time zone, or by an interval that is absolute: counted from its start date, or from 1970 in UTC without one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, Literal, get_args

from penstock.errors import InvalidSchedule, shown

from .cron_expression import CronExpression, check_text
from .zones import zone_of

Missed = Literal["Skip", "Once", "All"]
"""What happens to ticks that nobody could fire in time."""
Overlap = Literal["Allow", "Skip", "Queue"]
"""What happens to a tick while the job of an earlier one is live."""

MAX_EVERY: Final = timedelta(days=366)
MIN_EVERY: Final = timedelta(seconds=1)
MAX_JITTER_SECONDS: Final = 3600
MAX_LEAD_SECONDS: Final = 3600
MAX_MISSED: Final = 1000
MAX_ARGUMENT_BYTES: Final = 65_536
"""Of the arguments as JSON: the declaration is stored, and read at each tick."""
_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
MIN_DATE: Final = datetime(1970, 1, 1, tzinfo=UTC)
MAX_DATE: Final = datetime(9000, 1, 1, tzinfo=UTC)
"""Of `starts_at` and `ends_at`: the arithmetic of ticks stays within the years of `datetime`."""
MAX_TASK: Final = 200
_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A declared recurrence of a task.

    Attributes:
        name: 1 to 63 letters, digits, dots, dashes, underscores; unique in the queue.
        task: the name of the task: 1 to `MAX_TASK` printable characters without blanks.
        cron: five fields, or a shortcut such as `@daily`; or None.
        every: one second to 366 days, whole seconds; or None. Exactly one of `cron` and `every` is given.
        time_zone: an IANA name; of the cron expression.
        args: the task's arguments by parameter.
        suspend: whether it is declared as paused.
        missed: of the ticks that were due while nobody could fire them, "Skip": none, if the last is over a minute
            old; "Once": the last one; "All": the last `missed_limit`.
        missed_limit: 1 to `MAX_MISSED`; for "All".
        overlap: while an earlier tick's job is live, "Allow": another job; "Skip": none; "Queue": one after the other.
        jitter_seconds: 0 to `MAX_JITTER_SECONDS`; each tick comes later by a constant part of it.
        lead_seconds: 0 to `MAX_LEAD_SECONDS`; workers are ready that long before a tick.
        starts_at, ends_at: no tick before, none after, both inclusive; with a time zone, `MIN_DATE` to `MAX_DATE`.
        queue: the queue of its jobs.
        priority, max_attempts: of its jobs, 0 to 3 and 1 to 1000; None for the default.

    Raises:
        InvalidSchedule: a rule is broken; the message names the schedule, the rule and the value.
    """

    name: str
    task: str
    cron: str | None = None
    every: timedelta | None = None
    time_zone: str = "UTC"
    args: Mapping[str, Any] = field(default_factory=dict)
    suspend: bool = False
    missed: Missed = "Once"
    missed_limit: int = 100
    overlap: Overlap = "Allow"
    jitter_seconds: int = 0
    lead_seconds: int = 0
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    queue: str = "default"
    priority: int | None = None
    max_attempts: int | None = None

    def __post_init__(self) -> None:
        of = f"schedule {shown(self.name)}"
        if not _is_text(self.name, 63) or not _NAME.fullmatch(self.name):
            raise InvalidSchedule(
                f"{of}: a name has 1 to 63 letters, digits, '.', '_' and '-', and a letter or digit at both ends"
            )
        if not _is_text(self.task, MAX_TASK) or not self.task.isprintable() or " " in self.task:
            raise InvalidSchedule(
                f"{of}: a task's name has 1 to {MAX_TASK} characters without spaces, got {shown(self.task)}"
            )
        _check_choices(self, of=of)
        _check_arguments(self.args, of=of)
        for name, low, high in _BOUNDS:
            value = getattr(self, name)
            if value is None and name in _OPTIONAL:
                continue
            if type(value) is not int or not low <= value <= high:
                raise InvalidSchedule(f"{of}: {name} must be {low} to {high}, got {shown(value)}")
        _check_dates(self, of=of)
        _check_recurrence(self, of=of)

    @property
    def spec(self) -> str:
        """The recurrence as one text: the cron expression, or `@every 300` with seconds."""
        return str(self.cron) if self.every is None else f"@every {int(self.every.total_seconds())}"

    @property
    def expression(self) -> CronExpression | None:
        """The parsed cron expression; None for an interval."""
        return None if self.cron is None else parsed(self.cron, self.time_zone, self.name)

    @property
    def jitter(self) -> timedelta:
        """By how much each tick is late: the same for the same queue and name, in whole seconds."""
        return timedelta(seconds=self.jitter_number % (self.jitter_seconds + 1))

    @property
    def jitter_number(self) -> int:
        """What the jitter is computed from, 0 to 2**64 - 1; declare_schedules.sql moves the next tick by it."""
        digest = hashlib.sha256(f"{self.queue}/{self.name}".encode()).digest()
        return int.from_bytes(digest[:8], "big")


_BOUNDS: Final = (
    ("missed_limit", 1, MAX_MISSED),
    ("jitter_seconds", 0, MAX_JITTER_SECONDS),
    ("lead_seconds", 0, MAX_LEAD_SECONDS),
    ("priority", 0, 3),
    ("max_attempts", 1, 1000),
)
_OPTIONAL: Final = ("priority", "max_attempts")


@lru_cache(maxsize=4096)
def parsed(cron: str, time_zone: str, name: str) -> CronExpression:
    """The parsed expression, kept: maintenance asks for it at every tick."""
    of = f"schedule {shown(name)}"
    return CronExpression(cron, zone_of(time_zone, of=of), of=of)


def _is_text(value: object, maximum: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= maximum


def _is_instant(value: object) -> bool:
    return isinstance(value, datetime) and value.utcoffset() is not None


def _is_interval(value: object) -> bool:
    return isinstance(value, timedelta) and MIN_EVERY <= value <= MAX_EVERY and not value.microseconds


def _check_choices(given: Schedule, *, of: str) -> None:
    if given.missed not in get_args(Missed):
        raise InvalidSchedule(f"{of}: missed must be one of {', '.join(get_args(Missed))}, got {shown(given.missed)}")
    if given.overlap not in get_args(Overlap):
        raise InvalidSchedule(
            f"{of}: overlap must be one of {', '.join(get_args(Overlap))}, got {shown(given.overlap)}"
        )
    if type(given.suspend) is not bool:
        raise InvalidSchedule(f"{of}: suspend must be true or false, got {shown(given.suspend)}")


def _check_arguments(args: object, *, of: str) -> None:
    if not isinstance(args, Mapping):
        raise InvalidSchedule(f"{of}: args must be a mapping of parameters, got {shown(args)}")
    try:
        encoded = json.dumps(dict(args), allow_nan=False, ensure_ascii=False)
        size = len(encoded.encode())
    except RecursionError as error:
        raise InvalidSchedule(f"{of}: args contain themselves, or are nested too deeply") from error
    except (TypeError, ValueError) as error:
        raise InvalidSchedule(f"{of}: args must be JSON, got {shown(args)}") from error
    if size > MAX_ARGUMENT_BYTES:
        raise InvalidSchedule(f"{of}: args are {size} bytes as JSON, the limit is {MAX_ARGUMENT_BYTES}")
    if _NUL.search(encoded):
        raise InvalidSchedule(f"{of}: args must not contain a NUL character, which PostgreSQL cannot store")


def _check_dates(given: Schedule, *, of: str) -> None:
    for name, value in (("starts_at", given.starts_at), ("ends_at", given.ends_at)):
        if value is not None and not _is_instant(value):
            raise InvalidSchedule(f"{of}: {name} must be a datetime with a time zone, got {shown(value)}")
        if value is not None and not MIN_DATE <= value <= MAX_DATE:
            raise InvalidSchedule(
                f"{of}: {name} must be in the years {MIN_DATE.year} to {MAX_DATE.year}, got {value.isoformat()}"
            )
    if given.starts_at is not None and given.ends_at is not None and given.starts_at > given.ends_at:
        start, end = given.starts_at.isoformat(), given.ends_at.isoformat()
        raise InvalidSchedule(f"{of}: starts_at must not be after ends_at, got {start} and {end}")


def _check_recurrence(given: Schedule, *, of: str) -> None:
    if (given.cron is None) == (given.every is None):
        raise InvalidSchedule(f"{of}: give exactly one of cron and every")
    zone_of(given.time_zone, of=of)
    if given.every is None:
        check_text(given.cron, of=of)
        parsed(str(given.cron), given.time_zone, given.name)
    elif not _is_interval(given.every):
        raise InvalidSchedule(f"{of}: every must be 1 second to 366 days in whole seconds, got {shown(given.every)}")
