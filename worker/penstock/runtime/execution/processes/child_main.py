"""The main function of a child process: the App, its lifespans, and one job after the other, as frames request them.

A plain function runs in the main thread, outside any event loop: a soft timeout can interrupt it, and `asyncio.run`
works in it. Between jobs and for async ones the loop runs, which keeps alive what a lifespan opened. A thread reads the
frames: it passes jobs to the loop, interrupts, and kills the process when the worker is gone or an exclusive task's
time is up. A task that forks may return twice; the copy exits where it returns.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import faulthandler
import logging
import os
import random
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, NoReturn

from penstock.app.app import App
from penstock.app.context import Context
from penstock.app.loading import load_app
from penstock.backoff import Backoff
from penstock.database.source import Url, source
from penstock.early_signals import ignore_signals
from penstock.errors import PenstockError
from penstock.job import ClaimedJob, Finished, OutcomeState
from penstock.runtime.event_loop import Runner, loop_factory
from penstock.runtime.execution.awaitables import await_fully, finished_call, is_awaitable
from penstock.runtime.execution.outcomes import AnyTask, OutcomeBuilder, internal_error_outcome, is_a
from penstock.runtime.execution.timeouts import Alarm, run_with_timeout
from penstock.runtime.observe.worker_log import always_write
from penstock.runtime.process_exit import buffer_lines
from penstock.runtime.process_state import here, resident

from .protocol import (
    Claim,
    Failed,
    Hello,
    Interrupt,
    Progress,
    Ready,
    RunJob,
    Stop,
    ToChild,
    ToWorker,
    Until,
    claim_of,
    encode,
    outcome_frame,
    receive,
)

PR_SET_PDEATHSIG = 1
FORMAT = "%(levelname)s %(name)s: %(message)s"
CallResult = tuple[object, BaseException | None]


def main(fd: int) -> None:
    """Run a child process from start to exit; `fd`: its side of the pipe."""
    pipe = socket.socket(fileno=fd)
    pipe.set_inheritable(False)
    os.register_at_fork(after_in_child=pipe.close)  # what a task forks must not hold the pipe open
    sys.argv = ["penstock child"]
    hello = receive(pipe)
    if not isinstance(hello, Hello):
        return
    _die_with(hello.parent)
    buffer_lines()
    faulthandler.enable()
    logging.basicConfig(level=hello.log_level.upper(), format=FORMAT)
    always_write(hello.log_level, logging.Formatter(FORMAT))
    try:
        ChildProcess(pipe, hello, load_app(hello.app)).serve()
    except Exception as error:
        known = isinstance(error, PenstockError)
        pipe.sendall(encode(Failed(str(error) if known else f"{type(error).__name__}: {error}")))
        if not known:
            raise


def _die_with(parent: int) -> None:
    """Make the kernel kill this process when the worker is gone, frozen or not."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        _kill_group()


def _kill_group() -> NoReturn:
    """Kill this process and the processes that its tasks started."""
    os.killpg(0, signal.SIGKILL)
    os._exit(1)


