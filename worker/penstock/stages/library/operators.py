"""Ready-made producer-consumers: filter, enrich, rate limit, buffer.

They are ordinary stages on the public interface and nothing else; read them as examples. They must not hide events:
what a filter rejects is counted, what a rate limit holds back is not asked for upstream. The rate limit passes at most
its burst after an idle time, keeps the fraction of a token, and never forgets demand.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from inspect import isawaitable
from typing import Any, Generic, TypeVar

from ..core.base import ProducerConsumer
from ..core.subscription import Role, Subscription, SubscriptionMode
from ..errors import BadOption
from ..reasons import Cancellation, Dropped

logger = logging.getLogger("penstock.stages")

In = TypeVar("In")
Out = TypeVar("Out")


class Filter(ProducerConsumer[In, In], Generic[In]):
    """Passes on the events for which `wanted` is true; `rejected` counts the others."""

    def __init__(self, wanted: Callable[[In], object], **options: Any) -> None:
        super().__init__(**options)
        if not callable(wanted):
            raise BadOption.of(self, "wanted", "a function of one event", wanted)
        self._wanted = wanted
        self.rejected = 0

    async def handle_events(self, events: Sequence[In], subscription: Subscription) -> list[In]:
        """Keep what is wanted."""
        del subscription
        kept = [event for event in events if self._wanted(event)]
        self.rejected += len(events) - len(kept)
        return kept


class Enrich(ProducerConsumer[In, Out], Generic[In, Out]):
    """Passes on what `enrich` makes of each event, in order.

    `enrich` may be async; then up to `concurrency` events (default 1) of a batch are enriched at the same time. An
    event for which it raises is logged and released, the others go on.
    """

    def __init__(self, enrich: Callable[[In], Out | Awaitable[Out]], *, concurrency: int = 1, **options: Any) -> None:
        super().__init__(**options)
        if concurrency < 1:
            raise BadOption.of(self, "concurrency", "at least 1", concurrency)
        self._enrich = enrich
        self._concurrency = concurrency

    async def handle_events(self, events: Sequence[In], subscription: Subscription) -> list[Out]:
        """Enrich each, drop the failed."""
        made: list[Any] = []
        for start in range(0, len(events), self._concurrency):
            part = events[start : start + self._concurrency]
            if self._concurrency == 1:
                made.append(await self._one(part[0], subscription))
            else:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(self._one(event, subscription)) for event in part]
                made.extend(task.result() for task in tasks)
        return [answer[0] for answer in made if answer]

    async def _one(self, event: In, subscription: Subscription) -> tuple[Any, ...]:
        try:
            answer = self._enrich(event)
            return (await answer if isawaitable(answer) else answer,)
        except Exception:
            logger.exception("%r: cannot enrich %r", self, event)
            subscription.released([event], Dropped.FAILED)
            return ()


class Throttle(ProducerConsumer[In, In], Generic[In]):
    """Passes on at most `rate` events per second, with bursts of at most `burst` (default: one second's worth).

    A token bucket: it fills with `rate` tokens a second up to `burst` and asks upstream only for as many events as it
    has tokens, so what may not pass stays where it is. `clock` gives seconds; default: the loop's.
    """

    def __init__(
        self, rate: float, *, burst: int | None = None, clock: Callable[[], float] | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        if rate <= 0:
            raise BadOption.of(self, "rate", "more than 0 events per second", rate)
        if burst is not None and burst < 1:
            raise BadOption.of(self, "burst", "at least 1", burst)
        self.rate = rate
        self.burst = max(1, int(rate)) if burst is None else burst
        self._clock = clock
        self._tokens = float(self.burst)
        self._filled_at: float | None = None
        self._owed: dict[Subscription, int] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def on_subscribe(self, other: Role, subscription: Subscription) -> SubscriptionMode | None:
        """Manual mode towards producers: tokens decide."""
        if other is Role.CONSUMER:
            return None
        self._owed[subscription] = subscription.options.max_demand
        self.cast(None)
        return "manual"

    async def on_cancel(self, cancellation: Cancellation, subscription: Subscription) -> None:
        """Forget what a producer that left could still have sent."""
        del cancellation
        self._owed.pop(subscription, None)

    async def on_cast(self, request: Any) -> None:
        """Spend tokens."""
        del request
        self._spend()

    async def handle_events(self, events: Sequence[In], subscription: Subscription) -> Sequence[In]:
        """Pass the events on, and account for them."""
        if subscription in self._owed:
            self._owed[subscription] += len(events)
        self._spend()
        return events

    def on_end(self, reason: object) -> None:
        """No timer outlives the stage."""
        del reason
        if self._timer is not None:
            self._timer.cancel()

    def _spend(self) -> None:
        loop = asyncio.get_running_loop()
        now = self._clock() if self._clock is not None else loop.time()
        if self._filled_at is not None:
            self._tokens = min(float(self.burst), self._tokens + (now - self._filled_at) * self.rate)
        self._filled_at = now
        for subscription, owed in self._owed.items():
            count = min(owed, int(self._tokens + 1e-9))
            if count:
                self._tokens -= count
                self._owed[subscription] -= count
                subscription.ask(count)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if any(self._owed.values()):
            self._timer = loop.call_later(max(0.0, (1 - self._tokens) / self.rate), self.cast, None)


class Reservoir(ProducerConsumer[In, In], Generic[In]):
    """Passes events on unchanged, and so keeps some ready ahead of its consumers.

    Subscribe it with `max_demand=N`: N events are asked for at once, wait here until a consumer asks, and are asked for
    again when `min_demand` are left, so a slow or bursty source is asked before it is needed.
    """

    async def handle_events(self, events: Sequence[In], subscription: Subscription) -> Sequence[In]:
        """Pass on."""
        del subscription
        return events
