"""Penstock in a Django project: add `"penstock.contrib.django"` to INSTALLED_APPS. Needs the extra `penstock[django]`.

    app            the project's App: `@app.task`; an enqueue belongs to the transaction that is open
    TasksBackend   the backend for Django's Tasks framework, by its path in TASKS

Both are made at the first use: this package is imported before Django's settings and apps are ready.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .project_app import app
    from .tasks_backend.backend import TasksBackend

__all__ = ["TasksBackend", "app"]


def __getattr__(name: str) -> Any:
    if name == "app":
        from .project_app import app  # noqa: PLC0415 - it reads Django's settings

        return app
    if name == "TasksBackend":
        from .tasks_backend.backend import TasksBackend  # noqa: PLC0415 - it needs Django's Tasks framework

        return TasksBackend
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
