"""Shared by all three stage types: the callbacks about subscriptions, and the snapshot of both sides.

It owns no state of its own; the sides, where a stage has them, are `_outlet` and `_inlet`.
"""

from __future__ import annotations

from dataclasses import replace

from ..reasons import Cancellation
from ..status import StageStatus
from .inlet import Inlet
from .outlet import Outlet
from .stage import Stage
from .subscription import Role, Subscription, SubscriptionMode


class ConnectableStage(Stage):
    """A stage that takes part in subscriptions."""

    _stage_outlet: Outlet | None = None
    _stage_inlet: Inlet | None = None

    async def on_subscribe(self, other: Role, subscription: Subscription) -> SubscriptionMode | None:
        """A subscription starts: to a producer, or of a consumer.

        Towards a producer the answer may choose the mode, "automatic" or "manual"; None keeps that of the options.
        """

    async def on_cancel(self, cancellation: Cancellation, subscription: Subscription) -> None:
        """A subscription has ended; called first, whatever the cancel mode then does."""

    def status(self) -> StageStatus:
        """A snapshot, with both sides."""
        return replace(
            super().status(),
            outlet=None if self._stage_outlet is None else self._stage_outlet.status(),
            inlet=None if self._stage_inlet is None else self._stage_inlet.status(self._stage_waiting()),
        )

    def _stage_waiting(self) -> int:
        return 0
