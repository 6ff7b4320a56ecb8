"""`spec.schedules[]`: the fields of one schedule, and the CEL rules about them with their mirrors.

Owns structure and bounds only. Whether an expression, a zone or arguments make sense is decided by
`penstock.schedules`, when the operator declares the schedule: one wrong entry must not stop the whole JobQueue.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from .spec_part import Part as _Part
from .validation import Rule, has_field, rule

_ScheduleFields = Mapping[str, Any]
_ScheduleName = Annotated[
    str, msgspec.Meta(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\Z")
]
_TaskName = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x20\x7f]+\Z")]
_Zone = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_+/-]*\Z")]
_INSTANT: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})\Z"
_Date = Annotated[str, msgspec.Meta(max_length=64, pattern=_INSTANT)]
_DelaySeconds = Annotated[int, msgspec.Meta(ge=0, le=3600)]
_CRON: Final = re.compile(r"(@[a-z]+|[0-9A-Za-z*/,#-]+( +[0-9A-Za-z*/,#-]+){4})\Z")
SHORTCUTS: Final = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")


class MissedTicks(enum.StrEnum):
    """What happens to ticks that nobody could fire in time."""

    SKIP = "Skip"
    ONCE = "Once"
    ALL = "All"


class OverlapPolicy(enum.StrEnum):
    """What happens at a tick while the job of an earlier one exists."""

    ALLOW = "Allow"
    SKIP = "Skip"
    QUEUE = "Queue"


class ScheduleSpec(_Part, frozen=True):
    """One schedule; exactly one of `cron` and `every_seconds` is given. Dates are RFC 3339 text."""

    name: _ScheduleName
    task: _TaskName
    cron: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    every_seconds: Annotated[int, msgspec.Meta(ge=1, le=31_622_400)] | None = None
    time_zone: _Zone = "UTC"
    args: Annotated[dict[str, Any], msgspec.Meta(max_length=64)] = msgspec.field(default_factory=dict)
    suspend: bool = False
    missed: MissedTicks = MissedTicks.ONCE
    missed_limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    overlap: OverlapPolicy = OverlapPolicy.ALLOW
    jitter_seconds: _DelaySeconds = 0
    lead_seconds: _DelaySeconds = 0
    start_date: _Date | None = None
    end_date: _Date | None = None
    priority: Annotated[int, msgspec.Meta(ge=0, le=3)] | None = None
    max_attempts: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None


@rule(
    "spec.schedules[]",
    "has(self.cron) != has(self.everySeconds)",
    "a schedule has exactly one of cron and everySeconds",
)
def schedule_has_one_recurrence(schedule: _ScheduleFields) -> bool:
    """Two recurrences would be two schedules."""
    return has_field(schedule, "cron") != has_field(schedule, "everySeconds")


@rule(
    "spec.schedules[]",
    "!has(self.cron) || self.cron.matches('^(@[a-z]+|[0-9A-Za-z*/,#-]+( +[0-9A-Za-z*/,#-]+){4})$')",
    "cron must have five fields (minute, hour, day of month, month, day of week) of letters, digits, '*', '/', ',',"
    " '#' and '-', or be a shortcut such as @daily",
    field="cron",
)
def cron_has_five_fields(schedule: _ScheduleFields) -> bool:
    """Six fields, a seconds field among them, mean something else in other programs."""
    return not has_field(schedule, "cron") or _CRON.match(schedule["cron"]) is not None


@rule(
    "spec.schedules[]",
    "!has(self.cron) || !self.cron.startsWith('@') || self.cron in ['@hourly', '@daily', '@midnight', '@weekly',"
    " '@monthly', '@yearly', '@annually']",
    "a shortcut of cron is @hourly, @daily, @midnight, @weekly, @monthly, @yearly or @annually",
    field="cron",
)
def cron_shortcut_is_known(schedule: _ScheduleFields) -> bool:
    """@reboot has no time."""
    return not has_field(schedule, "cron") or not schedule["cron"].startswith("@") or schedule["cron"] in SHORTCUTS


@rule(
    "spec.schedules[]",
    "!has(self.startDate) || !has(self.endDate) || self.startDate <= self.endDate",
    "startDate must not be after endDate",
    field="startDate",
)
def schedule_starts_before_its_end(schedule: _ScheduleFields) -> bool:
    """Otherwise it never ticks."""
    if not has_field(schedule, "startDate") or not has_field(schedule, "endDate"):
        return True
    try:
        return datetime.fromisoformat(schedule["startDate"]) <= datetime.fromisoformat(schedule["endDate"])
    except ValueError:  # no such date, which the API server refuses before any rule
        return True


SCHEDULE_RULES: Final[tuple[Rule, ...]] = (
    schedule_has_one_recurrence,
    cron_has_five_fields,
    cron_shortcut_is_known,
    schedule_starts_before_its_end,
)


def schedule_entries(schedules: Sequence[ScheduleSpec]) -> list[dict[str, Any]]:
    """The schedules as the manifest writes them, for `penstock.schedules.parse`; a field that is not set is None."""
    entries: list[dict[str, Any]] = msgspec.to_builtins(schedules)
    return entries
