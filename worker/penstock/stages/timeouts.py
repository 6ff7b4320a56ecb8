"""Timeouts for code that stages do not own: no wait is unbounded unless its caller asks for that.

It owns the default timeouts and detects cycles of calls. It must not know what is waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextvars import ContextVar
from typing import Final, Protocol, TypeVar

from .errors import CallCycle
from .status import State

T = TypeVar("T")


class Answering(Protocol):
    """The part of a stage that answers calls."""

    name: object
    waits_for: Answering | None

    @property
    def inside(self) -> bool:
        """True if the code that runs now is the stage's own."""

    @property
    def state(self) -> State:
        """Where it is in its life."""


START_SECONDS: Final = 60.0
"""For `on_start`."""
STOP_SECONDS: Final = 30.0
"""For a stage to finish what it runs, or a fetch in flight; then it is killed."""
CALL_SECONDS: Final = 30.0
"""For the reply to a call."""
KILL_SECONDS: Final = 0.5
"""For a cancelled callback to end; then it is cancelled once more, and then abandoned."""

turn: ContextVar[Answering | None] = ContextVar("penstock_stage_turn", default=None)
"""The stage whose task runs this code, or started the task that does."""


async def answer_within(seconds: float | None, reply: Awaitable[T], stage: Answering) -> T:
    """Wait for a stage's reply.

    Raises:
        TimeoutError: there was none in time; the stage may still run the request.
        CallCycle: the stage waits, by its own calls, for the stage that asks here.
    """
    asking = turn.get()
    if asking is None or not asking.inside:
        return await _within(seconds, reply, stage)
    names, other = [str(asking.name)], stage
    while True:
        names.append(str(other.name))
        if other is asking:
            raise CallCycle(f"calls form a cycle and none can be answered: {' -> '.join(names)}")
        if other.waits_for is None:
            break
        other = other.waits_for
    asking.waits_for = stage
    try:
        return await _within(seconds, reply, stage)
    finally:
        asking.waits_for = None


async def _within(seconds: float | None, reply: Awaitable[T], stage: Answering) -> T:
    try:
        async with asyncio.timeout(seconds) as scope:
            return await reply
    except TimeoutError as error:
        if scope.expired():
            raise TimeoutError(f"{stage!r} did not answer within {seconds:g} s (it is {stage.state.value})") from error
        raise
