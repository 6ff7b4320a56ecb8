"""Jobs run in this process, by `app.run_inline()`: the rules of attempts without a database and without time.

The rules of attempts are the worker's: Retry, Snooze, Cancel, `retry=`, and the dead letter after the last attempt.
A retry runs at once and a delayed job with the others; timeouts are not applied. The jobs are `testing.Collected`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from .backoff import NEVER
from .context import Context
from .errors import InvalidArguments, PenstockError, UnknownTask
from .job import ClaimedJob, NewJob, OutcomeState
from .outcomes import Cancel, Retry, Snooze, TaskOutcome

if TYPE_CHECKING:
    from .tasks import Registry, Task

from .testing import Collected, InlineRun, max_attempts_of

MOST_JOBS: Final = 10_000
"""Jobs that one `run_inline` runs before it takes them for an endless chain."""

Lifespans = Sequence[Callable[[], Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """A function to be called by whoever drives the run."""

    task: Task[..., Any, ..., Any]
    before: tuple[object, ...]
    arguments: dict[str, object]

    def __call__(self) -> Any:
        return self.task.invoke(*self.before, **self.arguments)


def run_sync(tasks: Registry, lifespans: Lifespans, collected: Collected) -> list[InlineRun]:
    """Run in the caller's thread: plain functions outside any event loop, async ones in one opened for them.

    Raises:
        UnknownTask: a job names no task of the App.
        PenstockError: an event loop is running already, or more than 10,000 jobs.
    """
    if asyncio._get_running_loop() is not None:  # noqa: SLF001 - the public one raises instead of answering
        raise PenstockError("run_inline: an event loop is running here; await run_inline_async instead")
    with _own_loop() as loop:
        stack = AsyncExitStack()
        loop.run_until_complete(_enter(stack, lifespans))
        try:
            steps = _steps(tasks, collected)
            call = next(steps)
            while True:
                try:
                    value = loop.run_until_complete(call()) if call.task.is_async else call()
                except Exception as error:  # noqa: BLE001 - judged by the steps
                    call = steps.throw(error)
                else:
                    call = steps.send(value)
        except StopIteration as ended:
            return list(ended.value)
        finally:
            loop.run_until_complete(stack.aclose())


async def run_async(tasks: Registry, lifespans: Lifespans, collected: Collected) -> list[InlineRun]:
    """Run in this event loop: async functions in it, plain ones in a thread. Raises as `run_sync`."""
    async with AsyncExitStack() as stack:
        await _enter(stack, lifespans)
        steps = _steps(tasks, collected)
        try:
            call = next(steps)
            while True:
                try:
                    value = await (call() if call.task.is_async else asyncio.to_thread(call))
                except Exception as error:  # noqa: BLE001 - judged by the steps
                    call = steps.throw(error)
                else:
                    call = steps.send(value)
        except StopIteration as ended:
            return list(ended.value)


@contextmanager
def _own_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop for this run. Not `asyncio.Runner`: that would replace the loop that a test framework keeps here."""
    loop = asyncio.new_event_loop()
    try:
        yield loop
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


async def _enter(stack: AsyncExitStack, lifespans: Lifespans) -> None:
    for lifespan in lifespans:
        await stack.enter_async_context(lifespan())


def _steps(tasks: Registry, collected: Collected) -> Generator[_Call, Any, list[InlineRun]]:
    """Every job that has not run, in the order of ids: yields calls, is sent what they return or raise."""
    runs: list[InlineRun] = []
    collected.wake()
    while taken := collected.take():
        if len(runs) == MOST_JOBS:
            raise PenstockError(f"run_inline: more than {MOST_JOBS} jobs; do tasks enqueue one another without end?")
        job_id, job = taken
        task = tasks.get(job.task)
        if task is None:
            raise UnknownTask(f"run_inline: no task {job.task!r} on this App; it has {', '.join(tasks) or 'none'}")
        attempt, again = 0, True
        while again:
            attempt += 1
            run, again = yield from _attempt(job_id, job, task, _context(job_id, job, attempt, collected))
            again = again and attempt < max_attempts_of(job)
        collected.ended(run)
        runs.append(run)
    return runs


def _attempt(
    job_id: int, job: NewJob, task: Task[..., Any, ..., Any], context: Context
) -> Generator[_Call, Any, tuple[InlineRun, bool]]:
    """One attempt: how it ended, and whether another one may follow."""
    run = InlineRun(job_id=job_id, task=task.name, state=OutcomeState.FAILED, attempts=context.attempt)
    try:
        before = (context,) if task.wants_context else ()
        value = yield _Call(task=task, before=before, arguments=task.decode(job.args))
        if isinstance(value, TaskOutcome):
            raise value  # noqa: TRY301 - returned or raised, an outcome means the same
        stored = task.encode_result(value)
    except Retry as outcome:
        return replace(run, exception=outcome), True
    except Snooze as outcome:
        return replace(run, state=OutcomeState.SNOOZE, attempts=context.attempt - 1, exception=outcome), False
    except Cancel as outcome:
        return replace(run, state=OutcomeState.CANCELLED, exception=outcome), False
    except InvalidArguments as error:
        return replace(run, exception=error), False
    except Exception as error:  # noqa: BLE001 - whatever a task raises is its attempt's end
        return replace(run, exception=error), task.backoff_for(error) is not NEVER
    return replace(run, state=OutcomeState.COMPLETED, result=value, stored=stored), False


def _context(job_id: int, job: NewJob, attempt: int, collected: Collected) -> Context:
    claimed = ClaimedJob(
        id=job_id, token=0, worker=0, attempt=attempt, max_attempts=max_attempts_of(job), crashes=0,
        queue=job.queue, priority=job.priority, task=job.task, args=job.args, headers=job.headers,
    )  # fmt: skip
    return Context(job=claimed, client=collected)
