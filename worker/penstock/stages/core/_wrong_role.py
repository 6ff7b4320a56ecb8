"""Refusals of calls in a role that a stage does not have.

A producer is not a consumer, and a consumer is not a producer. A wrong-role call must leave both stages alive; it is
logged, and events are released to the stage that sent them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from ..errors import NoProducer
from ..reasons import Cancellation, Dropped

logger = logging.getLogger("penstock.stages")


class WrongRolePorts:
    """Both ports of a stage, refusing; Producer and Consumer override the ones of their role."""

    def receive_subscribe(self, subscription: Any) -> None:
        """Refused: this stage produces nothing."""
        logger.error("%r is not a producer; refusing %r", self, subscription)
        subscription.consumer.receive_cancel(subscription, Cancellation(NoProducer(f"{self!r} is not a producer")))

    def receive_ask(self, subscription: Any, count: int) -> None:
        """Ignored: this stage produces nothing."""
        logger.error("%r is not a producer; ignoring an ask (subscription=%r, events=%d)", self, subscription, count)

    def receive_unsubscribe(self, subscription: Any, cancellation: Cancellation) -> None:
        """Ignored: this stage produces nothing."""
        logger.error("%r is not a producer; ignoring %r of %r", self, cancellation, subscription)

    def receive_events(self, subscription: Any, events: Sequence[Any]) -> None:
        """Released: this stage consumes nothing."""
        logger.error(
            "%r is not a consumer; releasing events (events=%d, subscription=%r)", self, len(events), subscription
        )
        subscription.released(events, Dropped.LATE)

    def receive_cancel(self, subscription: Any, cancellation: Cancellation) -> None:
        """Ignored: this stage consumes nothing."""
        logger.error("%r is not a consumer; ignoring %r of %r", self, cancellation, subscription)
