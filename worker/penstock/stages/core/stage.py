"""The runner: one stage is one task with a mailbox, and its callbacks never overlap.

It owns the life of a stage: start, mailbox, call, cast, stop, kill, end. It must not know demand or dispatchers;
those are `outlet` (the producing side) and `inlet` (the consuming side). A mailbox entry is (function, a, b); the
function runs at once and returns an awaitable only when a callback of the user has to run. Sends are synchronous and
never block: demand bounds the mailbox. A killed stage gets no `on_stop`, and its neighbours are still notified.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, ClassVar, Self

from ..errors import AlreadyStarted, StageEnded
from ..names import Names
from ..reasons import KILLED, NORMAL, is_quiet
from ..status import StageStatus, State
from ..timeouts import KILL_SECONDS, START_SECONDS, STOP_SECONDS, Answering, turn
from ._wrong_role import WrongRolePorts
from .requests import Requests, set_result

logger = logging.getLogger("penstock.stages")

_BURST = 64  # mailbox entries between two turns of the loop: a full mailbox starves nobody
_UNSET: Any = object()

Entry = tuple[Callable[[Any, Any], "Awaitable[None] | None"], Any, Any]


class Stage(Requests, WrongRolePorts):
    """Base of Producer, ProducerConsumer and Consumer.

    Args:
        name: for logs and status, and the name in `names`; default: the class and a number.
        names: a registry to enter at start; subscriptions to names are looked up in it.
    """

    kind: ClassVar[str] = "stage"

    def __init__(self, *, name: Hashable | None = None, names: Names | None = None) -> None:
        self.name: Hashable = f"{type(self).__name__}-{id(self):x}" if name is None else name
        self.names = names
        self._stage_state = State.NEW
        self._stage_reason: object = None
        self.last_error: BaseException | None = None
        self.ended_by: object = None
        """The producer whose end ended this stage, where that was so."""
        self._stage_mailbox: deque[Entry] = deque()
        self._stage_waiter: asyncio.Future[None] | None = None
        self._stage_task: asyncio.Task[None] | None = None
        self._stage_exit: object = _UNSET
        self._stage_killed = False
        self.waits_for: Answering | None = None
        """The stage whose reply a callback of this one waits for; for finding circles."""
        self._stage_replies: set[asyncio.Future[Any]] = set()
        self._stage_watchers: list[Callable[[Stage, object], object]] = []

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"

    @property
    def state(self) -> State:
        """Where it is in its life."""
        return self._stage_state

    @property
    def reason(self) -> object:
        """Why it ended; None while it lives."""
        return self._stage_reason

    async def start(self, *, timeout: float | None = START_SECONDS) -> None:
        """Start the task and wait for `on_start`, default at most 60 s; None: as long as it takes.

        Raises what `on_start` raised, AlreadyStarted, or TimeoutError, which has killed the stage.
        """
        if self.state is not State.NEW:
            raise AlreadyStarted(f"{self!r} cannot start again (it is {self.state.value}); create a new stage")
        if self.names is not None:
            self.names.register(self.name, self)
        self._stage_state = State.STARTING
        loop = asyncio.get_running_loop()
        started: asyncio.Future[None] = loop.create_future()
        self._stage_replies.add(started)
        self._stage_task = loop.create_task(self._stage_run(started), name=f"stage {self.name}")
        self._stage_task.add_done_callback(self._stage_task_done)
        try:
            async with asyncio.timeout(timeout):
                await started
        except TimeoutError:
            await self._stage_end_by_force()
            raise TimeoutError(f"{self!r} did not start within {timeout} s") from None
        except asyncio.CancelledError:
            self.kill()
            raise
        except StageEnded:
            if isinstance(self.reason, Exception):
                raise self.reason from None
            raise

    async def stop(self, reason: object = NORMAL, *, timeout: float | None = STOP_SECONDS) -> None:
        """End the stage with `reason`, after what is in its mailbox, and wait until it has ended.

        From within one of its own callbacks: end right after this callback, without waiting. After `timeout` seconds,
        default 30, the stage is killed, and has ended a second later even if a callback ignores that; with None it has
        as long as it takes. Stopping an ended stage does nothing.
        """
        if self.state is State.NEW:
            self._stage_finalize(reason)
            return
        if self._stage_inside():
            self.leave(reason)
            return
        self._stage_post(self._stage_stop_now, reason, None)
        try:
            async with asyncio.timeout(timeout):
                await self.wait()
        except TimeoutError:
            await self._stage_end_by_force()

    def kill(self) -> None:
        """End the stage at once by cancelling its task; its reason is KILLED. Does not wait.

        A callback that ignores its cancellation is the last one.
        """
        if self._stage_task is not None:
            self._stage_killed, self._stage_exit = True, KILLED
            self._stage_task.cancel()

    async def _stage_end_by_force(self) -> None:
        """Kill it; a callback that ignores two cancellations is abandoned, and the stage ends without it."""
        for _ in range(2):
            self.kill()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(KILL_SECONDS):
                    await self.wait()
                    return
        logger.error("%r stops although one of its callbacks ignores cancellation and keeps running", self)
        self._stage_finalize(KILLED)

    async def wait(self) -> object:
        """Wait until the stage has ended; returns the reason."""
        if self.state is not State.ENDED:
            ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.watch(lambda *_: None if ended.done() else ended.set_result(None))
            await ended
        return self.reason

    def watch(self, callback: Callable[[Stage, object], object]) -> None:
        """Call `callback(stage, reason)` when the stage ends; at once if it has. Must not block."""
        if self.state is State.ENDED:
            callback(self, self.reason)
        else:
            self._stage_watchers.append(callback)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def status(self) -> StageStatus:
        """A snapshot."""
        return StageStatus(
            name=str(self.name),
            kind=self.kind,
            state=self.state,
            busy=self._stage_task is not None and self._stage_waiter is None and self.state is not State.ENDED,
            mailbox=len(self._stage_mailbox),
            reason=self.reason,
            last_error=self.last_error,
        )

    # -- the runner --------------------------------------------------------------------------------------------------

    def _stage_post(self, function: Callable[[Any, Any], Awaitable[None] | None], a: Any, b: Any) -> None:
        if self._stage_state is State.ENDED:
            return
        self._stage_mailbox.append((function, a, b))
        waiter = self._stage_waiter
        if waiter is not None:
            self._stage_waiter = None
            if not waiter.done():
                waiter.set_result(None)

    @property
    def leaving(self) -> bool:
        """The stage ends after the callback that runs now."""
        return self._stage_exit is not _UNSET

    def leave(self, reason: object) -> None:
        """End with `reason` after the callback that runs now; for use inside the stage. The first reason stays."""
        if self._stage_exit is _UNSET:
            self._stage_exit = reason

    @property
    def inside(self) -> bool:
        """True if this is one of its own callbacks."""
        return self._stage_task is not None and asyncio.current_task() is self._stage_task

    def _stage_inside(self) -> bool:
        return self.inside

    async def _stage_run(self, started: asyncio.Future[None]) -> None:
        reason: object = KILLED
        self._stage_task = asyncio.current_task()  # known from the first step on, also where tasks start eagerly
        turn.set(self)
        try:
            try:
                await self.on_start()
                if not self._stage_killed:
                    self._stage_state = State.RUNNING
                    set_result(started, None)
                    await self._stage_serve()
                reason = self._stage_exit
            except Exception as error:
                reason = self.last_error = error
                if not is_quiet(reason):
                    logger.exception("%r stops: callback raised %s", self, type(error).__name__)
            if self._stage_killed:  # and a callback ignored it
                reason = KILLED
            else:
                self._stage_state = State.STOPPING
                await self._stage_run_on_stop(reason)
        except BaseException:
            reason = KILLED
            raise
        finally:
            self._stage_finalize(reason)

    async def _stage_serve(self) -> None:
        mailbox = self._stage_mailbox
        loop = asyncio.get_running_loop()
        burst = _BURST
        while self._stage_exit is _UNSET:
            if not mailbox:
                burst = _BURST
                self._stage_waiter = waiter = loop.create_future()
                try:
                    await waiter
                finally:
                    self._stage_waiter = None
                continue
            burst -= 1
            if not burst:
                burst = _BURST
                await asyncio.sleep(0)
            function, a, b = mailbox.popleft()
            work = function(a, b)
            if work is not None:
                await work

    async def _stage_run_on_stop(self, reason: object) -> None:
        try:
            await self.on_stop(reason)
        except Exception as error:
            self.last_error = error
            logger.exception("on_stop of %r failed", self)

    def _stage_task_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()
        self._stage_finalize(KILLED)

    def _stage_finalize(self, reason: object) -> None:
        """Finish, synchronously: release unsent events, notify neighbours and waiters. Idempotent."""
        if self.state is State.ENDED:
            return
        self._stage_state = State.ENDED
        self._stage_reason = reason
        if self.names is not None:
            self.names.unregister(self.name, self)
        entries = list(self._stage_mailbox)
        self._stage_mailbox.clear()
        try:
            self.on_end(reason)
        except Exception:
            logger.exception("on_end of %r failed", self)
        self._stage_close(reason, entries)
        for reply in list(self._stage_replies):
            if not reply.done():
                reply.set_exception(StageEnded(f"{self!r} has ended: {reason!r}"))
        self._stage_replies.clear()
        watchers, self._stage_watchers = self._stage_watchers, []
        for watcher in watchers:
            try:
                watcher(self, reason)
            except Exception:
                logger.exception("watcher of %r failed", self)

    def _stage_close(self, reason: object, entries: list[Entry]) -> None:
        """The stage ends: a place for what a kind of stage does then. Must not raise."""

    def _stage_stop_now(self, reason: Any, _: Any) -> None:
        self.leave(reason)
