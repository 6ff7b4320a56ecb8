"""Releases events that are dropped before a consumer has finished them.

Every path that drops events ends here: overflow, a partition whose consumer left, the death of a stage that had
them, a late delivery, a drain that timed out. It must neither raise nor await: it is called while stages end. A plain
event is lost; only an event with an attribute `acknowledger` is returned to it, unless the stage that emitted it
overrides `on_released`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from .reasons import Dropped

logger = logging.getLogger(__name__)


@runtime_checkable
class Releases(Protocol):
    """The interface that an event's `acknowledger` must have."""

    def release(self, events: Sequence[Any], why: Dropped) -> None:
        """Take events back unfinished. Called synchronously, once per event and drop."""


def release(events: Sequence[Any], why: Dropped) -> None:
    """Pass events to their acknowledgers, one call per acknowledger, in order. Events without one are gone."""
    groups: dict[int, tuple[Releases, list[Any]]] = {}
    for event in events:
        settle = getattr(event, "settle", None)  # an event that knows when it is settled goes back only once
        acknowledger = getattr(event, "acknowledger", None) if settle is None else settle()
        if acknowledger is not None:
            groups.setdefault(id(acknowledger), (acknowledger, []))[1].append(event)
    for acknowledger, own in groups.values():
        try:
            acknowledger.release(own, why)
        except Exception:
            logger.exception("acknowledger %r failed to release (events=%d)", acknowledger, len(own))
