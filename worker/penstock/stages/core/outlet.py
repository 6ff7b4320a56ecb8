"""The producing side of a stage: the subscriptions of its consumers.

It owns the protocol: who subscribes, asks and leaves, and how an ask is covered. It must not run callbacks by itself;
its mailbox functions return an awaitable where one is due. Unlike in GenStage, an ask is served from the
buffer even where an earlier consumer's demand already covers it, and the upstream still owes what is served so.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from ..dispatchers.base import Dispatcher
from ..errors import BadReturn, NoProducer, SubscriptionRefused
from ..reasons import NORMAL, Cancellation, Dropped, Exit
from ..status import OutletStatus, State
from .buffer import Buffer
from .emission import DemandMode, Emission
from .subscription import Role

logger = logging.getLogger("penstock.stages")


class Outlet(Emission):
    """One per producing stage.

    `stage` gives the callbacks; `demanded(count)` is called with demand that neither buffer nor pending covers; `eager`
    calls it with 0 as well, for a stage that wants to know of all demand.
    """

    def __init__(
        self,
        stage: Any,
        *,
        demanded: Callable[[int], Awaitable[None] | None],
        dispatcher: Dispatcher | None,
        buffer: Buffer,
        demand: DemandMode = "forward",
        eager: bool = False,
    ) -> None:
        super().__init__(stage, demanded=demanded, dispatcher=dispatcher, buffer=buffer, demand=demand)
        self.subscriptions: dict[Any, bool] = {}
        """Known subscriptions, and whether the dispatcher has them."""
        self._eager = eager

    # -- mailbox functions -------------------------------------------------------------------------------------------

    async def subscribed(self, subscription: Any, _: Any) -> None:
        """A consumer subscribes."""
        if getattr(subscription.consumer, "state", None) is State.ENDED:
            return
        if subscription in self.subscriptions:
            subscription.consumer.receive_cancel(subscription, Cancellation(Exit.DUPLICATED_SUBSCRIPTION))
            return
        self.subscriptions[subscription] = False  # known from here on: when this stage stops, it is cancelled
        mode = await self.stage.on_subscribe(Role.CONSUMER, subscription)
        if mode not in (None, "automatic"):
            raise BadReturn.of(self.stage, "on_subscribe", "None or 'automatic' for a consumer", mode)
        if subscription not in self.subscriptions:
            return
        try:
            new = self.dispatcher.subscribe(subscription)
        except SubscriptionRefused as refusal:
            logger.warning("%r refuses a subscription: %s", self.stage, refusal)
            del self.subscriptions[subscription]
            subscription.consumer.receive_cancel(subscription, Cancellation(refusal.reason))
            return
        self.subscriptions[subscription] = True
        await self._serve(new, new)

    def asked(self, subscription: Any, count: int) -> Awaitable[None] | None:
        """A consumer asks."""
        if subscription not in self.subscriptions:
            subscription.consumer.receive_cancel(subscription, Cancellation(Exit.UNKNOWN_SUBSCRIPTION))
            return None
        dispatcher = self.dispatcher
        new = dispatcher.ask(count, subscription)
        if dispatcher.holds_back:
            deliveries, infos = dispatcher.collect(subscription)
            self.deliver(deliveries, [])
            for info in infos:
                self.stage.post_due_info(info)
        if self.buffer.events:
            return self._serve(count, new)
        return self.demand(new) if new or self._eager else None

    async def unsubscribed(self, subscription: Any, cancellation: Cancellation) -> None:
        """A consumer cancels."""
        if subscription not in self.subscriptions:
            return
        if not cancellation.down:
            subscription.consumer.receive_cancel(subscription, cancellation)
        await self._left(subscription, (cancellation, self._remove(subscription)))

    def gone(self, subscription: Any, cancellation: Cancellation) -> bool:
        """A consumer has ended: from now on nothing goes to it; the rest follows in the stage's own turn.

        False: the subscription is not known (yet), and its cancellation has to wait for its turn too.
        """
        if subscription not in self.subscriptions:
            return False
        self.stage.post_left(self._left, subscription, (cancellation, self._remove(subscription)))
        return True

    async def _left(self, subscription: Any, how: tuple[Cancellation, int]) -> None:
        """Notify the stage, then cover the demand that the subscription freed."""
        cancellation, new = how
        await self.stage.on_cancel(cancellation, subscription)
        await self._serve(new, new)

    def _remove(self, subscription: Any) -> int:
        """Forget a subscription; returns the demand that this sets free."""
        if not self.subscriptions.pop(subscription):
            return 0
        new, events, infos = self.dispatcher.cancel(subscription)
        self.release(events, Dropped.PARTITION_CANCELLED)
        for info in infos:
            self.stage.post_due_info(info)
        return new

    async def _serve(self, asked: int, new: int) -> None:
        """Cover demand from the buffer first, then from the upstream."""
        if self.buffer.events:
            surplus = min(asked, len(self.buffer)) - new
            if surplus > 0:
                self.dispatcher.refund(surplus)
            new -= self.drain()
        if new > 0 or self._eager:
            work = self.demand(max(new, 0))
            if work is not None:
                await work

    # -- cancelling, end --------------------------------------------------------------------------------------------

    def cancel_all(self, reason: object = NORMAL) -> None:
        """Cancel every consumer's subscription; each is removed in the stage's own turn."""
        for subscription in self.subscriptions:
            self.stage.receive_unsubscribe(subscription, Cancellation(reason))

    def close(self, reason: object, refused: list[Any]) -> None:
        """The stage has ended: release unsent events, then notify consumers, also those that came too late."""
        self.release(self.take_unsent(), Dropped.STAGE_ENDED)
        for subscription in self.subscriptions:
            subscription.consumer.receive_cancel(subscription, Cancellation(reason, down=True))
        self.subscriptions.clear()
        gone = NoProducer(f"{self.stage!r} has ended: {reason!r}")
        for subscription in refused:
            subscription.consumer.receive_cancel(subscription, Cancellation(gone, down=True))

    def status(self) -> OutletStatus:
        """A snapshot."""
        return OutletStatus(
            dispatcher=type(self.dispatcher).__name__,
            consumers=tuple(repr(subscription.consumer) for subscription in self.subscriptions),
            demand_mode=self.demand_mode,
            demand=self.dispatcher.deliverable,
            buffered=len(self.buffer),
            buffer_size=self.buffer.size,
            emitted=self.emitted,
            discarded=self.discarded,
        )
