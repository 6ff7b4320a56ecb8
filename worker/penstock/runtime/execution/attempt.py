"""One attempt, from a claimed job to its outcome. Runs the task and never raises for it.

Only the cancellation of the attempt itself passes through: its claim is then being released, and nothing is
acknowledged. Whatever else a task raises, SystemExit and a cancellation of its own included, is the task's error.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import inspect
import logging
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor
from types import FrameType
from typing import Any, Protocol

from penstock.app.attempt_scopes import AttemptScopes
from penstock.app.context import Context
from penstock.app.task import TaskRegistry
from penstock.job import ClaimedJob, Finished, OutcomeState
from penstock.outcomes import TaskOutcome
from penstock.settings import ExecutorName

from ..event_loop import Runner
from ..observe.logs import fields, running
from .awaitables import await_fully, discard, finished_call, is_awaitable, is_closing, settled_in
from .outcomes import AnyTask, OutcomeBuilder, internal_error_outcome, is_a
from .timeouts import overdue, run_with_timeout

logger = logging.getLogger("penstock.attempt")

Returned = tuple[object, BaseException | None]

_LOOPS = frozenset({"asyncio.events", "asyncio.runners", Runner.__module__})
"""Below every step: asyncio's loop has a frame for each of them, under uvloop there is the runner's alone."""


class ProcessExecutor(Protocol):
    """Runs attempts in child processes."""

    async def run(self, job: ClaimedJob, task: AnyTask) -> Finished:
        """Run it; raises nothing but cancellation."""

    def interrupt(self, job: ClaimedJob) -> bool:
        """Ask it to stop, if it runs there; False if it does not."""


class Attempts:
    """Runs attempts of one App's tasks.

    Args:
        tasks: the closed registry.
        context: makes the `Context` of an attempt.
        threads: run blocking functions; as many threads as slots.
        children: run tasks whose executor is "process".
        executor: of tasks that name none.
        outcomes: builds what is stored.
        scopes: run around each attempt here; children have their own.
    """

    def __init__(
        self,
        *,
        tasks: TaskRegistry,
        context: Callable[[ClaimedJob], Context],
        threads: Executor,
        children: ProcessExecutor,
        executor: ExecutorName,
        outcomes: OutcomeBuilder,
        scopes: AttemptScopes | None = None,
    ) -> None:
        self._scopes = scopes or AttemptScopes()
        self._tasks, self._context, self._threads, self._children = tasks, context, threads, children
        self._executor, self._outcomes = executor, outcomes
        self._plain = {name for name, task in tasks.items() if self._is_plain(task)}
        """Tasks that are awaited directly: most of the cost of a short job is what surrounds it."""
        self._in_threads: set[int] = set()
        self._contexts: dict[int, Context] = {}
        self._process = os.getpid()
        self._copied = False

    @property
    def in_threads(self) -> int:
        """Functions that run in threads now, those of abandoned attempts included: nothing can interrupt a thread."""
        return len(self._in_threads)

    def _is_plain(self, task: AnyTask) -> bool:
        bare = task.timeout is None and not task.wants_context and not self._scopes.applies(is_async=True)
        return bare and task.executor_for(self._executor) == "async"

    async def run(self, job: ClaimedJob) -> Finished:
        """Run the job's task once; returns the outcome."""
        running.set(job)  # this is a task of its own: nothing to undo
        task = self._tasks.get(job.task)
        if task is None:
            return self._outcomes.for_unknown_task(job)
        plain = job.task in self._plain
        if not plain and task.executor_for(self._executor) == "process":
            return await self._children.run(job, task)
        started = time.perf_counter()
        try:
            values = task.decode(job.args)
        except BaseException as error:  # noqa: BLE001 - a type of the application's may check itself, and raise anything
            return self._outcomes.for_invalid_arguments(job, error)
        try:
            value = await (task.invoke(**values) if plain else self._call(task, job, values))
            if value is not None and is_awaitable(value):
                value = await await_fully(value)
        except BaseException as error:  # a task may raise anything; sys.exit stops this job alone
            if is_from_outside(error):
                raise
            return self._special(job, task, None, error, started)
        if self._copied or (value is not None and is_a(value, TaskOutcome)):
            return self._special(job, task, value, None, started)
        duration = time.perf_counter() - started
        try:
            result = None if value is None else task.encode_result(value)
        except BaseException as error:  # noqa: BLE001 - encoding asks the value for its fields
            return self._outcomes.for_unstorable_result(job, error, duration)
        return Finished(job=job, state=OutcomeState.COMPLETED, duration=duration, result=result)

    def _special(
        self, job: ClaimedJob, task: AnyTask, value: object, error: BaseException | None, started: float
    ) -> Finished:
        """The outcome if the task returned an outcome or raised; exits in a forked copy of the process."""
        if self._copied:
            os._exit(0)
        return self._outcomes.for_return(job, task, value, error, time.perf_counter() - started)

    def interrupt(self, job: ClaimedJob) -> bool:
        """Mark a running attempt as cancelled; True if it runs on the event loop, where it can be interrupted too.

        One in a child is interrupted there, and its child is killed if that does not help.
        """
        if (context := self._contexts.get(id(job))) is not None:
            context.mark_cancelled()
        return not self._children.interrupt(job) and id(job) not in self._in_threads

    def copied(self, loop: asyncio.AbstractEventLoop) -> None:
        """In a copy of the process that a task forked: it is no worker, and exits where the task returns or awaits."""
        self._copied = True
        # Before anything else of the loop: what is ready there would use the worker's connections.
        step = _current_step()
        sys.setprofile(lambda frame, event, _: os._exit(0) if frame is step and event == "return" else None)
        loop.call_soon(os._exit, 0)  # for a task whose code has taken the profiler for itself

    async def _call(self, task: AnyTask, job: ClaimedJob, values: dict[str, object]) -> object:
        if not task.wants_context:
            return await self._place(task, job, functools.partial(task.invoke, **values))
        context = self._contexts[id(job)] = self._context(job)
        try:
            return await self._place(task, job, functools.partial(task.invoke, context, **values))
        finally:
            del self._contexts[id(job)]

    async def _place(self, task: AnyTask, job: ClaimedJob, call: Callable[[], Any]) -> object:
        """Run the call in the executor of its task, inside the scopes."""
        call = self._scopes.around(call, is_async=task.is_async)
        if task.executor_for(self._executor) == "async":
            return await run_with_timeout(task, lambda: finished_call(call))
        loop, context, started_at = asyncio.get_running_loop(), contextvars.copy_context(), time.monotonic()
        late: list[bool] = []
        timer = None if task.timeout is None else loop.call_later(task.timeout, self._timed_out, task, job, late)
        try:
            value, failure = await self._threaded(job, context, call)
        finally:
            if timer is not None:
                timer.cancel()
        if failure is None and late and not is_a(value, TaskOutcome):
            discard(value)
            failure = overdue(task)
        if failure is not None:
            raise failure
        if value is None or not is_awaitable(value):
            return value
        left = None if task.timeout is None else task.timeout - (time.monotonic() - started_at)
        return await run_with_timeout(task, lambda: settled_in(context, value), left=left)

    async def _threaded(self, job: ClaimedJob, context: contextvars.Context, call: Callable[[], object]) -> Returned:
        self._in_threads.add(id(job))
        future = None
        try:
            future = self._threads.submit(self._in_thread, context, call, id(job))
            return await asyncio.wrap_future(future)
        except BaseException:
            if future is None or future.cancel():  # no thread could be started, or none was free yet: it never ran
                self._in_threads.discard(id(job))
            raise

    def _timed_out(self, task: AnyTask, job: ClaimedJob, late: list[bool]) -> None:
        """A function in a thread exceeded its timeout: it can check `ctx.cancelled`, and nothing can interrupt it."""
        late.append(True)
        extra = {**fields(job), "error": str(overdue(task))}
        logger.warning("timeout exceeded in a thread, which cannot be interrupted and keeps its slot", extra=extra)
        if (context := self._contexts.get(id(job))) is not None:
            context.mark_cancelled()

    def _in_thread(self, context: contextvars.Context, call: Callable[[], object], marker: int) -> Returned:
        """As a value, whatever the function raises: a future cannot hold a StopIteration."""
        try:
            return context.run(call), None
        except BaseException as error:  # noqa: BLE001 - see `run`
            return None, error
        finally:
            if os.getpid() != self._process:
                os._exit(0)
            self._in_threads.discard(marker)


