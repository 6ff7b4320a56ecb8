"""`App`: the tasks of an application and its way to the database. The first thing a developer writes.

Owns the registry and the client; both may be declared before there is a database. Must not run a worker: that is
`penstock.runtime`, which reads `tasks` and `lifespans`.

Surprising: an App opens nothing until it is used, so a module with tasks can be imported anywhere; and it may be used
after `close()`, which only gives the connections back.
"""

from __future__ import annotations

import functools
import inspect
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, Self, TypeVar, overload

from ..backoff import Backoff, Never
from ..database.pool_settings import DEFAULT_IDLE, DEFAULT_SIZE, DEFAULT_WAIT, PoolSettings
from ..errors import ConfigurationError, InvalidTask, shown
from ..events import Hooks
from ..job import NewJob
from .client import Client, JobHandle, StoreClient
from .context import Context
from .lifespan import as_manager
from .options import DEFAULT_PRIORITY, DEFAULT_QUEUE, Options, checked_jobs
from .task import Registry, Task
from .task_options import Definition, default_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
    from datetime import timedelta
    from types import TracebackType

    from ..database.source import Url
    from ..settings import ExecutorName
    from ..testing import Collected, InlineRun

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound="Callable[[Any], Any]")
L = TypeVar("L", bound="Callable[[], AsyncIterator[None]] | Callable[[], Iterator[None]]")


class TaskDecorator(Protocol):
    """What `app.task(...)` gives: makes a Task of an async or a plain function, with or without a Context first."""

    @overload
    def __call__(
        self, function: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /
    ) -> Task[Concatenate[Context, P], Coroutine[Any, Any, R], P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Context, P], R], /) -> Task[Concatenate[Context, P], R, P, R]: ...
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, Coroutine[Any, Any, R], P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R, P, R]: ...


