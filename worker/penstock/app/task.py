"""`Task`: a function with its name and the options that a worker needs to run it. `TaskRegistry`: the tasks of an App.

The rules of `@app.task` are in `task_options`. Must not open a connection: jobs go through the App's client. Options of
a job are given before the call, by `options(...)`, and not as arguments of the task: both stay typed, and a task may
have a parameter named `delay`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from ..backoff import Backoff, Never
from ..errors import ConfigurationError, InvalidSchedule, InvalidTask
from ..job import NewJob
from ..outcomes import checked_seconds
from ..settings import ExecutorName
from ..trace import with_current
from .arguments import codec
from .arguments.codec import encode_headers
from .handle import JobHandle
from .options import Options
from .task_options import Definition, check_definition, wants_context
from .task_schedules import bound_schedules

if TYPE_CHECKING:
    from datetime import datetime

    from .client import Client
    from .unique import Unique

PC = ParamSpec("PC")
"""Parameters of the function."""
C = TypeVar("C")
"""Type of a call of the function; a coroutine for an async function."""
P = ParamSpec("P")
"""Parameters of a job: those of the function without the Context."""
R = TypeVar("R")
"""Type of the job's result."""

D = TypeVar("D")


class Enqueuer(Generic[P, R]):
    """A task with options, which can be enqueued any number of times. Immutable; use it from any thread."""

    __slots__ = ("_options", "_task")

    def __init__(self, task: Task[..., Any, P, R], options: Options) -> None:
        self._task = task
        self._options = options

    def options(self, **changes: Any) -> Enqueuer[P, R]:
        """A copy with these options changed; takes the arguments of `Task.options`."""
        return Enqueuer(self._task, replace(self._options, **changes))

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Enqueue one job. Blocks for one round trip; async callers use `enqueue_async`.

        Raises:
            InvalidArguments, UnencodableArgument, PayloadTooLarge: nothing was written.
            ConfigurationError: no database URL.
            StoreError: the database refused the job or cannot be used.
        """
        client = self._task.client
        [job_id] = client.enqueue([self._new_job(args, kwargs)], **self._options.call())
        return JobHandle(job_id, client=client, read=self._task.read_result)

    async def enqueue_async(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """`enqueue`, for async callers and async connections."""
        client = self._task.client
        [job_id] = await client.enqueue_async([self._new_job(args, kwargs)], **self._options.call())
        return JobHandle(job_id, client=client, read=self._task.read_result)

    def job(self, *args: P.args, **kwargs: P.kwargs) -> NewJob:
        """A job for `App.enqueue_many`; its arguments are checked and encoded now.

        Raises:
            InvalidArguments, UnencodableArgument, PayloadTooLarge: as `enqueue`.
            ConfigurationError: `connection` or `wake` was given, which are arguments of `enqueue_many`.
        """
        if self._options.connection is not None:
            raise ConfigurationError("options: give connection to enqueue_many(connection=), not to task.job()")
        if not self._options.wake:
            raise ConfigurationError("options: give wake to enqueue_many(wake=), not to task.job()")
        return self._new_job(args, kwargs)

    def _new_job(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> NewJob:
        task, options = self._task, self._options
        encoded = task.encode(args, kwargs)
        headers = with_current(options.headers)
        return NewJob(
            task=task.name,
            args=encoded,
            queue=options.queue or task.queue,
            priority=task.priority if options.priority is None else options.priority,
            max_attempts=task.max_attempts if options.max_attempts is None else options.max_attempts,
            delay=options.seconds,
            at=options.at,
            headers=None if headers is None else encode_headers(headers, task=task.name),
            unique=None if options.unique is None else options.unique.of(task.name, lambda: task.key(args, kwargs)),
        )


class Task(Generic[PC, C, P, R]):
    """A function that can be enqueued as a job. Calling the task calls the function.

    Created by `App.task`. Attributes are read-only.

    Attributes:
        name: the task's name in a job; a given name is stable when the function is renamed.
        function: the function.
        is_async: whether it is a coroutine function.
        wants_context: whether its first parameter is a `Context`.
        executor: where it runs; None leaves that to the worker's settings.
        timeout: seconds, or None. A TimeoutError is raised inside the task; in a thread, when it returns.
        hard_timeout: seconds until its child process is killed, or None.
        exclusive: whether an attempt is stopped when the worker's lease is lost.
        max_attempts: of its jobs; None for the default of the queue.
        schedules: of `@app.task(schedule=...)`.

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
        check_definition(definition, function, name=name)
        self.queue = definition.queue
        self.executor = definition.executor
        self.max_attempts = definition.max_attempts
        self.priority = definition.priority
        self.timeout = None if definition.timeout is None else checked_seconds(definition.timeout, of="timeout")
        hard = definition.hard_timeout
        self.hard_timeout = None if hard is None else checked_seconds(hard, of="hard_timeout")
        self.exclusive = definition.exclusive
        self.wants_context = wants_context(function, task=name)
        self._retry = dict(definition.retry)
        self._resolved: dict[type[BaseException], Backoff | Never | None] = {}
        self._client = client
        arguments = codec.ArgumentCodec(task=name, function=function, skip=int(self.wants_context))
        self.encode: Callable[[tuple[object, ...], Mapping[str, object]], str] = arguments.encode
        self.decode: Callable[[str], dict[str, object]] = arguments.decode
        self.invoke: Callable[..., Any] = arguments.invoke
        self.key: Callable[[tuple[object, ...], Mapping[str, object]], str] = arguments.key
        self.schedules = bound_schedules(definition.schedule, self)
        self._plain: Enqueuer[P, R] = Enqueuer(self, Options())
        functools.update_wrapper(self, function)

    def __call__(self, *args: PC.args, **kwargs: PC.kwargs) -> C:
        """Call the function directly, without a job."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"Task({self.name!r})"

    @property
    def client(self) -> Client:
        """The App's current client."""
        return self._client()

    @functools.cached_property
    def read_result(self) -> Callable[[Any], R]:
        """Converts stored JSON to the function's return type."""
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
        wake: bool = True,
    ) -> Enqueuer[P, R]:
        """The task with options for the jobs that are enqueued through the result.

        Args:
            delay: seconds or a timedelta, on the database's clock; at most ten years.
            at: a datetime with a time zone; not together with `delay`.
            priority: 0 to 3; 0 runs first. Default: the task's.
            queue: default: the task's.
            max_attempts: 1 to 1000. Default: the task's, or the queue's.
            headers: text by name, stored with the job, for example for tracing.
            unique: at most one live job with the same key; see `Unique`.
            connection: enqueue in the transaction of this connection: psycopg, asyncpg, SQLAlchemy, Django.
            wake: False sends no wake-up; the next poll finds the job. For transactions that will be prepared.

        Raises:
            ConfigurationError: an option is invalid.
        """
        given = Options(
            delay=delay, at=at, priority=priority, queue=queue, max_attempts=max_attempts, headers=headers,
            unique=unique, connection=connection, wake=wake,
        )  # fmt: skip
        return Enqueuer(self, given)

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
        """The result as JSON text. Raises UnencodableResult and PayloadTooLarge."""
        return codec.encode_result(value, task=self.name)

    def executor_for(self, default: ExecutorName) -> ExecutorName:
        """Where a worker with this default runs the task; never a plain function on the event loop."""
        if self.executor is not None:
            return self.executor
        if self.is_async:
            return "async" if default == "thread" else default
        return "thread" if default == "async" else default

    def backoff_for(self, exception: BaseException) -> Backoff | Never | None:
        """The entry of `retry=` for the nearest class of an exception; None without an entry."""
        kind = type(exception)
        if kind not in self._resolved:
            self._resolved[kind] = next((self._retry[base] for base in kind.__mro__ if base in self._retry), None)
        return self._resolved[kind]


class TaskRegistry(Mapping[str, Task[..., Any, ..., Any]]):
    """The tasks of one App by name; `get` and `in` accept aliases too. A name never causes an import."""

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
        """The task with this name or alias. Called for every job; Mapping's `get` would catch a KeyError."""
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
            InvalidTask: one of them is in use.
        """
        taken = {(one.queue, one.name): task.name for task in self._tasks.values() for one in task.schedules}
        for one in task.schedules:
            if other_task := taken.get((one.queue, one.name)):
                raise InvalidSchedule(f"task {task.name!r}: the schedule {one.name!r} exists, of task {other_task!r}")
        names = (task.name, *task.aliases)
        for name in names:
            if name in self._all or names.count(name) > 1:
                other = self._all.get(name, task).function
                raise InvalidTask(
                    f"task {task.name!r}: the name {name!r} is used by {other.__module__}.{other.__qualname__}"
                )
        self._tasks[task.name] = task
        self._all.update(dict.fromkeys(names, task))
