"""Penstock: demand-driven background jobs on Postgres.

The public names. Importing them opens no connection and loads no database driver: declaring tasks, and enqueueing in
tests, needs only this package and msgspec.
"""

from __future__ import annotations

from .app.app import App
from .app.collected import Collector
from .app.context import Context
from .app.handle import JobHandle
from .app.task import Enqueuer, Task
from .app.task_schedules import TaskSchedule, cron, every
from .app.unique import Unique
from .backoff import NEVER, Backoff
from .errors import PenstockError
from .job import ClaimedJob, JobInfo, JobState, NewJob
from .outcomes import Cancel, Retry, Snooze, TaskOutcome
from .settings import Settings

__all__ = [
    "NEVER",
    "App",
    "Backoff",
    "Cancel",
    "ClaimedJob",
    "Context",
    "Enqueuer",
    "JobHandle",
    "JobInfo",
    "JobState",
    "NewJob",
    "PenstockError",
    "Retry",
    "Settings",
    "Snooze",
    "Task",
    "TaskOutcome",
    "TaskSchedule",
    "Unique",
    "__version__",
    "cron",
    "every",
]


def _new_collector() -> Collector:
    from .testing.inline import InlineCollector  # noqa: PLC0415 - only tests need it

    return InlineCollector()


App.new_collector = staticmethod(_new_collector)


def __getattr__(name: str) -> str:
    if name == "__version__":
        from .distribution_version import distribution_version  # noqa: PLC0415 - costs a tenth of the whole import

        return distribution_version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
