"""Schedules: a declared recurrence of a task, and its ticks. Pure: no clock, no database, no Kubernetes.

Owns the rules of a schedule and the arithmetic of its due times, daylight saving time included (`cron_expression`).
The operator, the App, the CLI and maintenance use the same functions, so a time that one of them shows is the time at
which another enqueues. Expressions are parsed by cronsim, within the bounds of `cron_expression`.
"""

from .cron_expression import CronExpression
from .describe import describe, local_time
from .parse import parse
from .schedule import MAX_ARGUMENT_BYTES, MAX_JITTER_SECONDS, MAX_LEAD_SECONDS, MAX_MISSED, Missed, Overlap, Schedule
from .ticks import check_has_tick, due_ticks, ticks_after

__all__ = [
    "MAX_ARGUMENT_BYTES",
    "MAX_JITTER_SECONDS",
    "MAX_LEAD_SECONDS",
    "MAX_MISSED",
    "CronExpression",
    "Missed",
    "Overlap",
    "Schedule",
    "check_has_tick",
    "describe",
    "due_ticks",
    "local_time",
    "parse",
    "ticks_after",
]
