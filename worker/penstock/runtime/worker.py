"""One worker process, from its start to its exit: starts the components, waits for a drain, drains, stops.

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
from .composition import WorkerComponents
from .event_loop import in_own_thread
from .login_refused import login_refused
from .middleware.chain import apply_middleware
from .process_state import here
from .registration_retry import registered
from .schedule_declaration import declare_schedules
from .wiring import start_stages

logger = logging.getLogger("penstock.worker")

HOOKS_SECONDS = 2.0
"""At the exit, how long calls of hooks may go on."""
CHILDREN_LEAVE_SECONDS = 1.0
"""At the exit, how long idle child processes may take to leave."""


class Worker:
    """Runs one queue's jobs in this process.

    Args:
        components: of this worker.
        on_exit: called with the exit code once no claim is left and the worker has deregistered; what follows is the
            application's.
    """

    def __init__(self, components: WorkerComponents, *, on_exit: Callable[[int], None] = lambda _: None) -> None:
        self.components = components
        self._on_exit = on_exit
        self._fatal_error: str | None = None

    async def run(self) -> int:
        """Work until SIGTERM or SIGINT, or until a stage fails; returns the exit code."""
        components = self.components
        here.note()
        components.signals.listen()
        async with contextlib.AsyncExitStack() as stack:
            async with components.signals.starting():
                await self._start(stack)
            stack.callback(components.exclusive.close)
            empty = False
            try:
                components.health.start()
                if not await registered(components.lease, components.drain_requested, rng=components.rng):
                    return 0  # a drain was requested; nothing was claimed
                await self._start_stages()
                async with run_in_background(
                    self._fail,
                    ticker=components.ticker.run(),
                    listener=self._listen(),
                    maintenance=components.maintenance.run(),
                    schedules=self._declare_schedules(),
                    queue_depth=components.forensics.report_depth(),
                    login_watch=login_refused(components.lease),
                ):
                    await self._until_draining()
                    components.lease.start_drain(components.drain.shorten)
                    empty = await components.drain.run()
                for stage in (components.claimer, components.consumers, *components.acknowledgers):
                    await stage.stop(timeout=1.0)
            except BaseException as error:
                self._fatal_error = self._fatal_error or repr(error)
                raise
            finally:
                await in_own_thread(functools.partial(components.lease.close, empty=empty), name="penstock-leave")
                components.health.close()
                self._on_exit(self.exit_code)
        return self.exit_code

    @property
    def exit_code(self) -> int:
        """The exit code; valid once a drain was requested."""
        return 0 if self._fatal_error is None else 1

    async def _until_draining(self) -> None:
        try:
            await self.components.drain_requested.wait()
        except asyncio.CancelledError:  # no code of the worker does that
            self._fail("the application cancelled all tasks of the event loop, the worker's included")
            if (current := asyncio.current_task()) is not None:
                current.uncancel()

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        """Open the database, the application's lifespans and the first child process; `stack` closes them."""
        components = self.components
        await stack.enter_async_context(components.store)
        for lifespan in components.app.lifespans:
            await stack.enter_async_context(lifespan())
        stack.push_async_callback(components.app.close_async)
        stack.push_async_callback(components.hooks.close, HOOKS_SECONDS)
        components.run_attempt = apply_middleware(  # after the lifespans: one of them may turn tracing on
            components.exclusive.guarding(components.attempts.run),
            tasks=components.app.tasks,
            settings=components.settings,
            outcomes=components.outcomes,
            metrics=components.metrics,
            hooks=components.hooks,
            tracing=trace.opentelemetry(),
        )
        stack.push_async_callback(components.children.close, CHILDREN_LEAVE_SECONDS)
        if components.in_children:
            await components.children.open()

    async def _start_stages(self) -> None:
        components = self.components
        components.state.lease_changed(components.lease.state)
        components.exclusive.watch()
        await start_stages(components.claimer, components.consumers, components.acknowledgers, self._stage_stopped)
        extra = {"worker": components.lease.worker, "queue": components.settings.queue}
        logger.info("worker started", extra=extra)

    def _stage_stopped(self, stage: Stage, reason: object) -> None:
        self._fail(f"stage {stage.name} stopped: {reason!r}")

    def _fail(self, error: str) -> None:
        if not self.components.state.draining:
            self._fatal_error = error
            logger.error("worker failed, draining", extra={"error": error})
            self.components.state.drain()

    async def _declare_schedules(self) -> None:
        components = self.components
        queue, schedules = components.settings.queue, components.app.schedules
        await declare_schedules(components.store, queue, schedules, rng=components.rng)
        await components.drain_requested.wait()

    async def _listen(self) -> None:
        try:
            if self.components.settings.listen:
                await self.components.listener.run()
        except Exception:
            self.components.listener.listening = False  # wake-ups are hints, polling finds every job
            logger.exception("listener failed, falling back to polling")
        await self.components.drain_requested.wait()
