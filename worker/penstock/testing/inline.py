"""Runs collected jobs in this process, for `app.run_inline()`: attempts without a database and without delays.

The worker's `OutcomeBuilder` decides the outcome of each attempt, as in production. Retries and delayed jobs run at
once, timeouts are not applied, and incompatible arguments do not wait for another release. `JobCollector` owns
the jobs. A KeyboardInterrupt is not an error of the task: it stops the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..app.collected import InlineRun, Lifespans
from ..app.context import Context
from ..backoff import Backoff
from ..errors import PenstockError, UnknownTask
from ..job import ClaimedJob, Finished, NewJob, OutcomeState
from ..outcomes import TaskOutcome
from .collector import JobCollector, max_attempts_of

if TYPE_CHECKING:
    from ..app.connection_provider import ConnectionProvider
    from ..app.task import Task, TaskRegistry
    from ..runtime.execution.outcomes import OutcomeBuilder

MAX_JOBS: Final = 10_000
"""Jobs that one `run_inline` runs before it takes them for an endless chain."""

CallResult = tuple[Any, BaseException | None]
"""The return value of a call, or the exception that it raised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """A function that the driver of the run calls."""

    task: Task[..., Any, ..., Any]
    before: tuple[object, ...]
    arguments: dict[str, object]

    def __call__(self) -> Any:
        return self.task.invoke(*self.before, **self.arguments)

    def plainly(self) -> CallResult:
        """Call a plain function. KeyboardInterrupt passes."""
        try:
            return self(), None
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - judged by the steps
            return None, error

    async def awaited(self, ended: list[CallResult], value: Any = None) -> None:
        """Await an async function, or what a plain one returned; into `ended`, because the task may be cancelled."""
        from ..runtime.execution.awaitables import await_fully  # noqa: PLC0415 - not needed to enqueue

        try:
            ended.append((await await_fully(self() if value is None else value), None))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - as above
            ended.append((None, error))


class InlineCollector(JobCollector):
    """Collected jobs that run in this process: the `Collector` of an App."""

    def run_sync(self, tasks: TaskRegistry, lifespans: Lifespans) -> list[InlineRun]:
        """Run in the caller's thread; see `Collector`."""
        if asyncio._get_running_loop() is not None:  # noqa: SLF001 - the public one raises instead of answering
            raise PenstockError("run_inline: an event loop is running here; await run_inline_async instead")
        with _own_loop() as loop, _entered(loop, lifespans):
            steps = _steps(tasks, self)
            try:
                call = next(steps)
                while True:
                    call = steps.send(_run_call(loop, call))
            except StopIteration as ended:
                return list(ended.value)

    async def run_async(
        self, tasks: TaskRegistry, lifespans: Lifespans, provider: ConnectionProvider | None = None
    ) -> list[InlineRun]:
        """Run in this event loop; see `Collector`."""
        in_thread: Callable[[Callable[[], CallResult]], Awaitable[CallResult]]
        in_thread = asyncio.to_thread if provider is None else provider.in_thread
        async with AsyncExitStack() as stack:
            for lifespan in lifespans:
                await stack.enter_async_context(lifespan())
            steps = _steps(tasks, self)
            try:
                call = next(steps)
                while True:
                    call = steps.send(await _await_call(call, in_thread))
            except StopIteration as ended:
                return list(ended.value)


def _run_call(loop: asyncio.AbstractEventLoop, call: _Call) -> CallResult:
    from ..runtime.execution.awaitables import is_awaitable  # noqa: PLC0415

    value = None
    if not call.task.is_async:
        value, error = call.plainly()
        if error is not None or not is_awaitable(value):
            return value, error
    ended: list[CallResult] = []
    with contextlib.suppress(asyncio.CancelledError):  # too late: it has ended
        _run(loop, call.awaited(ended, value))
    return ended[0] if ended else (None, asyncio.CancelledError())


async def _await_call(
    call: _Call, in_thread: Callable[[Callable[[], CallResult]], Awaitable[CallResult]]
) -> CallResult:
    """In a task of its own, as in the worker: one that cancels itself must not cancel the caller."""
    from ..runtime.execution.awaitables import is_awaitable  # noqa: PLC0415

    value = None
    if not call.task.is_async:
        value, error = await in_thread(call.plainly)
        if error is not None or not is_awaitable(value):
            return value, error
    ended: list[CallResult] = []
    running = asyncio.ensure_future(call.awaited(ended, value))
    try:
        await asyncio.wait([running])
    except asyncio.CancelledError:
        running.cancel()
        await asyncio.wait([running])
        raise
    if not running.cancelled() and (failure := running.exception()) is not None:
        raise failure
    return ended[0] if ended else (None, asyncio.CancelledError())


