"""Penstock: demand-driven background jobs on Postgres.

The public names. Importing them opens no connection and loads no database driver: declaring tasks, and enqueueing in
tests, needs only this package and msgspec.
"""

from __future__ import annotations

from .app.app import App
from .app.context import Context
from .app.handle import JobHandle
from .app.task import Enqueuer, Task
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
    "Unique",
    "__version__",
]


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - reading it costs a tenth of the whole import

        return version("penstock")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
