"""Tasks: a function, its name, and what a worker needs to run it; the closed registry of an App.

Owns the rules of `@app.task`, each broken rule being one error where the task is written down. Must not open a
connection: jobs go through the client that the App gives.

Surprising: options of a job are never parameters of the task. They are given before the call, by `options(...)`, so
that both stay typed and a task may have a parameter named `delay`.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec, TypeVar, overload

from . import codec
from .backoff import Backoff, Never
from .context import Context
from .errors import ConfigurationError, InvalidTask
from .options import DEFAULT_PRIORITY, DEFAULT_QUEUE, LOWEST_PRIORITY, MOST_ATTEMPTS, Enqueuer, Options, check_whole
from .outcomes import seconds
from .settings import EXECUTORS, ExecutorName, check_queue_name, shown

if TYPE_CHECKING:
    from datetime import datetime

    from .client import Client, JobHandle
    from .job import NewJob
    from .unique import Unique

PC = ParamSpec("PC")
"""Parameters of the function."""
C = TypeVar("C")
"""What calling the function gives: for an async one a coroutine."""
P = ParamSpec("P")
"""Parameters of a job: those of the function without its Context."""
R = TypeVar("R")
"""What the job returns."""

D = TypeVar("D")

LONGEST_NAME: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What `@app.task(...)` was given; `App.task` explains each."""

    name: str | None = None
    aliases: tuple[str, ...] = ()
    queue: str = DEFAULT_QUEUE
    executor: ExecutorName | None = None
    timeout: float | timedelta | None = None
    max_attempts: int | None = None
    retry: Mapping[type[Exception], Backoff | Never] = field(default_factory=dict)
    priority: int = DEFAULT_PRIORITY


class Task(Generic[PC, C, P, R]):
    """A function of which jobs can be made. Calling it calls the function.

    Made by `App.task`. Attributes are for reading.

    Attributes:
        name: what jobs carry; stable when the function is renamed, if it was given.
        function: the function itself.
        is_async: it is a coroutine function.
        wants_context: its first parameter is a `Context`, which the worker gives.
        executor: where it must run; None leaves it to the worker's settings.
        timeout: seconds, or None. It is not applied in threads, which nothing can interrupt.
        max_attempts: of its jobs, or None for the queue's.

    Raises:
        InvalidTask: the function or an option breaks a rule.
    """

    def __init__(
        self, function: Callable[PC, C], *, name: str, definition: Definition, client: Callable[[], Client]
    ) -> None:
        self.name = name
        self.function = function
        self.aliases = definition.aliases
        self.is_async = inspect.iscoroutinefunction(function)
        _check_definition(self, definition)
        self.queue = definition.queue
        self.executor = definition.executor
        self.max_attempts = definition.max_attempts
        self.priority = definition.priority
        self.timeout = None if definition.timeout is None else seconds(definition.timeout, of="timeout")
        self.wants_context = _wants_context(function, task=name)
        self._retry = dict(definition.retry)
        self._resolved: dict[type[BaseException], Backoff | Never | None] = {}
        self._client = client
        arguments = codec.ArgumentCodec(task=name, function=function, skip=int(self.wants_context))
        self.encode: Callable[[tuple[object, ...], Mapping[str, object]], str] = arguments.encode
        self.decode: Callable[[str], dict[str, object]] = arguments.decode
        self._plain: Enqueuer[P, R] = Enqueuer(self, Options())
        functools.update_wrapper(self, function)

    def __call__(self, *args: PC.args, **kwargs: PC.kwargs) -> C:
        """Call the function, here and now; no job is made."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"Task({self.name!r})"

    @property
    def client(self) -> Client:
        """What jobs of this task go through now: the App's."""
        return self._client()

    @functools.cached_property
    def read_result(self) -> Callable[[Any], R]:
        """Turns stored JSON into what the function returned."""
        return codec.result_reader(self.function)

    def options(
        self,
        *,
        delay: float | timedelta | None = None,
        at: datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        max_attempts: int | None = None,
        headers: Mapping[str, str] | None = None,
        unique: Unique | None = None,
        connection: object | None = None,
    ) -> Enqueuer[P, R]:
        """The task with options for its next jobs.

        Args:
            delay: seconds or a timedelta from the insert, on the database's clock; at most ten years.
            at: a time with its zone. Excludes `delay`.
            priority: 0 to 3, lower first; default the task's.
            queue: default the task's.
            max_attempts: 1 to 1000; default the task's, then the queue's.
            headers: text by name, kept with the job; for tracing and the like.
            unique: at most one live job of this kind; see `Unique`.
            connection: enqueue in the transaction of this psycopg, SQLAlchemy or Django connection.

        Raises:
            ConfigurationError: an option breaks its rule.
        """
        return Enqueuer(
            self,
            Options(
                delay=delay,
                at=at,
                priority=priority,
                queue=queue,
                max_attempts=max_attempts,
                headers=headers,
                unique=unique,
                connection=connection,
            ),
        )

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Enqueue one job without options; see `Enqueuer.enqueue`."""
        return self._plain.enqueue(*args, **kwargs)

    async def enqueue_async(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """`enqueue`, for async callers."""
        return await self._plain.enqueue_async(*args, **kwargs)

    def job(self, *args: P.args, **kwargs: P.kwargs) -> NewJob:
        """A job for `App.enqueue_many`; see `Enqueuer.job`."""
        return self._plain.job(*args, **kwargs)

    def encode_result(self, value: object) -> str | None:
        """What the function returned, as JSON text; raises UnencodableResult and PayloadTooLarge."""
        return codec.encode_result(value, task=self.name)

    def executor_for(self, default: ExecutorName) -> ExecutorName:
        """Where a worker whose default is this runs the task: a plain function never on the event loop."""
        if self.executor is not None:
            return self.executor
        if self.is_async:
            return "async" if default == "thread" else default
        return "thread" if default == "async" else default

    def backoff_for(self, exception: BaseException) -> Backoff | Never | None:
        """What `retry=` says of the nearest class of an exception; None when it says nothing."""
        kind = type(exception)
        if kind not in self._resolved:
            self._resolved[kind] = next((self._retry[base] for base in kind.__mro__ if base in self._retry), None)
        return self._resolved[kind]


class Registry(Mapping[str, Task[..., Any, ..., Any]]):
    """The tasks of one App by name; `get` and `in` know aliases too. Nothing is ever imported for a name."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task[..., Any, ..., Any]] = {}
        self._all: dict[str, Task[..., Any, ..., Any]] = {}

    def __getitem__(self, name: str) -> Task[..., Any, ..., Any]:
        return self._all[name]

    @overload
    def get(self, name: str, /) -> Task[..., Any, ..., Any] | None: ...
    @overload
    def get(self, name: str, /, default: D) -> Task[..., Any, ..., Any] | D: ...
    def get(self, name: str, /, default: object = None) -> object:
        """The task of that name or alias. Asked for every job, so not by way of a KeyError as Mapping's is."""
        return self._all.get(name, default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, name: object) -> bool:
        return name in self._all

    def add(self, task: Task[..., Any, ..., Any]) -> None:
        """Register a task under its name and aliases.

        Raises:
            InvalidTask: one of them is taken.
        """
        names = (task.name, *task.aliases)
        for name in names:
            if name in self._all or names.count(name) > 1:
                other = self._all.get(name, task).function
                raise InvalidTask(
                    f"task {task.name!r}: the name {name!r} is taken by {other.__module__}.{other.__qualname__}"
                )
        self._tasks[task.name] = task
        self._all.update(dict.fromkeys(names, task))


