"""The producing side of a stage: subscriptions of its consumers, dispatcher, buffer, demand mode.

It owns the order in which events leave: what is buffered always goes before what is new. It must not run callbacks by
itself; its mailbox functions return an awaitable where one is due. Emission is synchronous and may come from anywhere
in the stage's thread. Surprising, and unlike GenStage: an ask is served from the buffer even where an earlier
consumer's demand already covers it, and what is served so stays owed by the upstream.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

from .buffer import Buffer
from .demand import DemandDispatcher
from .dispatcher import Deliveries, Dispatcher
from .errors import BadOption, BadReturn, NoProducer, StageEnded, SubscriptionRefused
from .reasons import NORMAL, Cancellation, Dropped, Exit
from .status import OutletStatus, State
from .subscription import Role

logger = logging.getLogger("penstock.stages")

DemandMode = Literal["forward", "accumulate"]
_DEMAND, _EVENTS, _INFO = range(3)


class Outlet:
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
        if demand not in ("forward", "accumulate"):
            raise BadOption.of(stage, "demand", "'forward' or 'accumulate'", demand)
        if dispatcher is not None and not isinstance(dispatcher, Dispatcher):
            raise BadOption.of(stage, "dispatcher", "a Dispatcher", dispatcher)
        self.stage = stage
        self.demanded = demanded
        self._eager = eager
        self.dispatcher = dispatcher if dispatcher is not None else DemandDispatcher()
        self.buffer = buffer
        self.subscriptions: dict[Any, None] = {}
        self.emitted = 0
        self.discarded = 0
        self._accumulated: deque[tuple[int, Any]] | None = deque() if demand == "accumulate" else None

    # -- emission ----------------------------------------------------------------------------------------------------

    def emit(self, events: Sequence[Any]) -> None:
        """Send to consumers as far as their demand goes, buffer the rest. Raises StageEnded, BadReturn."""
        if not isinstance(events, (list, tuple)) and not is_sequence(events):
            raise BadReturn.of(self.stage, "an emission", "a sequence of events", events)
        if not events:
            return
        if self.stage.state is State.ENDED:
            raise StageEnded(f"{self.stage!r} has ended and emits no more: {self.stage.reason!r}")
        if self._accumulated is not None:
            self._accumulated.append((_EVENTS, events))
            return
        self._dispatch(events)

    def _dispatch(self, events: Sequence[Any]) -> None:
        self.emitted += len(events)
        if len(self.buffer):
            self._store(events)
            self._drain()
            return
        deliveries, leftover = self.dispatcher.dispatch(events)
        for subscription, part in deliveries:
            subscription.consumer.receive_events(subscription, part)
        if self.dispatcher.reasks or self.dispatcher.undeliverable:
            self._after_dispatch()
        if leftover:
            self._store(leftover)

    def _after_dispatch(self) -> None:
        reasks, self.dispatcher.reasks = self.dispatcher.reasks, []
        failed, self.dispatcher.undeliverable = self.dispatcher.undeliverable, []
        for subscription, count in reasks:
            self.stage.receive_ask(subscription, count)
        self._release(failed, Dropped.NO_PARTITION)

    def _drain(self) -> int:
        """Deliver from the buffer whatever the dispatcher can place; returns how many events."""
        served = 0
        while len(self.buffer) and self.dispatcher.deliverable:
            events, infos = self.buffer.take(self.dispatcher.deliverable)
            served += len(events)
            deliveries, leftover = self.dispatcher.dispatch(events)
            assert not leftover, "a dispatcher must place what it calls deliverable"
            self._deliver(deliveries, infos)
            if self.dispatcher.reasks or self.dispatcher.undeliverable:
                self._after_dispatch()
        return served

    def _deliver(self, deliveries: Deliveries, infos: list[Any]) -> None:
        for subscription, part in deliveries:
            subscription.consumer.receive_events(subscription, part)
        for info in infos:
            self._pass_info(info)

    def _store(self, events: Sequence[Any]) -> None:
        dropped, infos = self.buffer.store(events)
        if dropped:
            self.discarded += len(dropped)
            self._complain(len(dropped))
            self._release(dropped, Dropped.OVERFLOW)
        for info in infos:
            self._pass_info(info)

    def _complain(self, count: int) -> None:
        try:
            wanted = self.stage.on_discarded(count)
        except Exception:
            logger.exception("on_discarded of %r failed", self.stage)
            wanted = True
        if wanted:
            logger.warning("%r discarded %d events: its buffer of %s is full", self.stage, count, self.buffer.size)

    def _release(self, events: Sequence[Any], why: Dropped) -> None:
        if events:
            try:
                self.stage.on_released(events, why)
            except Exception:
                logger.exception("on_released of %r failed for %d events", self.stage, len(events))

    # -- infos -------------------------------------------------------------------------------------------------------

    def info(self, info: Any) -> Awaitable[None] | None:
        """An info takes its place behind what is held; returns the callback when nothing is."""
        if self._accumulated:
            self._accumulated.append((_INFO, info))
        elif not self.buffer.mark(info) and self.dispatcher.info(info):
            work: Awaitable[None] | None = self.stage.deliver_info(info)
            return work
        return None

    def _pass_info(self, info: Any) -> None:
        if self.dispatcher.info(info):
            self.stage.post_due_info(info)

    # -- mailbox functions -------------------------------------------------------------------------------------------

    async def subscribed(self, subscription: Any, _: Any) -> None:
        """A consumer subscribes."""
        if subscription in self.subscriptions:
            subscription.consumer.receive_cancel(subscription, Cancellation(Exit.DUPLICATED_SUBSCRIPTION))
            return
        self.subscriptions[subscription] = None  # known from here on: whatever ends this stage now is told to it
        mode = await self.stage.on_subscribe(Role.CONSUMER, subscription)
        if mode not in (None, "automatic"):
            raise BadReturn.of(self.stage, "on_subscribe", "None or 'automatic' for a consumer", mode)
        try:
            new = self.dispatcher.subscribe(subscription)
        except SubscriptionRefused as refusal:
            logger.warning("%r refused a subscription: %s", self.stage, refusal)
            del self.subscriptions[subscription]
            subscription.consumer.receive_cancel(subscription, Cancellation(refusal.reason))
            return
        await self._serve(new, new)

    def asked(self, subscription: Any, count: int) -> Awaitable[None] | None:
        """A consumer asks."""
        if subscription not in self.subscriptions:
            subscription.consumer.receive_cancel(subscription, Cancellation(Exit.UNKNOWN_SUBSCRIPTION))
            return None
        dispatcher = self.dispatcher
        new = dispatcher.ask(count, subscription)
        deliveries, infos = dispatcher.collect(subscription)
        if deliveries or infos:
            self._deliver(deliveries, [])
            for info in infos:
                self.stage.post_due_info(info)
        if len(self.buffer):
            return self._serve(count, new)
        return self._demand(new) if new or self._eager else None

    async def unsubscribed(self, subscription: Any, cancellation: Cancellation) -> None:
        """A consumer cancels, or has ended."""
        if subscription not in self.subscriptions:
            return
        del self.subscriptions[subscription]
        if not cancellation.down:
            subscription.consumer.receive_cancel(subscription, cancellation)
        try:
            await self.stage.on_cancel(cancellation, subscription)
        finally:
            new, events, infos = self.dispatcher.cancel(subscription)
            self._release(events, Dropped.PARTITION_CANCELLED)
            for info in infos:
                self.stage.post_due_info(info)
        await self._serve(new, new)

    async def _serve(self, asked: int, new: int) -> None:
        """Cover demand from the buffer first, then from the upstream."""
        if len(self.buffer):
            surplus = min(asked, len(self.buffer)) - new
            if surplus > 0:
                self.dispatcher.refund(surplus)
            new -= self._drain()
        if new > 0 or self._eager:
            work = self._demand(max(new, 0))
            if work is not None:
                await work

    def _demand(self, count: int) -> Awaitable[None] | None:
        if self._accumulated is not None:
            self._accumulated.append((_DEMAND, count))
            return None
        return self.demanded(count)

    # -- demand mode, cancelling, end ----------------------------------------------------------------------------------

    @property
    def demand_mode(self) -> DemandMode:
        """`forward`, or `accumulate` while demand and emissions are held."""
        return "forward" if self._accumulated is None else "accumulate"

    async def set_demand(self, mode: Any, _: Any) -> None:
        """Switch the demand mode; `forward` replays what was held; demands stay apart."""
        if mode == "accumulate":
            if self._accumulated is None:
                self._accumulated = deque()
            return
        held, self._accumulated = self._accumulated or (), None
        demands: list[int] = []
        for what, value in held:  # events first: they were emitted before anything that these demands will bring
            if what == _EVENTS:
                self._dispatch(value)
            elif what == _DEMAND:
                demands.append(value)
            elif not self.buffer.mark(value):
                self._pass_info(value)
        for count in demands:
            work = self.demanded(count)
            if work is not None:
                await work

    def cancel_all(self, reason: object = NORMAL) -> None:
        """Tell every consumer that its subscription ends; each is removed in the stage's own turn."""
        for subscription in self.subscriptions:
            self.stage.receive_unsubscribe(subscription, Cancellation(reason))

    def close(self, reason: object, refused: list[Any]) -> None:
        """The stage has ended: give back what is held, tell the consumers, and those who asked too late."""
        held, _ = self.buffer.clear()
        for what, value in self._accumulated or ():
            if what == _EVENTS:
                held.extend(value)
        self._accumulated = None
        self._release([*self.dispatcher.close(), *held], Dropped.STAGE_ENDED)
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


def is_sequence(value: object) -> bool:
    """Whether a value can be a batch of events; a str or bytes is taken for a mistake."""
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))
