"""The names of the Tasks framework: of `django.tasks` (Django 6.0 and later), else of the package `django-tasks`.

The package has the same interface under another name; two exceptions differ.
"""

from __future__ import annotations

from typing import Any

try:
    from django.tasks import signals
    from django.tasks.backends.base import BaseTaskBackend
    from django.tasks.base import Task, TaskContext, TaskError, TaskResult, TaskResultStatus
    from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist
    from django.utils.json import normalize_json
except ImportError:
    from django_tasks import exceptions, signals
    from django_tasks.backends.base import BaseTaskBackend
    from django_tasks.base import Task, TaskContext, TaskError, TaskResult, TaskResultStatus
    from django_tasks.utils import normalize_json

    _named: Any = exceptions
    InvalidTask = getattr(_named, "InvalidTask", None) or _named.InvalidTaskError
    TaskResultDoesNotExist = getattr(_named, "TaskResultDoesNotExist", None) or _named.ResultDoesNotExist

__all__ = [
    "BaseTaskBackend",
    "InvalidTask",
    "Task",
    "TaskContext",
    "TaskError",
    "TaskResult",
    "TaskResultDoesNotExist",
    "TaskResultStatus",
    "normalize_json",
    "signals",
]
