"""The public methods of stages that consume: Consumer and ProducerConsumer share them.

It owns the port that producers speak to and the ways to subscribe. It must not process events; each kind of stage
decides when. Before `start` a subscription is only recorded, so stages may be wired before any of them runs.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypedDict, TypeVar, Unpack

from ..errors import StageEnded
from ..exponential_backoff import ExponentialBackoff
from ..reasons import NORMAL, Cancellation, CancelMode, Dropped
from ..status import State
from ._common import ConnectableStage
from .inlet import Inlet, subscription_of
from .stage import Entry
from .subscription import Subscription, SubscriptionMode, SubscriptionOptions

In = TypeVar("In")


class SubscribeKeywords(TypedDict, total=False):
    """The fields of SubscriptionOptions, as keywords."""

    max_demand: int
    min_demand: int | None
    cancel: CancelMode | None
    mode: SubscriptionMode
    resubscribe: ExponentialBackoff | None
    selector: Callable[[Any], object] | None
    partition: Hashable
    extra: Mapping[str, Any]


class Consuming(ConnectableStage, Generic[In]):
    """A stage with an inlet."""

    _stage_inlet: Inlet

    # -- subscribing -------------------------------------------------------------------------------------------------

    async def subscribe(
        self, producer: Any, options: SubscriptionOptions | None = None, **keywords: Unpack[SubscribeKeywords]
    ) -> Subscription:
        """Subscribe to a producer, or to a name; returns once the request has been sent.

        Before `start` the request is recorded, and sent at the start. Raises BadOption, which leaves the stage as it
        was, and StageEnded. The options are those of `SubscriptionOptions`.
        """
        return await self._stage_subscribe(subscription_of(self, producer, options, dict(keywords)))

    def subscribe_nowait(
        self, producer: Any, options: SubscriptionOptions | None = None, **keywords: Unpack[SubscribeKeywords]
    ) -> Subscription:
        """`subscribe` without waiting for the request to be sent. Raises BadOption, StageEnded."""
        subscription = subscription_of(self, producer, options, dict(keywords))
        self.post_install(subscription)
        return subscription

    async def resubscribe(
        self,
        old: Subscription,
        reason: object = NORMAL,
        *,
        producer: Any = None,
        options: SubscriptionOptions | None = None,
        **keywords: Unpack[SubscribeKeywords],
    ) -> Subscription:
        """Cancel `old` with `reason` and subscribe again in one turn, with other options or to another producer.

        The end of `old` calls no `on_cancel` and does not end this stage; events that still arrive through it are
        released.
        An `old` that this stage does not know is accepted. Without options the old ones are kept.
        """
        if options is None and not keywords:
            options = old.options
        target = old.target if producer is None else producer
        fresh = subscription_of(self, target, options, dict(keywords))
        fresh.replaces = (old, reason)
        return await self._stage_subscribe(fresh)

    def subscriptions(self) -> tuple[Subscription, ...]:
        """The subscriptions that are installed."""
        return tuple(self._stage_inlet.subscriptions)

    def stop_resubscribing(self) -> None:
        """From now on a subscription that ends is not made again, whatever its options say."""
        self._stage_inlet.stop_resubscribing()

    async def _stage_subscribe(self, subscription: Subscription) -> Subscription:
        if self._stage_inside():
            await self._stage_inlet.install(subscription, None)
        elif self.state is State.NEW:
            self.post_install(subscription)
        else:
            await self._stage_request(self._stage_inlet.install, subscription)
        return subscription

    def post_install(self, subscription: Subscription) -> None:
        """Subscribe in the stage's next turn."""
        if self.state is State.ENDED:
            raise StageEnded(f"{self!r} has ended: {self.reason!r}")
        self._stage_post(self._stage_inlet.install, subscription, None)

    def _stage_subscribe_at_start(self, targets: Iterable[Any]) -> None:
        for target in targets:
            options = None
            if isinstance(target, tuple) and len(target) == 2 and isinstance(target[1], SubscriptionOptions):
                target, options = target  # noqa: PLW2901 - (producer, options)
            self.subscribe_nowait(target, options)

    # -- the port of consumers ---------------------------------------------------------------------------------------

    def receive_events(self, subscription: Subscription, events: Sequence[Any]) -> None:
        """Events that were asked for."""
        if self.state is State.ENDED:
            subscription.released(events, Dropped.LATE)
            return
        self._stage_mailbox.append((self._stage_take_events, subscription, events))
        waiter = self._stage_waiter
        if waiter is not None:
            self._stage_waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def receive_cancel(self, subscription: Subscription, cancellation: Cancellation) -> None:
        """A subscription has ended."""
        self._stage_post(self._stage_take_cancel, subscription, cancellation)

    @abstractmethod
    def _stage_take_events(self, subscription: Any, events: Any) -> Awaitable[None] | None:
        """Events from the mailbox: process them now or keep them."""

    @abstractmethod
    def _stage_take_cancel(self, subscription: Any, cancellation: Any) -> Awaitable[None] | None:
        """The end of a subscription, from the mailbox: after the events that came before it."""

    def _stage_close_inlet(self, reason: object, entries: list[Entry]) -> None:
        for function, a, b in entries:
            if function == self._stage_take_events:
                self._stage_inlet.unfinished.append((a, b))
        self._stage_inlet.close(reason)