def check_task_name(name: str) -> str:
    """The name of a task, if it is one. Raises InvalidTask."""
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or " " in name:
        raise InvalidTask(f"a task's name must be 1 to {LONGEST_NAME} characters without spaces, got {shown(name)}")
    return name


def default_name(function: Callable[..., Any]) -> str:
    """`module:qualname`; for a module that was started as a program, the name it is imported under."""
    module = function.__module__
    if module == "__main__":
        main = sys.modules["__main__"]
        spec, path = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        module = spec.name if spec else PurePath(path).stem if path else module
    return f"{module}:{function.__qualname__}"


def _wants_context(function: Callable[..., Any], *, task: str) -> bool:
    hints = codec.annotations_of(function, task=task)
    named = [name for name in inspect.signature(function).parameters if hints.get(name) is Context]
    if named and named != list(inspect.signature(function).parameters)[:1]:
        raise InvalidTask(f"task {task!r}, parameter {named[-1]!r}: a Context can only be the first parameter")
    return bool(named)


def _check_definition(task: Task[..., Any, ..., Any], given: Definition) -> None:
    for name in (task.name, *given.aliases):
        check_task_name(name)
    of = f"task {task.name!r}"
    if inspect.isgeneratorfunction(task.function) or inspect.isasyncgenfunction(task.function):
        raise InvalidTask(f"{of}: a task returns its result, it cannot be a generator")
    if given.executor is not None and given.executor not in EXECUTORS:
        raise InvalidTask(f"{of}: executor must be one of {', '.join(EXECUTORS)}, got {shown(given.executor)}")
    if given.executor == "process":
        raise InvalidTask(f"{of}: executor 'process' is not there yet; a plain function runs on a thread")
    if given.executor == ("thread" if task.is_async else "async"):
        function, place = ("an async", "the event loop") if task.is_async else ("a plain", "a thread")
        raise InvalidTask(f"{of}: {function} function runs on {place}, not on executor {given.executor!r}")
    try:
        check_queue_name(given.queue, of=f"{of}: queue")
        check_whole(given.priority, of=f"{of}: priority", low=0, high=LOWEST_PRIORITY)
        check_whole(given.max_attempts, of=f"{of}: max_attempts", low=1, high=MOST_ATTEMPTS)
        if given.timeout is not None and seconds(given.timeout, of=f"{of}: timeout") == 0:
            raise InvalidTask(f"{of}: timeout must be above 0 seconds")
    except (ConfigurationError, TypeError, ValueError) as error:
        raise InvalidTask(str(error)) from error
    for exception, policy in given.retry.items():
        if Exception not in getattr(exception, "__mro__", ()) or type(policy) not in {Backoff, Never}:
            raise InvalidTask(f"{of}: retry maps exception types to a Backoff or NEVER, got {exception!r}: {policy!r}")
