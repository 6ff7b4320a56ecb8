"""The default dispatcher, pure: each event goes to one consumer, the one with the largest open demand.

It keeps consumers in descending order of open demand; among equals the one that reached the value first is ahead, so
equal demands and small emissions make an exact round robin, and one large emission fills the head before the next. It
must not forget the demand of a consumer that left: the upstream was already asked for it, so the next one to ask is
covered by that `pending` part first. Orders as in GenStage's DemandDispatcher.
"""

from __future__ import annotations

import logging
from bisect import bisect_left, insort
from collections.abc import Sequence
from random import Random
from typing import Any

from ..errors import BadOption
from .base import Deliveries, Dispatcher

logger = logging.getLogger(__name__)


class DemandDispatcher(Dispatcher):
    """Largest open demand first.

    Args:
        shuffle: order the consumers at random for the first dispatch; otherwise the first subscriber always receives
            the first events.
        max_demand: an ask above it logs a warning; default: the first ask.
        rng: the source of the shuffle.
    """

    def __init__(self, *, shuffle: bool = False, max_demand: int | None = None, rng: Random | None = None) -> None:
        super().__init__()
        if max_demand is not None and (max_demand < 1):
            raise BadOption.of("DemandDispatcher", "max_demand", "None or an integer of at least 1", max_demand)
        self.pending = 0
        self._max_demand = max_demand
        self._shuffle = (rng or Random()) if shuffle else None  # noqa: S311 - fairness, not secrecy
        self._entries: dict[Any, tuple[int, int, Any]] = {}
        self._order: list[tuple[int, int, Any]] = []  # (-open demand, rank, subscription): sorted, ranks are unique
        self._rank = 0

    def subscribe(self, subscription: Any) -> int:
        """Add a subscription; see `Dispatcher`."""
        self._place(subscription, 0)
        return 0

    def cancel(self, subscription: Any) -> tuple[int, list[Any], list[Any]]:
        """Remove a subscription; see `Dispatcher`."""
        left = self._remove(subscription)
        del self._entries[subscription]
        self.deliverable -= left
        self.pending += left
        return 0, [], []

    def ask(self, count: int, subscription: Any) -> int:
        """Enter demand; see `Dispatcher`."""
        if self._max_demand is None:
            self._max_demand = count
        elif count > self._max_demand:
            logger.warning(
                "%r asked for more than max_demand (asked=%d, max_demand=%d); consumers of one producer should use the "
                "same max_demand, or the largest asker starves the others",
                subscription,
                count,
                self._max_demand,
            )
        self._place(subscription, self._remove(subscription) + count)
        self.deliverable += count
        covered = min(self.pending, count)
        self.pending -= covered
        return count - covered

    def dispatch(self, events: Sequence[Any]) -> tuple[Deliveries, Sequence[Any]]:
        """Place events; see `Dispatcher`."""
        if self._shuffle is not None:
            self._shuffle_once(self._shuffle)
        count = len(events)
        order = self._order
        deliveries: Deliveries = []
        start = 0
        while start < count and order:
            negative, _, subscription = order[0]
            if not negative:
                break
            size = min(-negative, count - start)
            deliveries.append((subscription, events if size == count else events[start : start + size]))
            del order[0]
            self._place(subscription, -negative - size)
            start += size
        if not start:
            self.pending = max(0, self.pending - count)
            return deliveries, events
        self.deliverable -= start
        self.pending = max(0, self.pending - (count - start))
        return deliveries, events[start:]

    def refund(self, count: int) -> None:
        """Keep demand owed; see `Dispatcher`."""
        self.pending += count

    def demands(self) -> list[tuple[int, Any]]:
        """The consumers in order of service: (open demand, subscription)."""
        return [(-negative, subscription) for negative, _, subscription in self._order]

    def _place(self, subscription: Any, demand: int) -> None:
        self._rank += 1
        entry = (-demand, self._rank, subscription)
        self._entries[subscription] = entry
        order = self._order
        if order:
            insort(order, entry)
        else:
            order.append(entry)

    def _remove(self, subscription: Any) -> int:
        entry = self._entries[subscription]
        order = self._order
        if len(order) == 1:
            order.clear()
        else:
            del order[bisect_left(order, entry)]
        return -entry[0]

    def _shuffle_once(self, rng: Random) -> None:
        """A random head for one dispatch: what follows is ordered by demand again, ties by the drawn order."""
        self._shuffle = None
        drawn = [subscription for _, _, subscription in self._order]
        rng.shuffle(drawn)
        demands = {subscription: -self._entries[subscription][0] for subscription in drawn}
        self._order.clear()
        for subscription in drawn:
            self._rank += 1
            entry = (-demands[subscription], self._rank, subscription)
            self._entries[subscription] = entry
            insort(self._order, entry)
