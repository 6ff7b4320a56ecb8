"""Registers tasks of the framework on the project's App, and runs their attempts with the framework's signals.

The App's registry stays closed: a task is in it because its module was imported, never because a job names it.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable
from contextlib import contextmanager
from inspect import iscoroutinefunction
from traceback import format_exception
from typing import TYPE_CHECKING, Any, Final

from django.utils import timezone

from penstock.app.context import Context
from penstock.outcomes import TaskOutcome

from . import results
from .framework import TaskContext, TaskResultStatus, normalize_json, signals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.app.app import App
    from penstock.app.task import Task

TEMPLATES: Final[dict[str, Any]] = {}
"""A Task of the framework by the path of its function, which is the name of its jobs' task."""


def register(app: App, task: Any, sender: type) -> Task[..., Any, ..., Any]:
    """The App's task for a Task of the framework. `sender`: of the signals."""
    name = task.module_path
    known = app.tasks.get(name)
    if known is None:
        call = _async_call(name, sender) if iscoroutinefunction(task.func) else _plain_call(name, sender)
        known = app.task(name=name, queue=task.queue_name)(call)
    current = TEMPLATES.setdefault(name, task)
    if current.func is not task.func:  # the module was imported again
        TEMPLATES[name] = task
    return known


def _plain_call(name: str, sender: type) -> Callable[..., Any]:
    def call(context: Context, args: list[Any], kwargs: dict[str, Any]) -> Any:
        with _attempt(name, sender, context, args, kwargs) as attempt:
            attempt.value = normalize_json(attempt.start())
        return attempt.value

    return call


def _async_call(name: str, sender: type) -> Callable[..., Any]:
    async def call(context: Context, args: list[Any], kwargs: dict[str, Any]) -> Any:
        with _attempt(name, sender, context, args, kwargs) as attempt:
            attempt.value = normalize_json(await attempt.start())
        return attempt.value

    return call


class _Attempt:
    """A call of the task's function, and what it returned."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._function, self._args, self._kwargs = function, args, kwargs
        self.value: Any = None

    def start(self) -> Any:
        return self._function(*self._args, **self._kwargs)


@contextmanager
def _attempt(name: str, sender: type, context: Context, args: list[Any], kwargs: dict[str, Any]) -> Iterator[_Attempt]:
    """Send `task_started` and, after the last attempt, `task_finished`."""
    template = TEMPLATES[name]
    result = results.of_attempt(context.job, template, args, kwargs)
    before = (TaskContext(task_result=result),) if template.takes_context else ()
    signals.task_started.send(sender=sender, task_result=result)
    attempt = _Attempt(template.func, (*before, *args), kwargs)
    try:
        yield attempt
    except (TaskOutcome, CancelledError, GeneratorExit, KeyboardInterrupt):  # asked for, or the worker's
        raise
    except BaseException as error:
        result.errors.append(results.task_error(error, "".join(format_exception(error))))
        if context.attempt >= context.job.max_attempts:
            _finish(result, TaskResultStatus.FAILED, sender)
        raise
    object.__setattr__(result, "_return_value", attempt.value)
    _finish(result, TaskResultStatus.SUCCESSFUL, sender)


def _finish(result: Any, status: Any, sender: type) -> None:
    object.__setattr__(result, "status", status)
    object.__setattr__(result, "finished_at", timezone.now())
    signals.task_finished.send(sender=sender, task_result=result)
