"""One attempt: from a claimed job to what it ended in. Runs the task and never raises for it.

Only the cancellation of the attempt itself passes through: then nothing is to be acknowledged, because the claim is
being handed back. Whatever else a task raises, SystemExit and a cancellation of its own making included, is its error.
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

from penstock.app.context import Context
from penstock.app.task import TaskRegistry
from penstock.job import ClaimedJob, Finished, OutcomeState
from penstock.outcomes import TaskOutcome
from penstock.settings import ExecutorName

from ..event_loop import Runner
from ..observe.logs import fields, running
from .awaitables import discard, finished_call, is_awaitable, is_closing, settled, settled_in
from .outcomes import AnyTask, OutcomeBuilder, internal_error_outcome, is_a
from .timeouts import overdue, within

logger = logging.getLogger("penstock.attempt")

Returned = tuple[object, BaseException | None]

_LOOPS = frozenset({"asyncio.events", "asyncio.runners", Runner.__module__})
"""Below every step: asyncio's loop has a frame for each of them, under uvloop there is the runner's alone."""


class ProcessExecutor(Protocol):
    """What runs attempts in child processes."""

    async def run(self, job: ClaimedJob, task: AnyTask) -> Finished:
        """Run it; raises nothing but cancellation."""

    def interrupt(self, job: ClaimedJob) -> bool:
        """Have it end, if it runs there."""


class Attempts:
    """Runs attempts of one App's tasks.

    Args:
        tasks: the closed registry.
        context: makes what a task may ask of its attempt.
        threads: where blocking functions run; as many threads as consumers.
        children: where tasks run whose executor is "process".
        executor: where a task runs that does not say.
        outcomes: turns how it went into what is stored.
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
    ) -> None:
        self._tasks, self._context, self._threads, self._children = tasks, context, threads, children
        self._executor, self._outcomes = executor, outcomes
        self._plain = {name for name, task in tasks.items() if self._is_plain(task)}
        """Tasks that are awaited as they are: most of the cost of a short job is in what is put around it."""
        self._in_threads: set[int] = set()
        self._contexts: dict[int, Context] = {}
        self._process = os.getpid()
        self._copied = False

    @property
    def in_threads(self) -> int:
        """Functions that run in threads now, those included whose attempt was given up: nothing can interrupt them."""
        return len(self._in_threads)

    def _is_plain(self, task: AnyTask) -> bool:
        return task.executor_for(self._executor) == "async" and task.timeout is None and not task.wants_context

    async def run(self, job: ClaimedJob) -> Finished:
        """Run the job's task once and say what came of it."""
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
                value = await settled(value)
        except BaseException as error:  # a task may raise anything; sys.exit ends the job alone
            if is_from_outside(error):
                raise
            return self._other(job, task, None, error, started)
        if self._copied or (value is not None and is_a(value, TaskOutcome)):
            return self._other(job, task, value, None, started)
        duration = time.perf_counter() - started
        try:
            result = None if value is None else task.encode_result(value)
        except BaseException as error:  # noqa: BLE001 - encoding asks the value for its fields
            return self._outcomes.for_unstorable_result(job, error, duration)
        return Finished(job=job, state=OutcomeState.COMPLETED, duration=duration, result=result)

    def _other(
        self, job: ClaimedJob, task: AnyTask, value: object, error: BaseException | None, started: float
    ) -> Finished:
        """What is neither a value nor this process's: how the attempt ended then."""
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
        """In a copy of the process that a task has forked: no worker, so it ends where the task returns or awaits."""
        self._copied = True
        # Before anything else of the loop: what is ready there would speak on the worker's connections.
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
        """Run the call where its task belongs."""
        if task.executor_for(self._executor) == "async":
            return await within(task, lambda: finished_call(call))
        loop, context, began = asyncio.get_running_loop(), contextvars.copy_context(), time.monotonic()
        late: list[bool] = []
        timer = None if task.timeout is None else loop.call_later(task.timeout, self._is_overdue, task, job, late)
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
        left = None if task.timeout is None else task.timeout - (time.monotonic() - began)
        return await within(task, lambda: settled_in(context, value), left=left)

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

    def _is_overdue(self, task: AnyTask, job: ClaimedJob, late: list[bool]) -> None:
        """A function in a thread is past its timeout: it may look at `ctx.cancelled`, no more can be done."""
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
    """Somebody wanted its end, and it has no other outcome."""
    return Finished(job=job, state=OutcomeState.CANCELLED, reason="asked")


def internal_error(job: ClaimedJob, error: BaseException) -> Finished:
    """The last net: code of ours around the task raised, or the task cancelled itself. Logged, and a failed attempt."""
    itself = is_a(error, asyncio.CancelledError) and is_being_cancelled()
    with contextlib.suppress(BaseException):  # a handler of the application may raise, an exception may have no text
        if itself:
            logger.error("attempt cancelled by its own task", exc_info=error, extra=fields(job))
        else:
            logger.error("attempt failed by an internal error of the worker", exc_info=error, extra=fields(job))
    return internal_error_outcome(job, error, reason="error" if itself else "internal_error")


def is_being_cancelled() -> bool:
    """Whether somebody cancels this attempt; a task may also raise CancelledError by itself."""
    current = asyncio.current_task()
    return current is None or current.cancelling() > 0


def is_from_outside(error: BaseException) -> bool:
    """Whether an error is none of the task's: its attempt is being cancelled, or its coroutine closed with the loop."""
    if is_a(error, asyncio.CancelledError):
        return is_being_cancelled()
    return is_closing(error)
