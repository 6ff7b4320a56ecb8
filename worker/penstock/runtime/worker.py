"""One worker process, from its start to its exit: starts the parts, waits for a drain, drains, stops.

A stage or a background task that stops by itself is an error of this program, not a state: the worker drains and exits
with 1, and its successor starts clean.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable

from penstock import trace
from penstock.stages import Stage

from .background import run_in_background
from .event_loop import in_own_thread
from .login_refused import login_refused
from .middleware.chain import apply_middleware
from .parts import WorkerParts
from .process_state import here
from .registration_retry import registered
from .wiring import start_stages

logger = logging.getLogger("penstock.worker")

HOOKS_SECONDS = 2.0
"""At the exit, how long calls of hooks may go on."""
CHILDREN_LEAVE_SECONDS = 1.0
"""At the exit, how long idle child processes may take to leave."""


class Worker:
    """Runs one queue's jobs in this process.

    Args:
        parts: of this worker.
        on_exit: called with the exit code once no claim is left and the worker has deregistered; what follows is the
            application's.
    """

    def __init__(self, parts: WorkerParts, *, on_exit: Callable[[int], None] = lambda _: None) -> None:
        self.parts = parts
        self._on_exit = on_exit
        self._fatal_error: str | None = None

    async def run(self) -> int:
        """Work until SIGTERM or SIGINT, or until a stage fails; returns the exit code."""
        parts = self.parts
        here.note()
        parts.signals.listen()
        async with contextlib.AsyncExitStack() as stack:
            async with parts.signals.starting():
                await self._start(stack)
            stack.callback(parts.exclusive.close)
            empty = False
            try:
                parts.health.start()
                if not await registered(parts.lease, parts.drain_requested, rng=parts.rng):
                    return 0  # a drain was requested; nothing was claimed
                parts.state.lease_changed(parts.lease.state)
                parts.exclusive.watch()
                await start_stages(parts.claimer, parts.consumers, parts.acknowledgers, self._stage_stopped)
                extra = {"worker": parts.lease.worker, "queue": parts.settings.queue}
                logger.info("worker started", extra=extra)
                async with run_in_background(
                    self._fail,
                    ticker=parts.ticker.run(),
                    listener=self._listen(),
                    maintenance=parts.maintenance.run(),
                    queue_depth=parts.forensics.report_depth(),
                    login_watch=login_refused(parts.lease),
                ):
                    await self._until_draining()
                    parts.lease.start_drain(parts.drain.shorten)
                    empty = await parts.drain.run()
                for stage in (parts.claimer, parts.consumers, *parts.acknowledgers):
                    await stage.stop(timeout=1.0)
            except BaseException as error:
                self._fatal_error = self._fatal_error or repr(error)
                raise
            finally:
                await in_own_thread(functools.partial(parts.lease.close, empty=empty), name="penstock-leave")
                parts.health.close()
                self._on_exit(self.exit_code)
        return self.exit_code

    @property
    def exit_code(self) -> int:
        """The exit code; valid once a drain was requested."""
        return 0 if self._fatal_error is None else 1

    async def _until_draining(self) -> None:
        try:
            await self.parts.drain_requested.wait()
        except asyncio.CancelledError:  # no code of the worker does that
            self._fail("the application cancelled all tasks of the event loop, the worker's included")
            if (current := asyncio.current_task()) is not None:
                current.uncancel()

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        """Open the database, the application's lifespans and the first child process; `stack` closes them."""
        parts = self.parts
        await stack.enter_async_context(parts.store)
        for lifespan in parts.app.lifespans:
            await stack.enter_async_context(lifespan())
        stack.push_async_callback(parts.app.close_async)
        stack.push_async_callback(parts.hooks.close, HOOKS_SECONDS)
        parts.run_attempt = apply_middleware(  # after the lifespans: one of them may turn tracing on
            parts.exclusive.guarding(parts.attempts.run),
            tasks=parts.app.tasks,
            settings=parts.settings,
            outcomes=parts.outcomes,
            metrics=parts.metrics,
            hooks=parts.hooks,
            tracing=trace.opentelemetry(),
        )
        stack.push_async_callback(parts.children.close, CHILDREN_LEAVE_SECONDS)
        if parts.in_children:
            await parts.children.open()

    def _stage_stopped(self, stage: Stage, reason: object) -> None:
        self._fail(f"stage {stage.name} stopped: {reason!r}")

    def _fail(self, error: str) -> None:
        if not self.parts.state.draining:
            self._fatal_error = error
            logger.error("worker failed, draining", extra={"error": error})
            self.parts.state.drain()

    async def _listen(self) -> None:
        try:
            if self.parts.settings.listen:
                await self.parts.listener.run()
        except Exception:
            self.parts.listener.listening = False  # wake-ups are hints, polling finds every job
            logger.exception("listener failed, falling back to polling")
        await self.parts.drain_requested.wait()