def _run(loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, None]) -> None:
    """Run until it finishes, as the worker's loop does: SystemExit of another task or a callback ends no loop."""
    task = loop.create_task(main)
    while not task.done() and not loop.is_closed():
        with contextlib.suppress(SystemExit, RuntimeError):  # RuntimeError: the loop was stopped
            loop.run_until_complete(task)
    task.result()


@contextmanager
def _own_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop for this run. Not `asyncio.Runner`: that would replace the loop that a test framework keeps here."""
    loop = asyncio.new_event_loop()
    try:
        try:
            yield loop
        finally:
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.wait(left))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


@contextmanager
def _entered(loop: asyncio.AbstractEventLoop, lifespans: Lifespans) -> Iterator[None]:
    """The lifespans, entered and left by one asyncio task: task groups and cancel scopes insist on it."""
    entered, leaving = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with AsyncExitStack() as stack:
            for lifespan in lifespans:
                await stack.enter_async_context(lifespan())
            entered.set()
            await leaving.wait()

    async def until_entered() -> None:
        waiting = asyncio.ensure_future(entered.wait())
        await asyncio.wait([waiting, living], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if living.done():
            living.result()

    async def leave() -> None:
        leaving.set()
        await living

    living = loop.create_task(live(), name="lifespans")
    _run(loop, until_entered())
    try:
        yield
    finally:
        _run(loop, leave())


def _steps(tasks: TaskRegistry, collected: JobCollector) -> Generator[_Call, CallResult, list[InlineRun]]:
    """Every job that has not run, in the order of ids: yields calls, is sent what they return or raise."""
    from ..runtime.execution.outcomes import OutcomeBuilder  # noqa: PLC0415 - not needed to enqueue

    outcomes = OutcomeBuilder(backoff=Backoff(), rng=random.Random(0), incompatible_seconds=0.0)  # noqa: S311 - no time passes
    runs: list[InlineRun] = []
    collected.wake()
    while taken := collected.take():
        if len(runs) == MAX_JOBS:
            raise PenstockError(f"run_inline: more than {MAX_JOBS} jobs; do tasks enqueue each other endlessly?")
        job_id, job = taken
        task = tasks.get(job.task)
        if task is None:
            raise UnknownTask(f"run_inline: no task {job.task!r} on this App; it has {', '.join(tasks) or 'none'}")
        attempt, again = 0, True
        while again:
            attempt += 1
            run, again = yield from _attempt(outcomes, task, _context(job_id, job, attempt, collected))
        collected.ended(run)
        runs.append(run)
    return runs


def _attempt(
    outcomes: OutcomeBuilder, task: Task[..., Any, ..., Any], context: Context
) -> Generator[_Call, CallResult, tuple[InlineRun, bool]]:
    """One attempt: how it ended, and whether another one follows."""
    from ..runtime.execution.outcomes import INVALID, is_a  # noqa: PLC0415

    job = context.job
    try:
        arguments = task.decode(job.args)
    except Exception as unfit:  # noqa: BLE001 - a type of the application's may raise anything
        return _run_of(task, job, OutcomeState.FAILED, reason=INVALID, exception=unfit), False
    before = (context,) if task.wants_context else ()
    value, error = yield _Call(task=task, before=before, arguments=arguments)
    said = value if error is None else error
    finished: Finished | None = None
    if error is None and not is_a(value, TaskOutcome):
        try:
            stored = task.encode_result(value)
        except KeyboardInterrupt:
            raise
        except BaseException as unfit:  # noqa: BLE001 - encoding asks the value for its fields
            finished, said = outcomes.for_unstorable_result(job, unfit, 0.0), unfit
        else:
            return _run_of(task, job, OutcomeState.COMPLETED, result=value, stored=stored), False
    finished = finished or outcomes.for_return(job, task, value, error, 0.0)
    again = finished.state is OutcomeState.RETRY
    return _run_of(task, job, finished.state, reason=finished.reason, exception=said), again


def _run_of(task: Task[..., Any, ..., Any], job: ClaimedJob, state: OutcomeState, **more: Any) -> InlineRun:
    refunded = state is OutcomeState.SNOOZE
    return InlineRun(job_id=job.id, task=task.name, state=state, attempts=job.attempt - refunded, **more)


def _context(job_id: int, job: NewJob, attempt: int, collected: JobCollector) -> Context:
    claimed = ClaimedJob(
        id=job_id,
        token=0,
        worker=0,
        attempt=attempt,
        max_attempts=max_attempts_of(job),
        crashes=0,
        queue=job.queue,
        priority=job.priority,
        task=job.task,
        args=job.args,
        headers=job.headers,
    )
    return Context(job=claimed, client=collected)
