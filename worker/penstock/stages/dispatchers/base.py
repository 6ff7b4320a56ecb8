"""The contract of dispatchers, pure: who gets which event, and what demand that leaves for the stage itself.

A dispatcher keeps the open demand of every subscription. It must not send, await or know a stage: its methods return
deliveries, leftovers and upstream demand, and the stage acts on them. `deliverable` counts the events that it could
place right now; it decides whether a buffered event may leave.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

Deliveries = list[tuple[Any, Sequence[Any]]]


class Dispatcher(ABC):
    """One dispatcher belongs to one stage. Subscriptions are opaque: hashable, with `.options` and `.consumer`."""

    owner: Any = None
    """The stage that it belongs to."""

    deliverable: int = 0
    """Events that `dispatch` would take now; the rest would be leftovers."""

    holds_back: bool = False
    """True if it queues events by itself, to be fetched by `collect`."""

    reasks: list[tuple[Any, int]]
    """After a dispatch: demand to enter again on behalf of a subscription whose selector rejected events."""

    undeliverable: list[Any]
    """After a dispatch: events that no consumer may get, for the stage to release."""

    def __init__(self) -> None:
        self.reasks = []
        self.undeliverable = []

    @abstractmethod
    def subscribe(self, subscription: Any) -> int:
        """Add a subscription; returns new upstream demand. Raises SubscriptionRefused."""

    @abstractmethod
    def cancel(self, subscription: Any) -> tuple[int, list[Any], list[Any]]:
        """Remove a subscription. Returns (new upstream demand, events to release, infos that became due)."""

    @abstractmethod
    def ask(self, count: int, subscription: Any) -> int:
        """Enter demand; returns the part of it that is new to the upstream."""

    @abstractmethod
    def dispatch(self, events: Sequence[Any]) -> tuple[Deliveries, Sequence[Any]]:
        """Place events. Returns (deliveries in order, leftovers)."""

    def refund(self, count: int) -> None:  # noqa: B027 - nothing to do where nothing is remembered
        """`count` events that the upstream still owes are served from the stage's buffer instead: they stay owed."""

    def info(self, marker: Any) -> bool:  # noqa: ARG002 - the contract of dispatchers that hold events back
        """True if an info may be delivered now; False: the dispatcher keeps it after the events that it holds back."""
        return True

    def collect(self, subscription: Any) -> tuple[Deliveries, list[Any]]:  # noqa: ARG002
        """After `ask`: (deliveries out of events held back for the subscription, infos that became due)."""
        return [], []

    def close(self) -> list[Any]:
        """The stage ends: events held back, to release."""
        return []
