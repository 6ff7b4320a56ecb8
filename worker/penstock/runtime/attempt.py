"""One attempt: from a claimed job to what it ended in. Runs the task and never raises for it.

Only the cancellation of the attempt itself passes through: then nothing is to be acknowledged, because the claim is
being handed back.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from penstock.context import Context
from penstock.errors import InvalidArguments, PayloadTooLarge, UnencodableResult
from penstock.job import ClaimedJob, Finished, OutcomeState
from penstock.outcomes import TaskOutcome
from penstock.settings import ExecutorName
from penstock.tasks import Registry, Task

from .failure import Endings


class Attempts:
    """Runs attempts of one App's tasks.

    Args:
        tasks: the closed registry.
        context: makes what a task may ask of its attempt.
        threads: where blocking functions run; as many threads as consumers.
        executor: where a task runs that does not say.
        endings: turns how it went into what is stored.
    """

    def __init__(
        self,
        *,
        tasks: Registry,
        context: Callable[[ClaimedJob], Context],
        threads: Executor,
        executor: ExecutorName,
        endings: Endings,
    ) -> None:
        self._tasks, self._context, self._threads = tasks, context, threads
        self._executor, self._endings = executor, endings
        self._plain = {name for name, task in tasks.items() if self._is_plain(task)}
        """Tasks that are awaited as they are: most of the cost of a short job is in what is put around it."""
        self._in_threads: set[int] = set()
        self._contexts: dict[int, Context] = {}

    @property
    def in_threads(self) -> int:
        """Functions that run in threads now, those included whose attempt was given up: nothing can interrupt them."""
        return len(self._in_threads)

    def _is_plain(self, task: Task[..., Any, ..., Any]) -> bool:
        return task.executor_for(self._executor) == "async" and task.timeout is None and not task.wants_context

    async def run(self, job: ClaimedJob) -> Finished:
        """Run the job's task once and say what came of it."""
        task = self._tasks.get(job.task)
        if task is None:
            return self._endings.of_unknown_task(job)
        started = time.perf_counter()
        try:
            values = task.decode(job.args)
        except InvalidArguments as error:
            return self._endings.of_invalid_arguments(job, error)
        try:
            value = await (task.function(**values) if job.task in self._plain else self._call(task, job, values))
            if isinstance(value, TaskOutcome):
                return self._endings.of_outcome(job, value, time.perf_counter() - started)
        except TaskOutcome as outcome:
            return self._endings.of_outcome(job, outcome, time.perf_counter() - started)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a task may raise anything; sys.exit ends the job alone
            return self._endings.of_error(job, task, error, time.perf_counter() - started)
        duration = time.perf_counter() - started
        try:
            result = None if value is None else task.encode_result(value)
        except (UnencodableResult, PayloadTooLarge) as error:
            return self._endings.of_unstorable_result(job, error, duration)
        return Finished(job=job, state=OutcomeState.COMPLETED, duration=duration, result=result)

    def interrupt(self, job: ClaimedJob) -> bool:
        """Mark a running attempt as cancelled; True if it runs on the event loop, where it can be interrupted too."""
        if (context := self._contexts.get(id(job))) is not None:
            context.mark_cancelled()
        return id(job) not in self._in_threads

    async def _call(self, task: Task[..., Any, ..., Any], job: ClaimedJob, values: dict[str, object]) -> object:
        if not task.wants_context:
            return await self._place(task, job, functools.partial(task.function, **values))
        context = self._contexts[id(job)] = self._context(job)
        try:
            return await self._place(task, job, functools.partial(task.function, context, **values))
        finally:
            del self._contexts[id(job)]

    async def _place(self, task: Task[..., Any, ..., Any], job: ClaimedJob, call: Callable[[], Any]) -> object:
        """Run the call where its task belongs."""
        where = task.executor_for(self._executor)
        if where == "async":
            if task.timeout is None:
                return await call()
            async with asyncio.timeout(task.timeout):
                return await call()
        self._in_threads.add(id(job))
        run = functools.partial(self._in_thread, contextvars.copy_context(), call, id(job))
        return await asyncio.get_running_loop().run_in_executor(self._threads, run)

    def _in_thread(self, context: contextvars.Context, call: Callable[[], object], marker: int) -> object:
        try:
            return context.run(call)
        finally:
            self._in_threads.discard(marker)
