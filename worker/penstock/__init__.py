"""Penstock: demand-driven background jobs on Postgres.

The public names. Each is loaded when it is first used, because Python imports this package before any module below it:
the program `penstock` must be able to install its signal handlers first. Importing the names opens no connection and
loads no database driver: declaring tasks, and enqueueing in tests, needs only this package and msgspec.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers know this name; importing `typing` costs as much as the rest of this module

if TYPE_CHECKING:
    from .app.app import App
    from .app.context import Context
    from .app.handle import JobHandle
    from .app.task import Enqueuer, Task
    from .app.task_schedules import ScheduleOptions, TaskSchedule, cron, every
    from .app.unique import Unique
    from .backoff import NEVER, Backoff
    from .errors import PenstockError
    from .job import ClaimedJob, JobInfo, JobState, NewJob
    from .outcomes import Cancel, Retry, Snooze, TaskOutcome
    from .settings import Settings

    __version__: str

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
    "ScheduleOptions",
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


_MODULES = {
    "app.app": ("App",),
    "app.context": ("Context",),
    "app.handle": ("JobHandle",),
    "app.task": ("Enqueuer", "Task"),
    "app.task_schedules": ("ScheduleOptions", "TaskSchedule", "cron", "every"),
    "app.unique": ("Unique",),
    "backoff": ("NEVER", "Backoff"),
    "errors": ("PenstockError",),
    "job": ("ClaimedJob", "JobInfo", "JobState", "NewJob"),
    "outcomes": ("Cancel", "Retry", "Snooze", "TaskOutcome"),
    "settings": ("Settings",),
}
"""The modules that define the public names."""


_SUBMODULES = ("app", "backoff", "errors", "events", "job", "outcomes", "schedules", "settings", "stages", "testing")
"""The public modules, which `penstock.errors` and the like find without an import of their own."""

if not TYPE_CHECKING:  # a type checker reads the imports above, and reports a name that is not there

    def __getattr__(name: str) -> object:
        from importlib import import_module  # noqa: PLC0415 - see above

        if name == "__version__":
            from .distribution_version import distribution_version  # noqa: PLC0415

            return distribution_version()
        if name in _SUBMODULES:
            return import_module(f".{name}", __name__)
        for module, names in _MODULES.items():
            if name in names:
                value = globals()[name] = getattr(import_module(f".{module}", __name__), name)
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
