"""What a stage answers when it is spoken to in a role that it does not have.

It owns the refusals and nothing else: a producer is no consumer, a consumer is no producer. A wrong-role call must
leave both stages alive; it is logged, and events are given back to whoever sent them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from ..errors import NoProducer
from ..reasons import Cancellation, Dropped

logger = logging.getLogger("penstock.stages")


class DeafPorts:
    """Both ports of a stage, refusing; Producer and Consumer override the ones of their role."""

    def receive_subscribe(self, subscription: Any) -> None:
        """Refused: this stage produces nothing."""
        logger.error("%r is no producer: %r is refused", self, subscription)
        subscription.consumer.receive_cancel(subscription, Cancellation(NoProducer(f"{self!r} is no producer")))

    def receive_ask(self, subscription: Any, count: int) -> None:
        """Ignored: this stage produces nothing."""
        logger.error("%r is no producer: an ask of %r for %d events is ignored", self, subscription, count)

    def receive_unsubscribe(self, subscription: Any, cancellation: Cancellation) -> None:
        """Ignored: this stage produces nothing."""
        logger.error("%r is no producer: %r of %r is ignored", self, cancellation, subscription)

    def receive_events(self, subscription: Any, events: Sequence[Any]) -> None:
        """Given back: this stage consumes nothing."""
        logger.error("%r is no consumer: %d events of %r are given back", self, len(events), subscription)
        subscription.released(events, Dropped.LATE)

    def receive_cancel(self, subscription: Any, cancellation: Cancellation) -> None:
        """Ignored: this stage consumes nothing."""
        logger.error("%r is no consumer: %r of %r is ignored", self, cancellation, subscription)
