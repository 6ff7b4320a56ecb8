"""The public methods of stages that emit: Producer and ProducerConsumer share them.

It owns the port that consumers speak to and the ways to emit. It must not decide where events go; the outlet does.
`push` does not await, and `emit` does not wait for consumers: events without demand are buffered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from ..dispatchers.base import Dispatcher
from ..errors import AlreadyStarted, BadOption, NoProducer
from ..reasons import NORMAL, Cancellation
from ..status import State
from ._common import ConnectableStage
from .emission import DemandMode, EmissionGate
from .outlet import Outlet
from .stage import Entry
from .subscription import Subscription

Out = TypeVar("Out")


class _CancelConsumers:
    """The info after which all subscriptions are cancelled."""

    __slots__ = ("reason",)

    def __init__(self, reason: object) -> None:
        self.reason = reason


class Producing(ConnectableStage, Generic[Out]):
    """A stage with an outlet."""

    _stage_outlet: Outlet

    # -- callbacks ---------------------------------------------------------------------------------------------------

    def on_discarded(self, count: int) -> bool:
        """`count` events were dropped because the buffer is full; True (default): also log a warning.

        Synchronous, and may come while another callback awaits.
        """
        del count
        return True

    # -- emitting ----------------------------------------------------------------------------------------------------

    def push(self, events: Sequence[Out]) -> None:
        """Emit without awaiting, from a callback or from outside, in the thread of the loop.

        Events go to consumers as far as they have asked; the rest is buffered. Raises StageEnded, BadReturn.
        """
        self._stage_outlet.emit(events)

    async def emit(self, events: Sequence[Out]) -> None:
        """`push`, then give other tasks a turn when called from outside the stage's own callbacks."""
        self._stage_outlet.emit(events)
        if not self._stage_inside():
            await asyncio.sleep(0)

    def use(self, *, dispatcher: Dispatcher | None = None, gate: EmissionGate | None = None) -> None:
        """Give a stage that has not started another dispatcher, or a gate. Raises AlreadyStarted."""
        if self.state is not State.NEW:
            raise AlreadyStarted(f"{self!r} has started: its dispatcher and gate stay as they are")
        if dispatcher is not None:
            self._stage_outlet.take_dispatcher(dispatcher)
        self._stage_outlet.gate = gate or self._stage_outlet.gate

    def gate_opened(self) -> None:
        """The gate may have opened: what it held back goes on in the stage's next turn."""
        self._stage_post(self._stage_outlet.replay, None, None)

    def push_past_gate(self, events: Sequence[Out]) -> None:
        """`push` that neither waits for the gate nor counts."""
        self._stage_outlet.place(events)

    def set_demand(self, mode: DemandMode) -> None:
        """Switch to "accumulate" (hold demand and emissions back) or "forward" (release them). Raises BadOption."""
        if mode not in ("forward", "accumulate"):
            raise BadOption.of(self, "demand", "'forward' or 'accumulate'", mode)
        self._stage_post(self._stage_outlet.set_demand, mode, None)

    @property
    def demand_mode(self) -> DemandMode:
        """The demand mode that holds now."""
        return self._stage_outlet.demand_mode

    def estimate_buffered(self) -> int:
        """Events in the buffer."""
        return len(self._stage_outlet.buffer)

    def open_demand(self) -> int:
        """Events that consumers have asked for and not got: as many would be delivered at once."""
        return self._stage_outlet.dispatcher.deliverable

    def consumers(self) -> tuple[Subscription, ...]:
        """The subscriptions of this stage's consumers."""
        return tuple(self._stage_outlet.subscriptions)

    def cancel_consumers(self, reason: object = NORMAL, *, after_buffer: bool = True) -> None:
        """Cancel every subscription of this stage's consumers; by default once the buffered events have left."""
        if after_buffer:
            self.post_info(_CancelConsumers(reason))
        else:
            self._stage_outlet.cancel_all(reason)

    # -- the port of producers ---------------------------------------------------------------------------------------

    def receive_subscribe(self, subscription: Subscription) -> None:
        """A consumer subscribes."""
        if self.state is State.ENDED:
            gone = NoProducer(f"{self!r} has ended: {self.reason!r}")
            subscription.consumer.receive_cancel(subscription, Cancellation(gone, down=True))
        else:
            self._stage_post(self._stage_outlet.subscribed, subscription, None)

    def receive_ask(self, subscription: Subscription, count: int) -> None:
        """A consumer asks."""
        self._stage_mailbox.append((self._stage_outlet.asked, subscription, count))
        waiter = self._stage_waiter
        if waiter is not None:
            self._stage_waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def receive_unsubscribe(self, subscription: Subscription, cancellation: Cancellation) -> None:
        """A consumer cancels, or has ended."""
        if cancellation.down and self.state is not State.ENDED and self._stage_outlet.gone(subscription, cancellation):
            return
        self._stage_post(self._stage_outlet.unsubscribed, subscription, cancellation)

    # -- the stage's own ---------------------------------------------------------------------------------------------

    def deliver_info(self, info: Any) -> Awaitable[None] | None:
        """Run `on_info` now, in the stage's own turn."""
        if isinstance(info, _CancelConsumers):
            self._stage_outlet.cancel_all(info.reason)
            return None
        return self.on_info(info)

    def post_due_info(self, info: Any) -> None:
        """Run `on_info` in the stage's next turn: what it waited for has left."""
        self._stage_post(self._stage_due_info, info, None)

    def post_left(self, function: Callable[[Any, Any], Awaitable[None]], a: Any, b: Any) -> None:
        """Run the rest of a consumer's leaving in the stage's next turn."""
        self._stage_post(function, a, b)

    def _stage_due_info(self, info: Any, _: Any) -> Awaitable[None] | None:
        return self.deliver_info(info)

    def _stage_close_outlet(self, reason: object, entries: list[Entry]) -> None:
        self._stage_outlet.close(reason, [a for function, a, _ in entries if function == self._stage_outlet.subscribed])