def _current_step() -> FrameType | None:
    """The outermost frame of what the event loop runs now: it "returns", as a profiler sees it, when a task awaits."""
    frame, step = inspect.currentframe(), None
    while frame is not None and frame.f_globals.get("__name__") not in _LOOPS:
        frame, step = frame.f_back, frame
    return step


def cancelled_by_request(job: ClaimedJob) -> Finished:
    """The outcome of a job that was cancelled by request and has no other."""
    return Finished(job=job, state=OutcomeState.CANCELLED, reason="asked")


def internal_error(job: ClaimedJob, error: BaseException) -> Finished:
    """A failed attempt, logged: code of the worker around the task raised, or the task cancelled itself."""
    itself = is_a(error, asyncio.CancelledError) and is_being_cancelled()
    with contextlib.suppress(BaseException):  # a handler of the application may raise, an exception may have no text
        if itself:
            logger.error("attempt cancelled by its own task", exc_info=error, extra=fields(job))
        else:
            logger.error("attempt failed by an internal error of the worker", exc_info=error, extra=fields(job))
    return internal_error_outcome(job, error, reason="error" if itself else "internal_error")


def is_being_cancelled() -> bool:
    """Return True if this attempt is being cancelled; a task may also raise CancelledError by itself."""
    current = asyncio.current_task()
    return current is None or current.cancelling() > 0


def is_from_outside(error: BaseException) -> bool:
    """True if an error is not the task's: the attempt is being cancelled, or its coroutine closed with the loop."""
    if is_a(error, asyncio.CancelledError):
        return is_being_cancelled()
    return is_closing(error)
