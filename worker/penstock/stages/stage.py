"""The runner: one stage is one task with a mailbox, and its callbacks never overlap.

It owns the life of a stage: start, mailbox, call, cast, stop, kill, end. It must not know demand or dispatchers;
those are `outlet` (the producing side) and `inlet` (the consuming side). A mailbox entry is (function, a, b); the
function runs at once and returns an awaitable only when a callback of the user has to run. Sends are synchronous and
never block: what bounds a mailbox is demand. Surprising: a killed stage gets no `on_stop`, and its neighbours still
hear of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, ClassVar, Self

from .callbacks import Callbacks
from .errors import AlreadyStarted, StageEnded
from .names import Names
from .ports import DeafPorts
from .reasons import KILLED, NORMAL, is_quiet
from .status import StageStatus, State

logger = logging.getLogger("penstock.stages")

_BURST = 64  # mailbox entries between two turns of the loop, so that a full mailbox starves nobody
_UNSET: Any = object()

Entry = tuple[Callable[[Any, Any], "Awaitable[None] | None"], Any, Any]


class Stage(Callbacks, DeafPorts):
    """Base of Producer, ProducerConsumer and Consumer.

    Args:
        name: for logs and status, and the name in `names`; default: the class and a number.
        names: a register to enter at start; subscriptions to names are looked up in it.
    """

    kind: ClassVar[str] = "stage"

    def __init__(self, *, name: Hashable | None = None, names: Names | None = None) -> None:
        self.name: Hashable = f"{type(self).__name__}-{id(self):x}" if name is None else name
        self.names = names
        self.state = State.NEW
        self.reason: object = None
        self.last_error: BaseException | None = None
        self.ended_by: object = None
        """The producer whose end ended this stage, where that was so."""
        self._mailbox: deque[Entry] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._exit: object = _UNSET
        self._replies: set[asyncio.Future[Any]] = set()
        self._watchers: list[Callable[[Stage, object], None]] = []

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the task and wait for `on_start`. Raises what `on_start` raised, or AlreadyStarted."""
        if self.state is not State.NEW:
            raise AlreadyStarted(f"{self!r} was started before (it is {self.state.value}): make a new one")
        if self.names is not None:
            self.names.register(self.name, self)
        self.state = State.STARTING
        loop = asyncio.get_running_loop()
        started: asyncio.Future[None] = loop.create_future()
        self._replies.add(started)
        self._task = loop.create_task(self._run(started), name=f"stage {self.name}")
        self._task.add_done_callback(self._task_done)
        try:
            await started
        except asyncio.CancelledError:
            self.kill()
            raise
        except StageEnded:
            if isinstance(self.reason, Exception):
                raise self.reason from None
            raise

    async def stop(self, reason: object = NORMAL, *, timeout: float | None = None) -> None:
        """End the stage with `reason`, behind what is in its mailbox, and wait until it has ended.

        From within one of its own callbacks: end right after this callback, without waiting. After `timeout` seconds
        the stage is killed. Stopping an ended stage does nothing.
        """
        if self.state is State.NEW:
            self._finalize(reason)
            return
        if self._inside():
            self.leave(reason)
            return
        self._post(self._stop_now, reason, None)
        try:
            await asyncio.wait_for(self.wait(), timeout)
        except TimeoutError:
            self.kill()
            await self.wait()

    def kill(self) -> None:
        """End the stage at once by cancelling its task; its reason is KILLED. Does not wait."""
        if self._task is not None:
            self._task.cancel()

    async def wait(self) -> object:
        """Wait for the end; returns the reason."""
        if self.state is not State.ENDED:
            ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.watch(lambda *_: None if ended.done() else ended.set_result(None))
            await ended
        return self.reason

    def watch(self, callback: Callable[[Stage, object], None]) -> None:
        """Call `callback(stage, reason)` when the stage ends; at once if it has. Must not raise or block."""
        if self.state is State.ENDED:
            callback(self, self.reason)
        else:
            self._watchers.append(callback)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # -- requests ----------------------------------------------------------------------------------------------------

    async def call(self, request: Any) -> Any:
        """Run `on_call(request)` between two callbacks and return its reply. Raises StageEnded."""
        if self._inside():
            return await self.on_call(request)
        return await self._request(self._answer, request)

    def cast(self, request: Any) -> None:
        """Run `on_cast(request)` between two callbacks; does not wait. An ended stage ignores it."""
        self._post(self._cast, request, None)

    def post_info(self, info: Any) -> None:
        """Run `on_info(info)` behind the events that are buffered now; does not wait. An ended stage ignores it."""
        self._post(self._info, info, None)

    def status(self) -> StageStatus:
        """A snapshot."""
        return StageStatus(
            name=str(self.name),
            kind=self.kind,
            state=self.state,
            busy=self._task is not None and self._waiter is None and self.state is not State.ENDED,
            mailbox=len(self._mailbox),
            reason=self.reason,
            last_error=self.last_error,
        )

    # -- the runner --------------------------------------------------------------------------------------------------

    def _post(self, function: Callable[[Any, Any], Awaitable[None] | None], a: Any, b: Any) -> None:
        self._mailbox.append((function, a, b))
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    async def _request(self, function: Callable[[Any, Any], Awaitable[None] | None], request: Any) -> Any:
        """Post `function(request, reply)` and wait for the reply."""
        if self.state is State.ENDED:
            raise StageEnded(f"{self!r} has ended: {self.reason!r}")
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._replies.add(reply)
        reply.add_done_callback(self._replies.discard)
        self._post(function, request, reply)
        return await reply

    @property
    def leaving(self) -> bool:
        """The stage ends after the callback that runs now."""
        return self._exit is not _UNSET

    def leave(self, reason: object) -> None:
        """End with `reason` after the callback that runs now; for use inside the stage. The first reason stays."""
        if self._exit is _UNSET:
            self._exit = reason

    def _inside(self) -> bool:
        return self._task is not None and asyncio.current_task() is self._task

    async def _run(self, started: asyncio.Future[None]) -> None:
        reason: object = KILLED
        try:
            try:
                await self.on_start()
                self.state = State.RUNNING
                self._begin()
                _resolve(started, None)
                await self._serve()
                reason = self._exit
            except Exception as error:
                reason = self.last_error = error
                if not is_quiet(reason):
                    logger.exception("%r ends: %s", self, type(error).__name__)
            self.state = State.STOPPING
            await self._farewell(reason)
        except BaseException:
            reason = KILLED
            raise
        finally:
            self._finalize(reason)

    async def _serve(self) -> None:
        mailbox = self._mailbox
        loop = asyncio.get_running_loop()
        burst = _BURST
        while self._exit is _UNSET:
            if not mailbox:
                burst = _BURST
                self._waiter = waiter = loop.create_future()
                try:
                    await waiter
                finally:
                    self._waiter = None
                continue
            burst -= 1
            if not burst:
                burst = _BURST
                await asyncio.sleep(0)
            function, a, b = mailbox.popleft()
            work = function(a, b)
            if work is not None:
                await work

    async def _farewell(self, reason: object) -> None:
        try:
            await self.on_stop(reason)
        except Exception as error:
            self.last_error = error
            logger.exception("on_stop of %r failed", self)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()
        self._finalize(KILLED)

    def _finalize(self, reason: object) -> None:
        """The end, synchronous: give back what is held, tell neighbours and waiters. Again: nothing."""
        if self.state is State.ENDED:
            return
        self.state = State.ENDED
        self.reason = reason
        if self.names is not None:
            self.names.unregister(self.name, self)
        entries = list(self._mailbox)
        self._mailbox.clear()
        try:
            self.on_end(reason)
        except Exception:
            logger.exception("on_end of %r failed", self)
        self._close(reason, entries)
        for reply in list(self._replies):
            if not reply.done():
                reply.set_exception(StageEnded(f"{self!r} has ended: {reason!r}"))
        self._replies.clear()
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher(self, reason)

    def _begin(self) -> None:
        """The stage runs: a place for what a kind of stage does then."""

    def _close(self, reason: object, entries: list[Entry]) -> None:
        """The stage ends: a place for what a kind of stage does then. Must not raise."""

    # -- mailbox functions -------------------------------------------------------------------------------------------

    def _stop_now(self, reason: Any, _: Any) -> None:
        self.leave(reason)

    def _cast(self, request: Any, _: Any) -> Awaitable[None]:
        return self.on_cast(request)

    def _info(self, info: Any, _: Any) -> Awaitable[None] | None:
        return self.on_info(info)

    async def _answer(self, request: Any, reply: Any) -> None:
        _resolve(reply, await self.on_call(request))


def _resolve(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)