class ChildProcess:
    """The inside of one child process.

    Args:
        pipe: to the worker.
        hello: the worker's settings.
        app: imported here.
    """

    def __init__(self, pipe: socket.socket, hello: Hello, app: App) -> None:
        self._pipe, self._hello, self._app = pipe, hello, app
        self._backoff = Backoff(strategy=hello.strategy, base_seconds=hello.base_seconds, max_seconds=hello.max_seconds)
        rng = random.Random()  # noqa: S311 - jitter
        self._outcomes = OutcomeBuilder(backoff=self._backoff, rng=rng, incompatible_seconds=hello.incompatible_seconds)
        self._alarm = Alarm()
        self._process = os.getpid()
        self._jobs: asyncio.Queue[ClaimedJob | None] = asyncio.Queue()
        self._leaving = asyncio.Event()
        self._around = contextvars.copy_context()
        self._lock, self._sending = threading.Lock(), threading.Lock()
        self._until: float | None = None
        self._claim: Claim | None = None
        self._unwanted: Claim | None = None
        self._context: Context | None = None
        self._running: asyncio.Task[Any] | None = None

    def serve(self) -> None:
        """Enter the lifespans, run jobs until `Stop`, leave the lifespans."""
        here.note()
        with Runner(loop_factory()) as runner:
            self._loop = runner.get_loop()
            living = runner.run(self._enter())
            threading.Thread(target=self._listen, name="penstock-pipe", daemon=True).start()
            self._send(Ready())
            while (job := runner.run(self._jobs.get())) is not None:
                try:
                    outcome = self._run(runner, job)
                except BaseException as error:  # noqa: BLE001 - the last net: the child and its worker go on
                    outcome = internal_error_outcome(job, error, reason="internal_error")
                if os.getpid() != self._process:  # a copy that the task forked and that returned
                    os._exit(0)
                self._send(outcome_frame(outcome, resident()))
                self._restore_process()
            runner.run(self._leave(living))

    async def _enter(self) -> asyncio.Task[None]:
        entered = self._loop.create_future()
        living = self._loop.create_task(self._live(entered), name="lifespans")
        await asyncio.wait([entered, living], return_when=asyncio.FIRST_COMPLETED)
        if living.done():
            living.result()
        return living

    async def _live(self, entered: asyncio.Future[None]) -> None:
        """One task enters and leaves the lifespans: task groups and cancel scopes require it."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._app.close_async)
            for lifespan in self._app.lifespans:
                await stack.enter_async_context(lifespan())
            self._around = contextvars.copy_context()
            entered.set_result(None)
            await self._leaving.wait()

    async def _leave(self, living: asyncio.Task[None]) -> None:
        self._leaving.set()
        await living

    # -- one job --------------------------------------------------------------------------------------------------

    def _run(self, runner: Runner, job: ClaimedJob) -> Finished:
        task = self._app.tasks.get(job.task)
        if task is None:
            return self._outcomes.for_unknown_task(job)
        try:
            values = task.decode(job.args)
        except BaseException as error:  # noqa: BLE001 - a type of the application's may check itself, and raise anything
            return self._outcomes.for_invalid_arguments(job, error)
        context = Context(
            job=job,
            client=self._app.client,
            database=self._database,
            report=partial(self._report, claim_of(job)),
        )
        self._context, self._claim = context, claim_of(job)
        if self._unwanted == self._claim:  # the frame came first
            context.mark_cancelled()
        before = (context,) if task.wants_context else ()
        call = self._app.attempt_scopes.around(partial(task.invoke, *before, **values), is_async=task.is_async)
        started = time.perf_counter()
        value, failure = self._call(runner, task, call)
        duration = time.perf_counter() - started
        self._claim, self._context, self._running = None, None, None
        with self._lock:
            self._until = None
        if is_a(failure, asyncio.CancelledError) and self._unwanted == claim_of(job):
            return Finished(job=job, state=OutcomeState.CANCELLED, duration=duration, reason="asked")
        return self._outcomes.for_return(job, task, value, failure, duration)

    def _call(self, runner: Runner, task: AnyTask, call: Callable[[], Any]) -> CallResult:
        around, started_at = self._around.copy(), time.monotonic()
        ended: list[CallResult] = []
        try:
            if task.is_async:
                runner.run(self._awaited(task, lambda: finished_call(call), ended), context=around)
                return ended[0]
            value = around.run(self._alarm.within, task, call)
            if value is None or not is_awaitable(value):
                return value, None
            left = None if task.timeout is None else task.timeout - (time.monotonic() - started_at)
            runner.run(self._awaited(task, lambda: await_fully(value), ended, left), context=around)
        except BaseException as error:  # noqa: BLE001 - sys.exit and the like stop the job, not the child
            return ended[0] if ended else (None, error)
        return ended[0]

    async def _awaited(
        self,
        task: AnyTask,
        call: Callable[[], Coroutine[Any, Any, object]],
        ended: list[CallResult],
        left: float | None = None,
    ) -> None:
        """Append to `ended` whatever it raises: SystemExit would reach the loop, a task may have cancelled itself."""
        self._running = asyncio.current_task()
        self._interrupt()
        try:
            ended.append((await run_with_timeout(task, call, left=left), None))
        except BaseException as error:  # noqa: BLE001 - as above; a cancellation by the worker is recognized later
            ended.append((None, error))

    def _restore_process(self) -> None:
        """After a job: restore settings of the process that it may have changed and the next one needs."""
        here.keep_stack()
        self._alarm.install()
        ignore_signals()

    def _database(self) -> tuple[Url, bool]:
        return source(self._hello.database_url, self._hello.database_url_file, self._app.password), self._hello.pooled

    # -- the pipe -------------------------------------------------------------------------------------------------

    def _send(self, frame: ToWorker) -> None:
        if os.getpid() != self._process:  # a copy that the task forked
            return
        try:
            with self._sending:  # a task may report from a thread of its own
                self._pipe.sendall(encode(frame))
        except OSError:
            _kill_group()

    def _report(self, claim: Claim, found: dict[str, Any]) -> None:
        self._send(Progress(claim, **found))

    def _listen(self) -> None:
        """The reader's thread."""
        watched = select.poll()
        watched.register(self._pipe, select.POLLIN)
        while True:
            if watched.poll(self._timeout()):
                frame = receive(self._pipe)
                if frame is None:
                    _kill_group()
                self._take(frame)
            elif self._timeout() == 0:  # the lease expired, so another worker may run this job now
                _kill_group()

    def _timeout(self) -> float | None:
        """Milliseconds to wait for a frame; None: no limit."""
        until = self._until
        return None if until is None else max(0.0, until - time.monotonic()) * 1000

    def _take(self, frame: ToChild) -> None:
        match frame:
            case RunJob():
                self._until = frame.until
                self._loop.call_soon_threadsafe(self._jobs.put_nowait, frame.job)
            case Until():
                with self._lock:
                    self._until = None if self._until is None else frame.time
            case Interrupt():
                self._unwanted = frame.claim
                if (context := self._context) is not None and frame.claim == self._claim:
                    context.mark_cancelled()  # in this thread, because a plain function blocks the loop
                self._loop.call_soon_threadsafe(self._interrupt)
            case Stop():
                self._loop.call_soon_threadsafe(self._jobs.put_nowait, None)

    def _interrupt(self) -> None:
        if self._unwanted == self._claim and self._running is not None:
            self._running.cancel()
