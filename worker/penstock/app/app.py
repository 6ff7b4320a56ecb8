"""`App`: the tasks of an application and its connection to the database.

Owns the task registry and the client. Must not run a worker: that is `penstock.runtime`, which reads `tasks` and
`lifespans`. An App opens no connection until it is used, and can be used again after `close()`.
"""

from __future__ import annotations

import functools
import inspect
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, overload

from ..backoff import Backoff, Never
from ..database.pool_settings import DEFAULT_IDLE, DEFAULT_SIZE, DEFAULT_WAIT, PoolSettings
from ..errors import InvalidTask, shown
from ..events import Hooks
from ..job import NewJob
from ..plural import plural
from .attempt_scopes import AttemptScopes
from .client import Client, StoreClient
from .connection_provider import ConnectionProvider, ProvidedClient
from .context import Context
from .handle import JobHandle
from .inline_mode import InlineMode
from .lifespan import as_manager
from .options import DEFAULT_PRIORITY, DEFAULT_QUEUE, Options, checked_jobs
from .task import Task, TaskRegistry
from .task_decorator import TaskDecorator
from .task_options import Definition, default_name
from .task_schedules import TaskSchedule

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
    from datetime import timedelta
    from types import TracebackType

    from ..database.source import Url
    from ..schedules import Schedule
    from ..settings import ExecutorName

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound="Callable[[Any], Any]")
L = TypeVar("L", bound="Callable[[], AsyncIterator[None]] | Callable[[], Iterator[None]]")


