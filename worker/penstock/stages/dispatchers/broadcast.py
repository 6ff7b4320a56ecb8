"""The broadcast dispatcher, pure: every consumer gets every event, so the slowest sets the pace.

`deliverable` is the common level: the events that all consumers have asked for and not received. What a consumer
asked beyond it is its surplus. A new subscriber resets the level to 0 until it asks; one that leaves may raise it. It
must not ask the upstream twice for the same event: `requested` counts what was asked and not delivered. Start the
producer with `demand="accumulate"`; otherwise the first subscriber alone gets the first events. Levels as in
GenStage's BroadcastDispatcher; a delivery of which a selector left nothing is not sent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import BadOption, SubscriptionRefused
from ..reasons import Exit
from .base import Deliveries, Dispatcher

logger = logging.getLogger(__name__)


class BroadcastDispatcher(Dispatcher):
    """Every event to every consumer; a subscription's `selector` chooses which events it wants to see."""

    def __init__(self) -> None:
        super().__init__()
        self.requested = 0
        self._surplus: dict[Any, int] = {}

    def subscribe(self, subscription: Any) -> int:
        """Add a subscription; see `Dispatcher`."""
        consumer = subscription.consumer
        if any(other.consumer is consumer for other in self._surplus):
            logger.error("%r already subscribes to this broadcast; refusing the new subscription", consumer)
            message = f"{consumer!r} may subscribe only once to a broadcast"
            raise SubscriptionRefused(message, Exit.ALREADY_SUBSCRIBED)
        selector = subscription.options.selector
        if selector is not None and not callable(selector):
            raise BadOption.of(subscription, "selector", "a function of one event", selector)
        self._lower(-self.deliverable)
        self.deliverable = 0
        self._surplus[subscription] = 0
        return 0

    def cancel(self, subscription: Any) -> tuple[int, list[Any], list[Any]]:
        """Remove a subscription; see `Dispatcher`."""
        del self._surplus[subscription]
        if not self._surplus:
            self.deliverable = 0
            return 0, [], []
        return self._level(), [], []

    def ask(self, count: int, subscription: Any) -> int:
        """Enter demand; see `Dispatcher`."""
        self._surplus[subscription] += count
        return self._level()

    def dispatch(self, events: Sequence[Any]) -> tuple[Deliveries, Sequence[Any]]:
        """Place events; see `Dispatcher`."""
        level = self.deliverable
        if not level:
            return [], events
        now, later = (events, events[:0]) if len(events) <= level else (events[:level], events[level:])
        self.deliverable -= len(now)
        self.requested -= len(now)
        deliveries: Deliveries = []
        for subscription in self._surplus:
            wanted = now
            selector = subscription.options.selector
            if selector is not None:
                wanted = [event for event in now if _selected(selector, event, subscription)]
                if len(wanted) < len(now):
                    self.reasks.append((subscription, len(now) - len(wanted)))
            if wanted:
                deliveries.append((subscription, wanted))
        return deliveries, later

    def _level(self) -> int:
        lowest = max(0, min(self._surplus.values()))
        self._lower(lowest)
        self.deliverable += lowest
        new = max(0, self.deliverable - self.requested)
        self.requested += new
        return new

    def _lower(self, by: int) -> None:
        if by:
            for subscription in self._surplus:
                self._surplus[subscription] -= by


def _selected(selector: Callable[[Any], object], event: Any, subscription: Any) -> bool:
    try:
        return bool(selector(event))
    except Exception:
        logger.exception("selector of %r failed; skipping the event", subscription)
        return False
