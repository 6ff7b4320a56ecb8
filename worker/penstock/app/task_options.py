"""The options of `@app.task(...)` and their rules; a broken rule raises where the task is declared.

Pure. Owns the names of tasks, and what each executor can do for a task. A soft timeout is accepted for a function in a
thread, although a thread cannot be interrupted: the attempt fails when it returns. A hard timeout and `exclusive` are
rejected there, because both promise that the task has stopped.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import PurePath
from typing import Any, Final

from ..backoff import Backoff, Never
from ..errors import ConfigurationError, InvalidTask, shown
from ..outcomes import checked_seconds
from ..settings import EXECUTORS, ExecutorName, check_queue_name
from .arguments.signature import annotations_of
from .context import Context
from .options import DEFAULT_PRIORITY, DEFAULT_QUEUE, MAX_ATTEMPTS, MAX_PRIORITY, check_whole
from .task_schedules import TaskSchedule

MAX_NAME: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """The options given to `@app.task(...)`; `App.task` describes each."""

    name: str | None = None
    aliases: tuple[str, ...] = ()
    queue: str = DEFAULT_QUEUE
    executor: ExecutorName | None = None
    timeout: float | timedelta | None = None
    hard_timeout: float | timedelta | None = None
    max_attempts: int | None = None
    retry: Mapping[type[Exception], Backoff | Never] = field(default_factory=dict)
    exclusive: bool = False
    priority: int = DEFAULT_PRIORITY
    schedule: TaskSchedule | Sequence[TaskSchedule] | None = None


def check_task_name(name: str) -> str:
    """Check the name of a task. Raises InvalidTask."""
    if not 0 < len(name) <= MAX_NAME or not name.isprintable() or " " in name:
        raise InvalidTask(f"a task's name must be 1 to {MAX_NAME} characters without spaces, got {shown(name)}")
    return name


def default_name(function: Callable[..., Any]) -> str:
    """`module:qualname`; for the program's own module, the name under which it would be imported."""
    module = function.__module__
    if module == "__main__":
        main = sys.modules["__main__"]
        spec, path = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        module = spec.name if spec else PurePath(path).stem if path else module
    return f"{module}:{function.__qualname__}"


def wants_context(function: Callable[..., Any], *, task: str) -> bool:
    """Return True if the first parameter is a Context. Raises InvalidTask if another parameter is one."""
    hints = annotations_of(function, task=task)
    named = [name for name in inspect.signature(function).parameters if hints.get(name) is Context]
    if named and named != list(inspect.signature(function).parameters)[:1]:
        raise InvalidTask(f"task {task!r}, parameter {named[-1]!r}: a Context can only be the first parameter")
    return bool(named)


def check_definition(given: Definition, function: Callable[..., Any], *, name: str) -> None:
    """Check the function and its options.

    Raises:
        InvalidTask: one is invalid; the message names the task, the rule and the value.
    """
    for one in (name, *given.aliases):
        check_task_name(one)
    of = f"task {name!r}"
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidTask(f"{of}: a task must return its result; it cannot be a generator")
    _check_executor(given, is_async=inspect.iscoroutinefunction(function), of=of)
    try:
        check_queue_name(given.queue, of=f"{of}: queue")
        check_whole(given.priority, of=f"{of}: priority", low=0, high=MAX_PRIORITY)
        check_whole(given.max_attempts, of=f"{of}: max_attempts", low=1, high=MAX_ATTEMPTS)
        soft, hard = _limit(given.timeout, of=f"{of}: timeout"), _limit(given.hard_timeout, of=f"{of}: hard_timeout")
    except (ConfigurationError, TypeError, ValueError) as error:
        raise InvalidTask(str(error)) from error
    if soft is not None and hard is not None and hard <= soft:
        raise InvalidTask(f"{of}: hard_timeout must be above timeout ({soft:g} s), got {hard:g} s")
    for exception, policy in given.retry.items():
        if Exception not in getattr(exception, "__mro__", ()) or type(policy) not in {Backoff, Never}:
            raise InvalidTask(f"{of}: retry maps exception types to a Backoff or NEVER, got {exception!r}: {policy!r}")


def _check_executor(given: Definition, *, is_async: bool, of: str) -> None:
    if given.executor is not None and given.executor not in EXECUTORS:
        raise InvalidTask(f"{of}: executor must be one of {', '.join(EXECUTORS)}, got {shown(given.executor)}")
    if given.executor == ("thread" if is_async else "async"):
        function, place = ("an async", "the event loop") if is_async else ("a plain", "a thread")
        raise InvalidTask(f"{of}: {function} function runs on {place}, not on executor {given.executor!r}")
    if given.hard_timeout is not None and given.executor != "process":
        raise InvalidTask(
            f"{of}: hard_timeout needs executor='process', got {given.executor!r}: only a child process can be killed"
        )
    if given.exclusive and not is_async and given.executor != "process":
        raise InvalidTask(
            f"{of}: exclusive=True needs an async function or executor='process': a thread cannot be interrupted"
        )


def _limit(value: float | timedelta | None, *, of: str) -> float | None:
    """A timeout in seconds. Raises TypeError and ValueError as `checked_seconds`, and for 0."""
    if value is None:
        return None
    if (number := checked_seconds(value, of=of)) == 0:
        raise ValueError(f"{of} must be above 0 seconds")
    return number
