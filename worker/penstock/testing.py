"""Jobs without a database: collected by `app.test_mode()`, run in this process by `app.run_inline()`.

A stand-in for the store that ships as real code, so that an application's tests need no server. Owns the same rules of
attempts as the worker: Retry, Snooze, Cancel, `retry=`, and the dead letter after the last attempt.

Surprising: time does not pass here. A retry runs at once, a delayed job runs with the others, timeouts are not applied,
and a job enqueued with a connection is collected whether or not that connection commits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from .backoff import NEVER
from .context import Context
from .errors import InvalidArguments, PenstockError, UniqueConflict, UnknownTask
from .job import ClaimedJob, JobInfo, JobState, NewJob, OutcomeState
from .outcomes import Cancel, Retry, Snooze, TaskOutcome
from .settings import DEFAULT_MAX_ATTEMPTS

if TYPE_CHECKING:
    from .tasks import Registry, Task

MOST_JOBS: Final = 10_000
"""Jobs that one `run_inline` runs before it takes them for an endless chain."""

Lifespans = Sequence[Callable[[], Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class InlineRun:
    """How one job ended in `run_inline`.

    Attributes:
        state: COMPLETED, CANCELLED, FAILED (a dead letter in a real run) or SNOOZE (left among the collected).
        attempts: attempts that counted.
        result: what the task returned.
        stored: the same as JSON text, as a database would keep it.
        exception: what the last attempt raised, outcomes included.
    """

    job_id: int
    task: str
    state: OutcomeState
    attempts: int
    result: object = None
    stored: str | None = None
    exception: BaseException | None = None


class Collected:
    """The jobs enqueued in a test, oldest first, and how those that ran have ended. A `Client` of the App."""

    def __init__(self) -> None:
        self._jobs: list[NewJob] = []
        self._runs: dict[int, InlineRun] = {}
        self._waiting: deque[int] = deque()
        self._created: list[datetime] = []

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[NewJob]:
        return iter(self._jobs)

    def __getitem__(self, index: int) -> NewJob:
        return self._jobs[index]

    def arguments(self, task: Task[..., Any, ..., Any]) -> list[dict[str, object]]:
        """The decoded arguments of each collected job of one task, oldest first."""
        return [task.decode(job.args) for job in self._jobs if job.task == task.name]

    def enqueue(self, jobs: Sequence[NewJob], *, connection: object | None = None) -> list[int]:  # noqa: ARG002
        """Collect; ids count from 1."""
        return [self._collect(job) for job in jobs]

    def _collect(self, job: NewJob) -> int:
        if job.unique is not None and (holder := self._holder(job)) is not None:
            if job.unique.on_conflict == "raise":
                raise UniqueConflict(f"enqueue: the unique key {job.unique.key!r} is held by job {holder}")
            return holder
        self._jobs.append(job)
        self._created.append(datetime.now(UTC))
        self._waiting.append(len(self._jobs))
        return len(self._jobs)

    def _holder(self, job: NewJob) -> int | None:
        """The collected job that has not run and has the key."""
        for job_id, other in enumerate(self._jobs, start=1):
            same = other.unique is not None and job.unique is not None and other.unique.key == job.unique.key
            if same and other.queue == job.queue and job_id not in self._runs:
                return job_id
        return None

    def cancel(self, job_id: int, reason: str | None) -> str | None:  # noqa: ARG002
        """A job that has not run ends as cancelled."""
        if not 0 < job_id <= len(self._jobs) or job_id in self._runs:
            return None
        task = self._jobs[job_id - 1].task
        self._runs[job_id] = InlineRun(job_id=job_id, task=task, state=OutcomeState.CANCELLED, attempts=0)
        self._waiting.remove(job_id)
        return "cancelled"

    async def cancel_async(self, job_id: int, reason: str | None) -> str | None:
        """`cancel`."""
        return self.cancel(job_id, reason)

    async def enqueue_async(self, jobs: Sequence[NewJob], *, connection: object | None = None) -> list[int]:
        """Collect."""
        return self.enqueue(jobs, connection=connection)

    def info(self, job_id: int) -> JobInfo | None:
        """As the store would say it, from memory."""
        if not 0 < job_id <= len(self._jobs):
            return None
        job, run = self._jobs[job_id - 1], self._runs.get(job_id)
        waiting = JobState.QUEUED if job.delay is None and job.at is None else JobState.SCHEDULED
        states = {
            OutcomeState.COMPLETED: JobState.COMPLETED,
            OutcomeState.CANCELLED: JobState.CANCELLED,
            OutcomeState.FAILED: JobState.DEAD,
        }
        return JobInfo(
            id=job_id,
            state=waiting if run is None else states.get(run.state, JobState.SCHEDULED),
            queue=job.queue,
            task=job.task,
            priority=job.priority,
            attempt=0 if run is None else run.attempts,
            max_attempts=_max_attempts(job),
            crashes=0,
            created_at=self._created[job_id - 1],
            args=msgspec.json.decode(job.args),
            headers=None if job.headers is None else msgspec.json.decode(job.headers),
            result=None if run is None or run.stored is None else msgspec.json.decode(run.stored),
        )

    async def info_async(self, job_id: int) -> JobInfo | None:
        """`info`."""
        return self.info(job_id)

    def close(self) -> None:
        """Nothing is open."""

    async def close_async(self) -> None:
        """Nothing is open."""

    def take(self) -> tuple[int, NewJob] | None:
        """The oldest job that has not run, with its id; None when all have."""
        if not self._waiting:
            return None
        job_id = self._waiting.popleft()
        return job_id, self._jobs[job_id - 1]

    def ended(self, run: InlineRun) -> None:
        """Remember how a job ended."""
        self._runs[run.job_id] = run

    def wake(self) -> None:
        """Let snoozed jobs be taken once more."""
        snoozed = [job_id for job_id, run in self._runs.items() if run.state is OutcomeState.SNOOZE]
        for job_id in snoozed:
            del self._runs[job_id]
        self._waiting.extendleft(reversed(snoozed))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """A function to be called by whoever drives the run."""

    task: Task[..., Any, ..., Any]
    before: tuple[object, ...]
    arguments: dict[str, object]

    def __call__(self) -> Any:
        return self.task.function(*self.before, **self.arguments)


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
            again = again and attempt < _max_attempts(job)
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
        id=job_id, token=0, worker=0, attempt=attempt, max_attempts=_max_attempts(job), crashes=0,
        queue=job.queue, priority=job.priority, task=job.task, args=job.args, headers=job.headers,
    )  # fmt: skip
    return Context(job=claimed, client=collected)


def _max_attempts(job: NewJob) -> int:
    return DEFAULT_MAX_ATTEMPTS if job.max_attempts is None else job.max_attempts
