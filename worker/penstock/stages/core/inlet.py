"""The consuming side of a stage: its subscriptions, their demand windows, and their cancellation.

It owns when to ask for more, what an ended subscription causes, and subscribing again. It must not process events;
it hands them out batch by batch. Events that a stage received and did not finish when it ends are released to the
producer that emitted them. `subscribe` succeeds once the request is sent; if the producer does not exist, the
subscription ends, with the effect that its cancel mode says.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from ..errors import BadOption, BadReturn, NoProducer
from ..reasons import Cancellation, Dropped, Exit
from ..status import InletStatus, State
from .subscription import Role, Subscription, SubscriptionOptions

logger = logging.getLogger("penstock.stages")


class Inlet:
    """One per consuming stage; `stage` gives the callbacks."""

    def __init__(self, stage: Any) -> None:
        self.stage = stage
        self.subscriptions: dict[Subscription, None] = {}
        self.received = 0
        self.resubscribes = True
        self.unfinished: list[tuple[Subscription, Sequence[Any]]] = []
        """Events to release when the stage ends, in order."""
        self._timers: dict[asyncio.TimerHandle, Subscription] = {}
        self._attempts: dict[Any, int] = {}

    # -- subscribing -------------------------------------------------------------------------------------------------

    async def install(self, subscription: Subscription, reply: asyncio.Future[Any] | None) -> None:
        """Mailbox function: subscribe, and replace an older subscription where asked to."""
        if subscription.replaces is not None:
            old, reason = subscription.replaces
            self._leave(old, Cancellation(reason))
        if subscription.cancelled is None:
            await self._install(subscription)
        if reply is not None and not reply.done():
            reply.set_result(subscription)

    async def _install(self, subscription: Subscription) -> None:
        producer = self._find(subscription.target)
        if producer is None:
            error = NoProducer(f"{self.stage!r} cannot subscribe to {subscription.target!r}: no such producer")
            await self._ended(subscription, Cancellation(error, down=True))
            return
        subscription.producer = producer
        mode = await self.stage.on_subscribe(Role.PRODUCER, subscription)
        if mode not in (None, "automatic", "manual"):
            raise BadReturn.of(self.stage, "on_subscribe", "None, 'automatic' or 'manual'", mode)
        if subscription.cancelled is not None:
            return
        self.subscriptions[subscription] = None
        subscription.installed = True
        producer.receive_subscribe(subscription)
        if (mode or subscription.options.mode) == "automatic":
            subscription.window = subscription.options.window()
            producer.receive_ask(subscription, subscription.window.open())

    def _find(self, target: Any) -> Any | None:
        if hasattr(target, "receive_subscribe"):
            return None if getattr(target, "state", None) is State.ENDED else target
        names = self.stage.names
        return None if names is None else names.find(target)

    # -- events ------------------------------------------------------------------------------------------------------

    def known(self, subscription: Subscription, events: Sequence[Any]) -> bool:
        """Return True if events may be processed; those of an unknown subscription are released and it is cancelled."""
        if subscription in self.subscriptions:
            return True
        subscription.released(events, Dropped.LATE)
        if subscription.producer is not None:
            subscription.producer.receive_unsubscribe(subscription, Cancellation(Exit.UNKNOWN_SUBSCRIPTION))
        return False

    async def process(self, subscription: Subscription, events: Sequence[Any]) -> None:
        """Pass one delivery to the stage, batch by batch, asking for more as the window says."""
        window = subscription.window
        count = len(events)
        done = 0
        try:
            if window is None:
                self.received += count
                self.stage.accept(await self.stage.handle_events(events, subscription))
                done = count
                return
            if count > window.outstanding:
                excess = count - window.outstanding
                logger.warning(
                    "%r received more events than it asked for (excess=%d, producer=%r)",
                    self.stage,
                    excess,
                    subscription.producer,
                )
            elif count <= window.step:
                self.received += count
                ask = window.take(count)
                self.stage.accept(await self.stage.handle_events(events, subscription))
                done = count
                if ask and subscription.cancelled is None and not self.stage.leaving:
                    subscription.producer.receive_ask(subscription, ask)  # type: ignore[union-attr]
                return
            for size, ask in window.split(count):
                self.received += size
                self.stage.accept(await self.stage.handle_events(events[done : done + size], subscription))
                done += size
                if self.stage.leaving:
                    return
                if ask:
                    subscription.ask(ask)
        finally:
            if done < count:
                self.unfinished.append((subscription, events[done:]))

    # -- ended subscriptions ----------------------------------------------------------------------------------------

    async def cancelled(self, subscription: Subscription, cancellation: Cancellation) -> None:
        """Mailbox function: the producer confirms, refuses or has ended."""
        if subscription in self.subscriptions:
            del self.subscriptions[subscription]
            await self._ended(subscription, cancellation)

    async def _ended(self, subscription: Subscription, cancellation: Cancellation) -> None:
        by_us = subscription.cancelled is not None
        subscription.end(cancellation)
        if subscription.producer is not None:
            await self.stage.on_cancel(cancellation, subscription)
        again = subscription.options.resubscribe is not None and self.resubscribes and not by_us
        if subscription.options.cancel_mode.ends_consumer(cancellation.reason):
            if isinstance(cancellation.reason, NoProducer):
                logger.error("%r stops: %s", self.stage, cancellation.reason)
            if cancellation.down:
                self.stage.ended_by = subscription.producer or subscription.target
            self.stage.leave(cancellation.reason)
        elif again and getattr(subscription.target, "state", None) is not State.ENDED:
            self._resubscribe_later(subscription)

    def _leave(self, subscription: Subscription, cancellation: Cancellation) -> None:
        """Forget a subscription, also an unknown one, at once. Events that still arrive for it are released."""
        self._drop_timers(subscription)
        if subscription not in self.subscriptions:
            return
        del self.subscriptions[subscription]
        subscription.end(cancellation)
        if subscription.producer is not None:
            subscription.producer.receive_unsubscribe(subscription, cancellation)

    def _resubscribe_later(self, old: Subscription) -> None:
        backoff = old.options.resubscribe
        assert backoff is not None
        attempt = 1 if old.producer is not None else self._attempts.get(old.target, 0) + 1
        self._attempts[old.target] = attempt
        again = Subscription(old.consumer, old.target, old.options)

        def due() -> None:
            self._timers.pop(timer, None)
            self.stage.post_install(again)

        timer = asyncio.get_running_loop().call_later(backoff.delay(attempt), due)
        self._timers[timer] = old

    def _drop_timers(self, subscription: Subscription | None = None) -> None:
        for timer, old in list(self._timers.items()):
            if subscription is None or old is subscription:
                timer.cancel()
                del self._timers[timer]

    def stop_resubscribing(self) -> None:
        """From now on an ended subscription stays ended."""
        self.resubscribes = False
        self._drop_timers()

    def close(self, reason: object) -> None:
        """The stage has ended: notify the producers, then release unfinished events."""
        self.stop_resubscribing()
        down = Cancellation(reason, down=True)
        for subscription in self.subscriptions:
            subscription.end(down)
            if subscription.producer is not None:
                subscription.producer.receive_unsubscribe(subscription, down)
        self.subscriptions.clear()
        for subscription, events in self.unfinished:  # after the news: none of it can come back here
            subscription.released(events, Dropped.CONSUMER_DOWN)

    def status(self, waiting: int) -> InletStatus:
        """A snapshot."""
        windows = [subscription.window for subscription in self.subscriptions]
        return InletStatus(
            producers=tuple(repr(subscription.producer) for subscription in self.subscriptions),
            outstanding=sum(window.outstanding for window in windows if window is not None),
            received=self.received,
            waiting=waiting,
            resubscribing=len(self._timers),
        )


def subscription_of(
    stage: Any, target: Any, options: SubscriptionOptions | None, keywords: dict[str, Any]
) -> Subscription:
    """A new subscription from options or keywords, not both. Raises BadOption, naming the stage."""
    if options is not None and keywords:
        raise BadOption.of(stage, "options", "given alone or not at all", sorted(keywords))
    if target is stage:
        raise BadOption.of(stage, "producer", "another stage", target)
    try:
        return Subscription(stage, target, options or SubscriptionOptions(**keywords))
    except TypeError as error:
        raise BadOption(f"{stage!r}: {error}") from error
    except BadOption as error:
        raise BadOption(f"{stage!r}: {error}") from None
