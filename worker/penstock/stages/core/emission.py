"""Emits events from a producing stage: dispatcher, buffer, and the queue of entries held back before both.

It owns the order in which events leave: held back before buffered, buffered before new. Entries are held back while
demand is accumulated, or while a gate (a rate limit) is closed. It must know of subscriptions only what the dispatcher
says. Emission is synchronous and may come from anywhere in the loop's thread. Events held back leave before demands
held back are passed on, because they were emitted before anything those demands will bring.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, Protocol

from ..dispatchers.base import Deliveries, Dispatcher
from ..dispatchers.demand import DemandDispatcher
from ..errors import BadOption, BadReturn, StageEnded
from ..reasons import Dropped
from ..status import State
from .buffer import Buffer

logger = logging.getLogger("penstock.stages")

DemandMode = Literal["forward", "accumulate"]
_DEMAND, _EVENTS, _INFO = range(3)


class EmissionGate(Protocol):
    """May hold emissions and demand back; `Producing.gate_opened` is called when it may have opened."""

    @property
    def closed(self) -> bool:
        """Nothing may pass now."""

    def take(self, count: int) -> int:
        """Let up to `count` events pass; returns how many."""


class Emission:
    """The part of an outlet that events pass through."""

    def __init__(
        self,
        stage: Any,
        *,
        demanded: Callable[[int], Awaitable[None] | None],
        dispatcher: Dispatcher | None,
        buffer: Buffer,
        demand: DemandMode = "forward",
    ) -> None:
        if demand not in ("forward", "accumulate"):
            raise BadOption.of(stage, "demand", "'forward' or 'accumulate'", demand)
        self.stage = stage
        self.demanded = demanded
        self.take_dispatcher(dispatcher if dispatcher is not None else DemandDispatcher())
        self.buffer = buffer
        self.gate: EmissionGate | None = None
        self.emitted = 0
        self.discarded = 0
        self._accumulating = demand == "accumulate"
        self._held_back: deque[tuple[int, Any]] = deque()

    def take_dispatcher(self, dispatcher: Dispatcher) -> None:
        """Use this dispatcher from now on. Raises BadOption for anything else, and for one of another stage."""
        if not isinstance(dispatcher, Dispatcher):
            raise BadOption.of(self.stage, "dispatcher", "a Dispatcher", dispatcher)
        if dispatcher.owner not in (None, self.stage):
            raise BadOption.of(self.stage, "dispatcher", f"its own, not that of {dispatcher.owner!r}", dispatcher)
        dispatcher.owner = self.stage
        self.dispatcher = dispatcher

    # -- emission ----------------------------------------------------------------------------------------------------

    def emit(self, events: Sequence[Any]) -> None:
        """Send to consumers as far as their demand goes, buffer the rest. Raises StageEnded, BadReturn."""
        if not isinstance(events, (list, tuple)) and not is_sequence(events):
            raise BadReturn.of(self.stage, "an emission", "a sequence of events", events)
        if not events:
            return
        if self.stage.state is State.ENDED:
            raise StageEnded(f"{self.stage!r} has ended and emits no more: {self.stage.reason!r}")
        if self._accumulating or self._held_back:
            self._held_back.append((_EVENTS, events))
        elif self.gate is None:
            self.place(events)
        else:
            self._pass_gate(events, self.gate)

    def _pass_gate(self, events: Sequence[Any], gate: EmissionGate) -> None:
        passed = gate.take(len(events))
        if passed:
            self.place(events if passed == len(events) else events[:passed])
        if passed < len(events):
            self._held_back.append((_EVENTS, events[passed:]))

    def place(self, events: Sequence[Any]) -> None:
        """Emit past anything held back: to consumers as far as their demand goes, the rest to the buffer."""
        self.emitted += len(events)
        if self.buffer.events:
            self._store(events)
            self.drain()
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
        self.release(failed, Dropped.NO_PARTITION)

    def drain(self) -> int:
        """Deliver from the buffer whatever the dispatcher can place; returns how many events."""
        served = 0
        while self.buffer.events and self.dispatcher.deliverable:
            events, infos = self.buffer.take(self.dispatcher.deliverable)
            served += len(events)
            deliveries, leftover = self.dispatcher.dispatch(events)
            assert not leftover, "a dispatcher must place what it calls deliverable"
            self.deliver(deliveries, infos)
            if self.dispatcher.reasks or self.dispatcher.undeliverable:
                self._after_dispatch()
        return served

    def deliver(self, deliveries: Deliveries, infos: list[Any]) -> None:
        """Send deliveries to consumers, then the infos that became due."""
        for subscription, part in deliveries:
            subscription.consumer.receive_events(subscription, part)
        for info in infos:
            self._pass_info(info)

    def _store(self, events: Sequence[Any]) -> None:
        dropped, infos = self.buffer.store(events)
        if dropped:
            self.discarded += len(dropped)
            self._report_discarded(len(dropped))
            self.release(dropped, Dropped.OVERFLOW)
        for info in infos:
            self._pass_info(info)

    def _report_discarded(self, count: int) -> None:
        try:
            wanted = self.stage.on_discarded(count)
        except Exception:
            logger.exception("on_discarded of %r failed", self.stage)
            wanted = True
        if wanted:
            logger.warning(
                "%r: buffer full, events discarded (discarded=%d, buffer_size=%s)", self.stage, count, self.buffer.size
            )

    def release(self, events: Sequence[Any], why: Dropped) -> None:
        """Release events to the stage that emitted them: this one."""
        if events:
            try:
                self.stage.on_released(events, why)
            except Exception:
                logger.exception("on_released of %r failed (events=%d)", self.stage, len(events))

    # -- infos -------------------------------------------------------------------------------------------------------

    def info(self, info: Any) -> Awaitable[None] | None:
        """Queue an info after what is held back; return the callback when nothing is."""
        if self._held_back:
            self._held_back.append((_INFO, info))
        elif not self.buffer.mark(info) and self.dispatcher.info(info):
            work: Awaitable[None] | None = self.stage.deliver_info(info)
            return work
        return None

    def _pass_info(self, info: Any) -> None:
        if self.dispatcher.info(info):
            self.stage.post_due_info(info)

    # -- holding back ------------------------------------------------------------------------------------------------

    def demand(self, count: int) -> Awaitable[None] | None:
        """Pass demand on, or hold it back."""
        if self._accumulating or self._held_back or (self.gate is not None and self.gate.closed):
            self._held_back.append((_DEMAND, count))
            return None
        return self.demanded(count)

    @property
    def demand_mode(self) -> DemandMode:
        """`accumulate` while demand and emissions are held back on request."""
        return "accumulate" if self._accumulating else "forward"

    async def set_demand(self, mode: Any, _: Any) -> None:
        """Mailbox function: switch the demand mode; `forward` replays what was held back."""
        self._accumulating = mode == "accumulate"
        await self.replay(None, None)

    async def replay(self, _: Any, __: Any) -> None:
        """Mailbox function: pass on what is held back, as far as it may pass. Demands stay separate."""
        if self._accumulating:
            return
        entries, self._held_back = self._held_back, deque()
        demands: list[int] = []
        for what, value in entries:
            if what == _DEMAND:
                demands.append(value)
            elif self._held_back:  # the gate has closed again
                self._held_back.append((what, value))
            elif what == _EVENTS:
                self.emit(value)
            elif not self.buffer.mark(value):
                self._pass_info(value)
        for count in demands:
            work = self.demand(count)
            if work is not None:
                await work

    def take_unsent(self) -> list[Any]:
        """Remove and return all events that have not left, in order."""
        unsent, _ = self.buffer.clear()
        for what, value in self._held_back:
            if what == _EVENTS:
                unsent.extend(value)
        self._held_back.clear()
        return [*self.dispatcher.close(), *unsent]


def is_sequence(value: object) -> bool:
    """Return True if a value can be a batch of events; a str or bytes is taken for a mistake."""
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))
