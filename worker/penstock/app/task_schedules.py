"""`cron(...)` and `every(...)`: the schedules of `@app.task(schedule=...)`, and their binding to the task.

Pure. A schedule is checked where the task is declared: its expression, its time zone, and its arguments against the
task's signature. The worker of the task's queue writes it to the database when it starts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol, TypedDict, Unpack

from ..errors import InvalidSchedule, shown
from ..schedules import Missed, Overlap, Schedule, check_has_tick

_MAX_NAME = 63
_OTHERS = re.compile(r"[^A-Za-z0-9_-]+")


class BoundTask(Protocol):
    """What a schedule needs of its task."""

    name: str
    queue: str
    priority: int
    max_attempts: int | None
    encode: Callable[[tuple[object, ...], Mapping[str, object]], str]


class ScheduleOptions(TypedDict, total=False):
    """The options that `cron` and `every` share. `penstock.schedules.Schedule` has their bounds.

    Attributes:
        name: unique in the task's queue. Default: the task's name; characters that a name cannot have become dots.
        args: the task's arguments by parameter. Default: none.
        missed: "Skip", "Once" or "All", of ticks that nobody could fire in time. Default "Once".
        missed_limit: 1 to 1000, of "All". Default 100.
        overlap: "Allow", "Skip" or "Queue", while the job of an earlier tick is live. Default "Allow".
        jitter_seconds: 0 to 3600. Default 0.
        lead_seconds: 0 to 3600. Default 0.
        starts_at, ends_at: with a time zone. Default: no limit.
        suspend: declared, but fires nothing. Default False.
    """

    name: str | None
    args: Mapping[str, object] | None
    missed: Missed
    missed_limit: int
    overlap: Overlap
    jitter_seconds: int
    lead_seconds: int
    starts_at: datetime | None
    ends_at: datetime | None
    suspend: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSchedule:
    """A schedule that is not bound to a task yet; made by `cron` and `every`, which describe the fields."""

    expression: str | None = None
    interval: timedelta | None = None
    timezone: str = "UTC"
    name: str | None = None
    args: Mapping[str, object] | None = None
    missed: Missed = "Once"
    missed_limit: int = 100
    overlap: Overlap = "Allow"
    jitter_seconds: int = 0
    lead_seconds: int = 0
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    suspend: bool = False

    def bind(self, task: BoundTask) -> Schedule:
        """The schedule of a task, its arguments checked and encoded.

        Raises:
            InvalidSchedule: a rule is broken.
            InvalidArguments, UnencodableArgument, PayloadTooLarge: the arguments do not fit the task.
        """
        name = schedule_name(task.name) if self.name is None else self.name
        args: object = {} if self.args is None else self.args
        if not isinstance(args, Mapping):
            raise InvalidSchedule(f"schedule {shown(name)}: args must be a mapping of parameters, got {shown(args)}")
        made = Schedule(
            name=name,
            task=task.name,
            cron=self.expression,
            every=self.interval,
            time_zone=self.timezone,
            args=json.loads(task.encode((), dict(args))),
            suspend=self.suspend,
            missed=self.missed,
            missed_limit=self.missed_limit,
            overlap=self.overlap,
            jitter_seconds=self.jitter_seconds,
            lead_seconds=self.lead_seconds,
            starts_at=self.starts_at,
            ends_at=self.ends_at,
            queue=task.queue,
            priority=task.priority,
            max_attempts=task.max_attempts,
        )
        check_has_tick(made)
        return made


def cron(expression: str, *, timezone: str = "UTC", **options: Unpack[ScheduleOptions]) -> TaskSchedule:
    """Run a task at local times: `@app.task(schedule=cron("0 9 * * MON-FRI", timezone="Europe/Berlin"))`.

    Args:
        expression: minute, hour, day of month, month, day of week; or a shortcut such as `@daily`.
        timezone: an IANA name. Default UTC.
        **options: as `ScheduleOptions` describes them.

    Raises:
        InvalidSchedule: it is no text, or there is no such option. The other values are checked by `@app.task`.
    """
    if not isinstance(expression, str):
        raise InvalidSchedule(f"cron(...) takes an expression of five fields as text, got {shown(expression)}")
    return _made(TaskSchedule(expression=expression, timezone=timezone), options)


def every(interval: timedelta, **options: Unpack[ScheduleOptions]) -> TaskSchedule:
    """Run a task at an interval: `@app.task(schedule=every(timedelta(minutes=5)))`.

    Args:
        interval: 1 second to 366 days, whole seconds; counted from `starts_at`, without it from 1970 in UTC.
        **options: as `ScheduleOptions` describes them.

    Raises:
        InvalidSchedule: it is no timedelta, or there is no such option. The other values are checked by `@app.task`.
    """
    if not isinstance(interval, timedelta):
        raise InvalidSchedule(f"every(...) takes a timedelta, got {shown(interval)}")
    return _made(TaskSchedule(interval=interval), options)


def _made(base: TaskSchedule, options: ScheduleOptions) -> TaskSchedule:
    allowed = ScheduleOptions.__optional_keys__
    if unknown := sorted(options.keys() - allowed):
        raise InvalidSchedule(f"a schedule has no option {shown(unknown[0])}; it has {', '.join(sorted(allowed))}")
    return replace(base, **options)


def bound_schedules(given: TaskSchedule | Sequence[TaskSchedule] | None, task: BoundTask) -> tuple[Schedule, ...]:
    """The schedules of `@app.task(schedule=...)`.

    Raises:
        InvalidSchedule: one is not made by `cron` or `every`, breaks a rule, or two have the same name.
        InvalidArguments, UnencodableArgument, PayloadTooLarge: as `TaskSchedule.bind`.
    """
    declared: Any = () if given is None else (given,) if isinstance(given, TaskSchedule) else given
    if not isinstance(declared, Sequence) or not all(isinstance(one, TaskSchedule) for one in declared):
        raise InvalidSchedule(f"task {task.name!r}: schedule must be cron(...), every(...) or a list of them")
    bound = tuple(one.bind(task) for one in declared)
    names = [one.name for one in bound]
    for name in names:
        if names.count(name) > 1:
            raise InvalidSchedule(f"task {task.name!r}: two schedules are named {name!r}; give each a name")
    return bound


def schedule_name(task: str) -> str:
    """A schedule's name from its task's: other characters become dots, and the last 63 are taken."""
    return _OTHERS.sub(".", task)[-_MAX_NAME:].strip("._-") or "schedule"