class App:
    """An application's tasks and its way to the database.

    Args:
        url: the database URL, or a function called at each connect; default PENSTOCK_DATABASE_URL, at the first use.
        password: a function that gives the password at each connect, of workers too; called in any thread.
        pooled: the URL leads to a pooler in transaction mode; default: a PENSTOCK_DIRECT_URL is set beside it.
        pool_size: connections at most, 1 to 1000, default 4; for sync callers of a process, and for each event loop.
        pool_wait: seconds or a timedelta that a call waits for a free one, 0 to an hour; default 10.
        pool_idle: seconds or a timedelta after which an unused one is closed, 0 (at once) to a day; default 600.

    Raises:
        ConfigurationError: one of these is out of its bounds.

    Attributes:
        tasks: the closed registry; a job that names another task is never imported.
        hooks: who listens to what happens in workers.
        client: what jobs go through: the store, or in `test_mode` what is collected.
    """

    def __init__(
        self, url: Url | None = None, *, pooled: bool | None = None, password: Callable[[], str] | None = None,
        pool_size: int = DEFAULT_SIZE, pool_wait: float | timedelta = DEFAULT_WAIT,
        pool_idle: float | timedelta = DEFAULT_IDLE,
    ) -> None:  # fmt: skip
        self._url, self._pooled, self.password = url, pooled, password
        self.tasks = Registry()
        pool = PoolSettings.of(size=pool_size, wait=pool_wait, idle=pool_idle)
        self.client: Client = StoreClient(database=self._database, pool=pool)
        self.hooks = Hooks()
        self._lifespans: list[Callable[[], AbstractAsyncContextManager[None]]] = []

    def __repr__(self) -> str:
        return f"<App with {len(self.tasks)} tasks>"

    def _database(self) -> tuple[Url, bool]:
        """The URL given, or the environment's, and whether it leads to a pooler."""
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
    ) -> Any:
        """Register a function as a task; `@app.task` or `@app.task(queue="emails", timeout=30)`.

        Args:
            function: async or plain; its annotations decide what arguments are accepted. A `Context` may come first.
            name: what jobs carry, 1 to 200 characters; default `module:qualname`. Give one to be free to rename.
            aliases: former names; jobs that carry one still run.
            queue: where its jobs go unless options say otherwise; default "default".
            executor: "async", "thread" or "process"; default the worker's, a plain function never on the event loop.
            timeout: seconds or a timedelta for an attempt; default none. A TimeoutError is raised inside the task; but
                nothing can interrupt a thread: there the attempt keeps its slot and has failed when it returns.
            hard_timeout: above `timeout`: the child process is killed; for "process". Default `timeout` and 5 s.
            max_attempts: 1 to 1000; default the queue's.
            retry: back-off by exception type, the nearest class wins; `NEVER` makes a dead letter at once.
            exclusive: stop the attempt when the worker's lease is lost, for it may run elsewhere then; not for threads.
            priority: 0 to 3, lower first; default 1.

        Raises:
            InvalidTask: the function, an option or its name breaks a rule.
        """
        definition = Definition(
            name=name, aliases=tuple(aliases), queue=queue, executor=executor, timeout=timeout, priority=priority,
            hard_timeout=hard_timeout, max_attempts=max_attempts, retry=retry or {}, exclusive=exclusive,
        )  # fmt: skip
        made = functools.partial(self._register, definition)
        return made if function is None else made(function)

    def _register(self, definition: Definition, function: Callable[..., Any]) -> Task[..., Any, ..., Any]:
        if not inspect.isfunction(function):
            raise InvalidTask(f"@app.task makes a task of a function, got {shown(function)}")
        name = default_name(function) if definition.name is None else definition.name
        made: Task[..., Any, ..., Any] = Task(function, name=name, definition=definition, client=lambda: self.client)
        self.tasks.add(made)
        return made

    def lifespan(self, function: L) -> L:
        """Register what a worker opens before its first job and closes after its last.

        Args:
            function: a generator function without parameters, async or plain, that yields once.

        Raises:
            InvalidTask: it is something else.
        """
        self._lifespans.append(as_manager(function))
        return function

    @property
    def lifespans(self) -> tuple[Callable[[], AbstractAsyncContextManager[None]], ...]:
        """Async context managers to enter in this order, and to leave in the other."""
        return tuple(self._lifespans)

    def on(self, event: str) -> Callable[[F], F]:
        """Register a function to be called in workers with an event's value; `@app.on("job.stop")`.

        Args:
            event: one of `penstock.events.EVENTS`, which says what each brings and where the function runs.
        """
        return functools.partial(self.hooks.add, event)

    def on_dead_letter(self, function: F) -> F:
        """Register a function to be called behind the commit of each dead letter, with a `DeadLetterMade`."""
        return self.hooks.add("job.dead", function)

    def job(self, job_id: int) -> JobHandle[Any]:
        """A handle for any job; its result is plain JSON. Makes no query."""
        return JobHandle(job_id, client=self.client, read=lambda value: value)

    def enqueue_many(self, jobs: Iterable[NewJob], *, connection: object | None = None, wake: bool = True) -> list[int]:
        """Enqueue jobs made by `task.job(...)`, all or none; their ids in order.

        Args:
            jobs: any number; none at all does nothing.
            connection: enqueue in the transaction of this connection: psycopg, asyncpg, SQLAlchemy, Django.
            wake: False sends no wake-up, the next poll finds the jobs; see `Task.options`.

        Raises:
            TaskError: something else than a job is among them.
            StoreError: the database refused or cannot be used.
        """
        new = checked_jobs(jobs)
        return self.client.enqueue(new, **Options(connection=connection, wake=wake).call()) if new else []

    async def enqueue_many_async(
        self, jobs: Iterable[NewJob], *, connection: object | None = None, wake: bool = True
    ) -> list[int]:
        """`enqueue_many`, for async callers and async connections."""
        new = checked_jobs(jobs)
        return await self.client.enqueue_async(new, **Options(connection=connection, wake=wake).call()) if new else []

    @contextmanager
    def test_mode(self) -> Iterator[Collected]:
        """Collect what is enqueued, in any thread, instead of writing it, until the `with` block ends."""
        from ..testing import Collected  # noqa: PLC0415 - production code never needs it

        before, self.client = self.client, Collected()
        try:
            yield self.client
        finally:
            self.client = before

    def run_inline(self, *jobs: NewJob) -> list[InlineRun]:
        """Run jobs here, without a database: these, or what `test_mode` has collected; and all that they enqueue.

        Retries run at once, timeouts are not applied. Raises as `penstock.testing.inline.run_sync`.
        """
        from ..testing.inline import run_sync  # noqa: PLC0415

        with self._collecting(jobs) as collected:
            return run_sync(self.tasks, self.lifespans, collected)

    async def run_inline_async(self, *jobs: NewJob) -> list[InlineRun]:
        """`run_inline`, where an event loop is running: plain functions run in a thread."""
        from ..testing.inline import run_async  # noqa: PLC0415

        with self._collecting(jobs) as collected:
            return await run_async(self.tasks, self.lifespans, collected)

    @contextmanager
    def _collecting(self, jobs: tuple[NewJob, ...]) -> Iterator[Collected]:
        from ..testing import Collected  # noqa: PLC0415

        if not jobs and isinstance(self.client, Collected):
            yield self.client
        elif jobs:
            with self.test_mode() as collected:
                collected.enqueue(jobs)
                yield collected
        else:
            raise ConfigurationError("run_inline: give it jobs, or call it inside app.test_mode()")

    def close(self) -> None:
        """Close the connections that this process opened for sync callers."""
        self.client.close()

    async def close_async(self) -> None:
        """Close the connections that this process opened, for sync callers and this event loop."""
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
