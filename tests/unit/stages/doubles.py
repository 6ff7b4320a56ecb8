"""The stages that the conformance cases speak of, and `settle`.

Everything that happens is logged in plain lists; "nothing happens" is asserted after `settle()`, never by sleeping.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from penstock.stages import (
    Cancellation,
    Consumer,
    Dropped,
    InletStatus,
    OutletStatus,
    Producer,
    ProducerConsumer,
    Role,
    Subscription,
    SubscriptionOptions,
)


async def settle() -> None:
    """Run the loop until nothing is runnable; timers do not count."""
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
    for _ in range(100_000):
        await asyncio.sleep(0)
        if not ready:
            return
    raise AssertionError("the loop never settled")


async def turns(count: int) -> None:
    """Let the loop turn `count` times."""
    for _ in range(count):
        await asyncio.sleep(0)


def dbl(first: int, last: int) -> list[int]:
    """Each number from first to last, twice."""
    return [number for number in range(first, last + 1) for _ in range(2)]


def span(first: int, last: int) -> list[int]:
    """first..last, inclusive."""
    return list(range(first, last + 1))


def outlet(stage: Any) -> OutletStatus:
    """The producing side of a stage's snapshot."""
    status = stage.status().outlet
    assert isinstance(status, OutletStatus)
    return status


def inlet(stage: Any) -> InletStatus:
    """The consuming side of a stage's snapshot."""
    status = stage.status().inlet
    assert isinstance(status, InletStatus)
    return status


class Logged:
    """Records callbacks for the assertions."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.subscribed: list[tuple[Role, Subscription]] = []
        self.cancels: list[Cancellation] = []
        self.infos: list[Any] = []
        self.stops: list[Any] = []
        self.released: list[tuple[list[Any], Dropped]] = []
        self.discards: list[int] = []
        self.log_discards = True
        self.mode: Any = None

    async def on_subscribe(self, other: Role, subscription: Subscription) -> Any:
        self.subscribed.append((other, subscription))
        return self.mode

    async def on_cancel(self, cancellation: Cancellation, subscription: Subscription) -> None:
        self.cancels.append(cancellation)

    async def on_info(self, info: Any) -> None:
        self.infos.append(info)

    async def on_cast(self, request: Any) -> None:
        self.infos.append(request)

    async def on_stop(self, reason: object) -> None:
        self.stops.append(reason)

    def on_released(self, events: Sequence[Any], why: Dropped) -> None:
        self.released.append((list(events), why))

    def on_discarded(self, count: int) -> bool:
        self.discards.append(count)
        return self.log_discards


class Counter(Logged, Producer[Any]):
    """A demand of n brings the next n integers."""

    def __init__(self, first: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.next = first
        self.demands: list[int] = []

    async def handle_demand(self, demand: int) -> list[int]:
        self.demands.append(demand)
        events = list(range(self.next, self.next + demand))
        self.next += demand
        return events


class Manual(Logged, Producer[Any]):
    """Notes each demand and emits nothing by itself."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.demands: list[int] = []

    async def handle_demand(self, demand: int) -> list[Any]:
        self.demands.append(demand)
        return []


class DemandEcho(Logged, Producer[int]):
    """A demand of n brings the single event n."""

    async def handle_demand(self, demand: int) -> list[int]:
        return [demand]


class Recorder(Logged, Consumer[Any]):
    """Notes every batch."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.batches: list[list[Any]] = []
        self.limit: int | None = None

    async def handle_events(self, events: Sequence[Any], subscription: Subscription) -> None:
        self.batches.append(list(events))
        if self.limit is not None and len(self.batches) >= self.limit:
            await asyncio.Event().wait()

    @property
    def events(self) -> list[Any]:
        return [event for batch in self.batches for event in batch]


class Sleeper(Recorder):
    """Notes its first batch, then blocks for ever."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.limit = 1


class Middle(Logged, ProducerConsumer[Any, Any]):
    """Notes every batch and passes on what `turn` makes of it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.batches: list[list[Any]] = []

    def turn(self, events: Sequence[Any]) -> list[Any]:
        return list(events)

    async def handle_events(self, events: Sequence[Any], subscription: Subscription) -> Sequence[Any]:
        self.batches.append(list(events))
        return self.turn(events)


class Doubler(Middle):
    def turn(self, events: Sequence[Any]) -> list[Any]:
        return [event for event in events for _ in range(2)]


class Discarder(Middle):
    def turn(self, events: Sequence[Any]) -> list[Any]:
        return []


class Postponer(Middle):
    """Posts each batch to itself as an info and emits from there."""

    def turn(self, events: Sequence[Any]) -> list[Any]:
        self.cast(list(events))
        return []

    async def on_cast(self, request: Any) -> None:
        self.push(request)


class Raw:
    """Speaks the protocol itself, as a consumer and as a producer."""

    def __init__(self, name: str = "raw") -> None:
        self.name = name
        self.got: list[tuple[Any, ...]] = []

    def __repr__(self) -> str:
        return f"<raw {self.name}>"

    def receive_subscribe(self, subscription: Subscription) -> None:
        self.got.append(("subscribe", subscription))

    def receive_ask(self, subscription: Subscription, count: int) -> None:
        self.got.append(("ask", count))

    def receive_unsubscribe(self, subscription: Subscription, cancellation: Cancellation) -> None:
        self.got.append(("unsubscribe", cancellation))

    def receive_events(self, subscription: Subscription, events: Sequence[Any]) -> None:
        self.got.append(("events", list(events)))

    def receive_cancel(self, subscription: Subscription, cancellation: Cancellation) -> None:
        self.got.append(("cancel", cancellation))

    def on_released(self, events: Sequence[Any], why: Dropped) -> None:
        self.got.append(("released", list(events), why))

    def asks(self) -> list[int]:
        return [entry[1] for entry in self.got if entry[0] == "ask"]

    def batches(self) -> list[list[Any]]:
        return [entry[1] for entry in self.got if entry[0] == "events"]

    def cancels(self) -> list[Any]:
        return [entry[1].reason for entry in self.got if entry[0] == "cancel"]

    def subscribe(self, producer: Any, **options: Any) -> Subscription:
        """As a consumer: send a subscription, without any demand."""
        subscription = Subscription(self, producer, SubscriptionOptions(**options))
        subscription.producer = producer
        subscription.installed = True
        producer.receive_subscribe(subscription)
        return subscription
