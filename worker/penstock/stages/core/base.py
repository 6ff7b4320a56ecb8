"""The three stage types that users subclass: Producer, ProducerConsumer and Consumer.

They own the public methods and wire the runner to its sides: a producer has an outlet, a consumer an inlet, a
producer-consumer both with a queue between them. They must not contain arithmetic. A producer-consumer processes
what arrived only while there is demand from downstream, but then a delivery is processed whole.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Awaitable, Hashable, Iterable, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from ..dispatchers.base import Dispatcher
from ..errors import BadReturn
from ..names import Names
from .buffer import Buffer, Keep
from .consuming import Consuming
from .emission import DemandMode, is_sequence
from .inbound import Delivery, InboundQueue
from .inlet import Inlet
from .outlet import Outlet
from .producing import Producing
from .stage import Entry
from .subscription import Subscription

logger = logging.getLogger("penstock.stages")

In = TypeVar("In")
Out = TypeVar("Out")


class Producer(Producing[Out], Generic[Out]):
    """A source of events.

    Args:
        demand: "forward" (default), or "accumulate" to hold demand and emissions back until `set_demand("forward")`.
        buffer_size: events kept while there is no demand, default 10 000; None: unbounded; 0: none, they are discarded.
        buffer_keep: on overflow keep the "last" (default) or the "first".
        dispatcher: default `DemandDispatcher()`. It must not be shared between stages.
        coalesce_demand: combine asks that wait together into one `handle_demand`; default False, each by itself.
        name, names: see `Stage`.
    """

    kind: ClassVar[str] = "producer"

    def __init__(
        self,
        *,
        demand: DemandMode = "forward",
        buffer_size: int | None = 10_000,
        buffer_keep: Keep = "last",
        dispatcher: Dispatcher | None = None,
        coalesce_demand: bool = False,
        name: Hashable | None = None,
        names: Names | None = None,
    ) -> None:
        super().__init__(name=name, names=names)
        buffer = Buffer(buffer_size, buffer_keep, owner=self)
        demanded = self._stage_coalesce if coalesce_demand else self._stage_produce
        self._stage_outlet = Outlet(self, demanded=demanded, dispatcher=dispatcher, buffer=buffer, demand=demand)
        self._stage_owed = 0

    @abstractmethod
    async def handle_demand(self, demand: int) -> Sequence[Out]:
        """Return up to `demand` (at least 1) events.

        Fewer are fine, also none: what is missing stays owed, this is not called again for it, and may be emitted
        later with `push` or `emit`. Demands are never summed: each ask of a consumer is a call of its own.
        """

    def _stage_coalesce(self, demand: int) -> None:
        """Sum up the asks in the mailbox; the entry posted after them produces."""
        if not self._stage_owed:
            self._stage_post(self._stage_produce_owed, None, None)
        self._stage_owed += demand

    def _stage_produce_owed(self, _: Any, __: Any) -> Awaitable[None]:
        demand, self._stage_owed = self._stage_owed, 0
        return self._stage_produce(demand)

    async def _stage_produce(self, demand: int) -> None:
        events = await self.handle_demand(demand)
        if not isinstance(events, (list, tuple)) and not is_sequence(events):
            raise BadReturn.of(self, "handle_demand", "a sequence of events", events)
        self._stage_outlet.emit(events)

    def _stage_info(self, info: Any, _: Any) -> Awaitable[None] | None:
        return self._stage_outlet.info(info)

    def _stage_close(self, reason: object, entries: list[Entry]) -> None:
        self._stage_close_outlet(reason, entries)


class Consumer(Consuming[In], Generic[In]):
    """A sink of events.

    Args:
        subscribe_to: producers to subscribe to at start: a producer, a name, or (either, SubscriptionOptions).
        name, names: see `Stage`.
    """

    kind: ClassVar[str] = "consumer"

    def __init__(
        self, *, subscribe_to: Iterable[Any] = (), name: Hashable | None = None, names: Names | None = None
    ) -> None:
        super().__init__(name=name, names=names)
        self._stage_inlet = Inlet(self)
        self._stage_subscribe_at_start(subscribe_to)

    @abstractmethod
    async def handle_events(self, events: Sequence[In], subscription: Subscription) -> None:
        """Process a batch: at most `max_demand - min_demand` events; in manual mode a delivery as it came."""

    def accept(self, answer: object) -> None:
        """Check what `handle_events` returned: a consumer emits nothing."""
        if answer:
            logger.error("%r is a consumer and cannot emit; dropping what handle_events returned", self)

    def estimate_buffered(self) -> int:
        """0: a consumer has no buffer; asking is logged as an error."""
        logger.error("%r is a consumer and has no buffer to estimate", self)
        return 0

    def _stage_take_events(self, subscription: Any, events: Any) -> Awaitable[None] | None:
        return (
            self._stage_inlet.process(subscription, events) if self._stage_inlet.known(subscription, events) else None
        )

    def _stage_take_cancel(self, subscription: Any, cancellation: Any) -> Awaitable[None] | None:
        return self._stage_inlet.cancelled(subscription, cancellation)

    def _stage_close(self, reason: object, entries: list[Entry]) -> None:
        self._stage_close_inlet(reason, entries)


class ProducerConsumer(Producing[Out], Consuming[In], Generic[In, Out]):
    """Turns events into other events.

    Args:
        buffer_size: default 100 000. (GenStage's default has no bound.)
        buffer_keep, dispatcher, subscribe_to, name, names: see `Producer` and `Consumer`.
    """

    kind: ClassVar[str] = "producer-consumer"

    def __init__(
        self,
        *,
        subscribe_to: Iterable[Any] = (),
        buffer_size: int | None = 100_000,
        buffer_keep: Keep = "last",
        dispatcher: Dispatcher | None = None,
        name: Hashable | None = None,
        names: Names | None = None,
    ) -> None:
        super().__init__(name=name, names=names)
        buffer = Buffer(buffer_size, buffer_keep, owner=self)
        self._stage_outlet = Outlet(
            self, demanded=self._stage_demanded, dispatcher=dispatcher, buffer=buffer, eager=True
        )
        self._stage_inlet = Inlet(self)
        self._stage_inbound = InboundQueue()
        self._stage_subscribe_at_start(subscribe_to)

    @abstractmethod
    async def handle_events(self, events: Sequence[In], subscription: Subscription) -> Sequence[Out]:
        """Process a batch and return what comes of it, also nothing; more may follow later with `push` or `emit`."""

    def accept(self, answer: Sequence[Out]) -> None:
        """Emit what `handle_events` returned. Raises BadReturn."""
        if not isinstance(answer, (list, tuple)) and not is_sequence(answer):
            raise BadReturn.of(self, "handle_events", "a sequence of events", answer)
        self._stage_outlet.emit(answer)

    def set_demand(self, mode: DemandMode) -> None:
        """A producer-consumer always forwards: "accumulate" is logged as an error, "forward" changes nothing."""
        if mode != "forward":
            logger.error("%r is not a producer; ignoring demand mode %r", self, mode)

    def _stage_demanded(self, _: int) -> Awaitable[None] | None:
        return self._stage_pump() if len(self._stage_inbound) and self._stage_outlet.dispatcher.deliverable else None

    async def _stage_pump(self) -> None:
        """Process what waits, as long as there is demand from downstream."""
        while not self.leaving:
            entry = self._stage_inbound.take(self._stage_outlet.dispatcher.deliverable)
            if entry is None:
                return
            if type(entry) is Delivery:
                if self._stage_inlet.known(entry.subscription, entry.events):
                    await self._stage_inlet.process(entry.subscription, entry.events)
                continue
            function, a, b = entry
            work = function(a, b)
            if work is not None:
                await work

    def _stage_take_events(self, subscription: Any, events: Any) -> Awaitable[None] | None:
        if not self._stage_inlet.known(subscription, events):
            return None
        if not len(self._stage_inbound) and self._stage_outlet.dispatcher.deliverable:
            return self._stage_inlet.process(subscription, events)
        self._stage_inbound.put(Delivery(subscription, events))
        return None

    def _stage_take_cancel(self, subscription: Any, cancellation: Any) -> Awaitable[None] | None:
        if len(self._stage_inbound):
            self._stage_inbound.put((self._stage_inlet.cancelled, subscription, cancellation))
            return None
        return self._stage_inlet.cancelled(subscription, cancellation)

    def _stage_info(self, info: Any, _: Any) -> Awaitable[None] | None:
        if len(self._stage_inbound):
            self._stage_inbound.put((self._stage_info_in_turn, info, None))
            return None
        return self._stage_outlet.info(info)

    def _stage_info_in_turn(self, info: Any, _: Any) -> Awaitable[None] | None:
        return self._stage_outlet.info(info)

    def _stage_waiting(self) -> int:
        return self._stage_inbound.events

    def _stage_close(self, reason: object, entries: list[Entry]) -> None:
        for entry in self._stage_inbound.clear():
            if type(entry) is Delivery:
                self._stage_inlet.unfinished.append((entry.subscription, entry.events))
        self._stage_close_inlet(reason, entries)
        self._stage_close_outlet(reason, entries)
