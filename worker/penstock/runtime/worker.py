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
from .middleware.chain import around
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
        on_exit: called with the exit code once nothing is held and the worker has deregistered; what follows is the
            application's.
    """

    def __init__(self, parts: WorkerParts, *, on_exit: Callable[[int], None] = lambda _: None) -> None:
        self.parts = parts
        self._on_exit = on_exit
        self._fatal_error: str | None = None

    async def run(self) -> int:
        """Work until SIGTERM or SIGINT, or until a stage fails; returns the exit code."""
        here.note()
        self.parts.signals.listen()
        async with contextlib.AsyncExitStack() as stack:
            async with self.parts.signals.starting():
                await self._start(stack)
            stack.callback(self.parts.exclusive.close)
            empty = False
            try:
                self.parts.health.start()
                if not await registered(self.parts.lease, self.parts.drain_requested, rng=self.parts.rng):
                    return 0  # told to leave: nothing was claimed
                self.parts.state.lease_changed(self.parts.lease.state)
                self.parts.exclusive.watch()
                await start_stages(self.parts.claimer, self.parts.consumers, self.parts.acknowledgers, self._ended)
                logger.info("worker %d serves queue %s", self.parts.lease.worker, self.parts.settings.queue)
                async with run_in_background(
                    self._broke,
                    ticker=self.parts.ticker.run(),
                    listener=self._listen(),
                    upkeep=self.parts.maintenance.run(),
                    depths=self.parts.forensics.tell_depth(),
                    login=login_refused(self.parts.lease),
                ):
                    await self._until_draining()
                    self.parts.lease.begin_drain(self.parts.drain.shorten)
                    empty = await self.parts.drain.run()
                for stage in (self.parts.claimer, self.parts.consumers, *self.parts.acknowledgers):
                    await stage.stop(timeout=1.0)
            except BaseException as error:
                self._fatal_error = self._fatal_error or repr(error)
                raise
            finally:
                await in_own_thread(functools.partial(self.parts.lease.close, empty=empty), name="penstock-leave")
                self.parts.health.close()
                self._on_exit(self.exit_code)
        return self.exit_code

    @property
    def exit_code(self) -> int:
        """The exit code, once the drain has begun."""
        return 0 if self._fatal_error is None else 1

    async def _until_draining(self) -> None:
        try:
            await self.parts.drain_requested.wait()
        except asyncio.CancelledError:  # nobody of ours does that
            self._broke("code of the application cancelled all tasks of the event loop, the worker's own included")
            if (current := asyncio.current_task()) is not None:
                current.uncancel()

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        """The database, the application's lifespans and the first child; `stack` ends them."""
        await stack.enter_async_context(self.parts.store)
        for lifespan in self.parts.app.lifespans:
            await stack.enter_async_context(lifespan())
        stack.push_async_callback(self.parts.app.close_async)
        stack.push_async_callback(self.parts.hooks.close, HOOKS_SECONDS)
        self.parts.run_attempt = around(  # behind the lifespans: they may be what turns tracing on
            self.parts.exclusive.guarding(self.parts.attempts.run),
            tasks=self.parts.app.tasks,
            settings=self.parts.settings,
            outcomes=self.parts.outcomes,
            metrics=self.parts.metrics,
            hooks=self.parts.hooks,
            tracing=trace.opentelemetry(),
        )
        stack.push_async_callback(self.parts.children.close, CHILDREN_LEAVE_SECONDS)
        if self.parts.in_children:
            await self.parts.children.open()

    def _ended(self, stage: Stage, reason: object) -> None:
        self._broke(f"{stage.name} ended: {reason!r}")

    def _broke(self, what: str) -> None:
        if not self.parts.state.draining:
            self._fatal_error = what
            logger.error("%s", self._fatal_error)
            self.parts.state.drain()

    async def _listen(self) -> None:
        try:
            if self.parts.settings.listen:
                await self.parts.listener.run()
        except Exception:
            self.parts.listener.listening = False  # wake-ups are hints: the poll is the truth
            logger.exception("no more wake-ups: the listener ended")
        await self.parts.drain_requested.wait()