class App(InlineMode):
    """The tasks of an application and its connection to the database.

    Args:
        url: the database URL, or a function that returns it at each connect; default: PENSTOCK_DATABASE_URL, read at
            the first use.
        password: a function that returns the password at each connect, in workers too; called in any thread.
        pooled: whether the URL leads to a pooler in transaction mode; default: whether PENSTOCK_DIRECT_URL is set.
        pool_size: maximum number of connections, 1 to 1000, of a process's sync callers and of each event loop;
            default 4.
        pool_wait: seconds or a timedelta that a call waits for a free connection, 0 to an hour; default 10.
        pool_idle: seconds or a timedelta after which an unused connection is closed, 0 (at once) to a day; default 600.
        connection: finds the application's connection for calls that name none; default: the App's own pool.

    Raises:
        ConfigurationError: an argument is out of bounds.

    Attributes:
        tasks: the tasks by name; the name in a job never causes an import.
        hooks: functions that are called on events in workers.
        attempt_scopes: functions that workers run around each attempt.
        client: the client that jobs go through: the database, or the collector in `test_mode`.
    """

    def __init__(
        self,
        url: Url | None = None,
        *,
        pooled: bool | None = None,
        password: Callable[[], str] | None = None,
        pool_size: int = DEFAULT_SIZE,
        pool_wait: float | timedelta = DEFAULT_WAIT,
        pool_idle: float | timedelta = DEFAULT_IDLE,
        connection: ConnectionProvider | None = None,
    ) -> None:
        self._url, self._pooled, self.password = url, pooled, password
        self.tasks = TaskRegistry()
        pool = PoolSettings.of(size=pool_size, wait=pool_wait, idle=pool_idle)
        own = StoreClient(database=self._database, pool=pool)
        self.client: Client = own if connection is None else ProvidedClient(own, connection)
        self.connection_provider = connection
        self.hooks = Hooks()
        self.attempt_scopes = AttemptScopes()
        self._lifespans: list[Callable[[], AbstractAsyncContextManager[None]]] = []

    def __repr__(self) -> str:
        return f"<App with {plural(len(self.tasks), 'task')}>"

    def _database(self) -> tuple[Url, bool]:
        """The URL of the App or of the environment, and whether it leads to a pooler."""
        from .database_source import of_app  # noqa: PLC0415 - at the first use

        return of_app(self._url, self.password, pooled=self._pooled)

    @overload
    def task(
        self, function: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /
    ) -> Task[Concatenate[Context, P], Coroutine[Any, Any, R], P, R]: ...
    @overload
    def task(self, function: Callable[Concatenate[Context, P], R], /) -> Task[Concatenate[Context, P], R, P, R]: ...
    @overload
    def task(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, Coroutine[Any, Any, R], P, R]: ...
    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R, P, R]: ...
    @overload
    def task(
        self,
        *,
        name: str | None = None,
        aliases: Sequence[str] = (),
        queue: str = DEFAULT_QUEUE,
        executor: ExecutorName | None = None,
        timeout: float | timedelta | None = None,
        hard_timeout: float | timedelta | None = None,
        max_attempts: int | None = None,
        retry: Mapping[type[Exception], Backoff | Never] | None = None,
        exclusive: bool = False,
        priority: int = DEFAULT_PRIORITY,
        schedule: TaskSchedule | Sequence[TaskSchedule] | None = None,
    ) -> TaskDecorator: ...

    def task(
        self,
        function: Callable[..., Any] | None = None,
        *,
        name: str | None = None,
        aliases: Sequence[str] = (),
        queue: str = DEFAULT_QUEUE,
        executor: ExecutorName | None = None,
        timeout: float | timedelta | None = None,
        hard_timeout: float | timedelta | None = None,
        max_attempts: int | None = None,
        retry: Mapping[type[Exception], Backoff | Never] | None = None,
        exclusive: bool = False,
        priority: int = DEFAULT_PRIORITY,
        schedule: TaskSchedule | Sequence[TaskSchedule] | None = None,
    ) -> Any:
        """Register a function as a task; `@app.task` or `@app.task(queue="emails", timeout=30)`.

        Args:
            function: async or plain; its annotations define the accepted arguments. The first may be a `Context`.
            name: the name in jobs, 1 to 200 characters; default `module:qualname`. A given name survives a rename.
            aliases: former names; jobs with one of them still run.
            queue: of its jobs unless options name another.
            executor: "async", "thread" or "process"; default: the worker's, never the event loop for a plain one.
            timeout: seconds or a timedelta per attempt; a TimeoutError inside the task. A thread fails when it returns.
            hard_timeout: kill the child process after it; above `timeout`. For "process". Default: `timeout` plus 5 s.
            max_attempts: 1 to 1000; default: the queue's.
            retry: back-off by exception type; the nearest class wins. `NEVER` makes a dead letter at once.
            exclusive: stop the attempt when the worker's lease is lost: it may then run elsewhere. Not for threads.
            priority: 0 to 3; 0 runs first. Default 1.
            schedule: `cron(...)`, `every(...)` or several; workers of the queue write them to the database.

        Raises `InvalidTask`, `InvalidSchedule`, `InvalidArguments`: an option, a schedule or its arguments are wrong.
        """
        given = Definition(
            name=name, aliases=tuple(aliases), queue=queue, executor=executor, retry=retry or {}, exclusive=exclusive,
            hard_timeout=hard_timeout, max_attempts=max_attempts, timeout=timeout, priority=priority, schedule=schedule,
        )  # fmt: skip
        register = functools.partial(self._register, given)
        return register if function is None else register(function)

    def _register(self, definition: Definition, function: Callable[..., Any]) -> Task[..., Any, ..., Any]:
        if not inspect.isfunction(function):
            raise InvalidTask(f"@app.task decorates a function, got {shown(function)}")
        name = default_name(function) if definition.name is None else definition.name
        made: Task[..., Any, ..., Any] = Task(function, name=name, definition=definition, client=lambda: self.client)
        self.tasks.add(made)
        return made

    @property
    def schedules(self) -> tuple[Schedule, ...]:
        """The schedules of all tasks, in the order of their declaration."""
        return tuple(one for task in self.tasks.values() for one in task.schedules)

    def lifespan(self, function: L) -> L:
        """Register resources that a worker opens before its first job and closes after its last one.

        Args:
            function: a generator function without parameters, async or plain, that yields once.

        Raises:
            InvalidTask: it is not such a function.
        """
        self._lifespans.append(as_manager(function))
        return function

    @property
    def lifespans(self) -> tuple[Callable[[], AbstractAsyncContextManager[None]], ...]:
        """Async context managers, entered in this order and exited in reverse."""
        return tuple(self._lifespans)

    def on(self, event: str) -> Callable[[F], F]:
        """Register a function that workers call with the value of an event; `@app.on("job.stop")`.

        Args:
            event: one of `penstock.events.EVENTS`, which describes the values and where the function runs.
        """
        return functools.partial(self.hooks.add, event)

    def on_dead_letter(self, function: F) -> F:
        """Register a function that is called with a `DeadLetterMade` after the commit of each dead letter."""
        return self.hooks.add("job.dead", function)

    def job(self, job_id: int) -> JobHandle[Any]:
        """A handle for any job, without a query; its result is plain JSON."""
        return JobHandle(job_id, client=self.client, read=lambda value: value)

    def enqueue_many(self, jobs: Iterable[NewJob], *, connection: object | None = None, wake: bool = True) -> list[int]:
        """Enqueue jobs made by `task.job(...)`, all or none; returns their ids in order.

        Args:
            jobs: any number, also none.
            connection: enqueue in the transaction of this connection: psycopg, asyncpg, SQLAlchemy, Django.
            wake: False sends no wake-up; the next poll finds the jobs. See `Task.options`.

        Raises:
            TaskError: one of them is not a NewJob.
            StoreError: the database refused the jobs or cannot be used.
        """
        new = checked_jobs(jobs)
        return self.client.enqueue(new, **Options(connection=connection, wake=wake).call()) if new else []

    async def enqueue_many_async(
        self, jobs: Iterable[NewJob], *, connection: object | None = None, wake: bool = True
    ) -> list[int]:
        """`enqueue_many`, for async callers and async connections."""
        new = checked_jobs(jobs)
        return await self.client.enqueue_async(new, **Options(connection=connection, wake=wake).call()) if new else []

    def close(self) -> None:
        """Close the connections of this process; the next use opens new ones."""
        self.client.close()

    async def close_async(self) -> None:
        """`close`, for async callers."""
        await self.client.close_async()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close_async()
