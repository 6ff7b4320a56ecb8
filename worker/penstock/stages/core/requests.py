"""Requests to a stage: calls, casts and infos, each served between two callbacks.

It owns how a request reaches the stage's own turn and how a reply comes back. It must not run anything in the caller's
turn, except a call of a stage to itself. Calls and casts do not wait for queued events; infos do.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, cast

from ..errors import StageEnded
from ..status import State
from ..timeouts import CALL_SECONDS, Answering, answer_within
from .callbacks import Callbacks


class Requests(Callbacks):
    """Calls, casts and infos of a stage."""

    _stage_replies: set[asyncio.Future[Any]]

    @property
    @abstractmethod
    def state(self) -> State:
        """Where it is in its life."""

    @property
    @abstractmethod
    def reason(self) -> object:
        """Why it ended; None while it lives."""

    async def call(self, request: Any, *, timeout: float | None = CALL_SECONDS) -> Any:
        """Run `on_call(request)` between two callbacks and return its reply.

        Args:
            request: anything.
            timeout: seconds until the reply, default 30; None: as long as it takes.

        Raises:
            StageEnded: the stage has ended, or ends before it replies.
            TimeoutError: there was no reply in time; the stage may still run the request.
            CallCycle: it is called from a stage for which this one waits, by calls of its own.
        """
        if self._stage_inside():
            return await self.on_call(request)
        return await self._stage_request(self._stage_answer, request, timeout=timeout)

    def cast(self, request: Any) -> None:
        """Run `on_cast(request)` between two callbacks; does not wait. An ended stage ignores it."""
        self._stage_post(self._stage_cast, request, None)

    def post_info(self, info: Any) -> None:
        """Run `on_info(info)` after the events that are buffered now; does not wait. An ended stage ignores it."""
        self._stage_post(self._stage_info, info, None)

    async def _stage_request(
        self,
        function: Callable[[Any, Any], Awaitable[None] | None],
        request: Any,
        *,
        timeout: float | None = CALL_SECONDS,
    ) -> Any:
        """Post `function(request, reply)` and wait for the reply."""
        if self.state is State.ENDED:
            raise StageEnded(f"{self!r} has ended: {self.reason!r}")
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._stage_replies.add(reply)
        reply.add_done_callback(self._stage_replies.discard)
        self._stage_post(function, request, reply)
        return await answer_within(timeout, reply, cast("Answering", self))

    def _stage_cast(self, request: Any, _: Any) -> Awaitable[None]:
        return self.on_cast(request)

    def _stage_info(self, info: Any, _: Any) -> Awaitable[None] | None:
        return self.on_info(info)

    async def _stage_answer(self, request: Any, reply: Any) -> None:
        set_result(reply, await self.on_call(request))

    @abstractmethod
    def _stage_post(self, function: Callable[[Any, Any], Awaitable[None] | None], a: Any, b: Any) -> None: ...

    @abstractmethod
    def _stage_inside(self) -> bool: ...


def set_result(future: asyncio.Future[Any], result: Any) -> None:
    """Set a result, unless the waiter has gone."""
    if not future.done():
        future.set_result(result)
