"""One subscription: the link between one consumer and one producer, and the ports that both ends speak through.

The object is the tag: both sides know it by identity, a new subscription is a new object, so a late event of an old one
is recognized. It must not store events. `cancel` is a request; events that were sent before the producer saw it still
arrive, and only then the subscription ends for the consumer, with the effect that its cancel mode says.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ..errors import BadOption
from ..reasons import NORMAL, Cancellation, CancelMode, Dropped
from .window import DemandWindow, is_count

if TYPE_CHECKING:
    from ..exponential_backoff import ExponentialBackoff

logger = logging.getLogger(__name__)

SubscriptionMode = Literal["automatic", "manual"]


class Role(Enum):
    """The role of the other stage of a subscription, for the stage whose `on_subscribe` is called."""

    PRODUCER = "producer"
    CONSUMER = "consumer"


class ProducerPort(Protocol):
    """The messages from a consumer to a producer. None of these awaits or calls back."""

    def receive_subscribe(self, subscription: Subscription) -> None:
        """A new subscription."""

    def receive_ask(self, subscription: Subscription, count: int) -> None:
        """Demand for `count` more events."""

    def receive_unsubscribe(self, subscription: Subscription, cancellation: Cancellation) -> None:
        """The consumer cancels, or has ended."""

    def on_released(self, events: Sequence[Any], why: Dropped) -> None:
        """Events of this producer come back unfinished."""


class ConsumerPort(Protocol):
    """The messages from a producer to a consumer. None of these awaits or calls back."""

    def receive_events(self, subscription: Subscription, events: Sequence[Any]) -> None:
        """Events that were asked for; never empty."""

    def receive_cancel(self, subscription: Subscription, cancellation: Cancellation) -> None:
        """The producer confirms a cancel, refuses, or has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionOptions:
    """The options of a subscription.

    Args:
        max_demand: maximum of events asked for and not consumed, at least 1; default 1000.
        min_demand: ask again when as few are left, 0 to max_demand - 1; default max_demand // 2.
        cancel: the effect of an ended subscription on the consumer; default PERMANENT, with `resubscribe` TEMPORARY.
        mode: "automatic" asks by itself; "manual" leaves it to `Subscription.ask`; default "automatic".
        resubscribe: subscribe again after the producer ended, with these delays.
        selector: for broadcasts, the events that this consumer wants.
        partition: for partitions, the one that this consumer takes.
        extra: anything else, for a dispatcher or an `on_subscribe` of your own.

    Raises BadOption.
    """

    max_demand: int = 1000
    min_demand: int | None = None
    cancel: CancelMode | None = None
    mode: SubscriptionMode = "automatic"
    resubscribe: ExponentialBackoff | None = None
    selector: Callable[[Any], object] | None = None
    partition: Hashable = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        DemandWindow(self.max_demand, self.min_demand, owner="subscription")
        if self.cancel is not None and not isinstance(self.cancel, CancelMode):
            raise BadOption.of("subscription", "cancel", "one of CancelMode", self.cancel)
        if self.mode not in ("automatic", "manual"):
            raise BadOption.of("subscription", "mode", "'automatic' or 'manual'", self.mode)
        if self.selector is not None and not callable(self.selector):
            raise BadOption.of("subscription", "selector", "a function of one event", self.selector)

    def window(self) -> DemandWindow:
        """A new demand window with these bounds."""
        return DemandWindow(self.max_demand, self.min_demand)

    @property
    def cancel_mode(self) -> CancelMode:
        """The mode that holds, with the default filled in."""
        if self.cancel is None:
            return CancelMode.PERMANENT if self.resubscribe is None else CancelMode.TEMPORARY
        return self.cancel


class Subscription:
    """The link of one consumer to one producer. Compared by identity."""

    __slots__ = ("_cancelled", "consumer", "installed", "options", "producer", "replaces", "target", "window")

    def __init__(
        self,
        consumer: ConsumerPort,
        target: Any,
        options: SubscriptionOptions | None = None,
        *,
        replaces: tuple[Subscription, object] | None = None,
    ) -> None:
        self.consumer = consumer
        self.target = target
        """The target of the subscription: a producer, or a name."""
        self.options = options or SubscriptionOptions()
        self.replaces = replaces
        self.producer: ProducerPort | None = None
        self.window: DemandWindow | None = None
        self.installed = False
        self._cancelled: Cancellation | None = None

    def __repr__(self) -> str:
        return f"<subscription of {self.consumer!r} to {self.producer or self.target!r}>"

    @property
    def active(self) -> bool:
        """Installed and not cancelled."""
        return self.installed and self._cancelled is None

    @property
    def cancelled(self) -> Cancellation | None:
        """The cancellation that was requested or has happened; None before."""
        return self._cancelled

    def ask(self, count: int) -> None:
        """Ask for `count` more events (manual mode). 0, or a subscription that has ended, does nothing.

        Raises BadOption for anything but an integer of at least 0.
        """
        if not is_count(count) or count < 0:
            raise BadOption.of(self, "count", "an integer greater than or equal to 0", count)
        if count and self._cancelled is None and self.producer is not None:
            self.producer.receive_ask(self, count)

    def cancel(self, reason: object = NORMAL) -> None:
        """Ask the producer to cancel this subscription. Idempotent; once it has ended, does nothing."""
        if self._cancelled is None:
            self._cancelled = Cancellation(reason)
            if self.installed and self.producer is not None:
                self.producer.receive_unsubscribe(self, self._cancelled)

    def end(self, cancellation: Cancellation) -> None:
        """The consumer's side has seen that it ended."""
        self.installed = False
        self._cancelled = cancellation

    def released(self, events: Sequence[Any], why: Dropped) -> None:
        """Release events to the producer that emitted them."""
        if not events or self.producer is None:
            return
        try:
            self.producer.on_released(events, why)
        except Exception:
            logger.exception("on_released of %r failed (events=%d)", self.producer, len(events))
