"""The inbound queue of a producer-consumer, pure: what arrived from its producers and has not been processed.

It owns the order of deliveries, infos and cancellations among each other. It must not process anything: `take` returns
the next entry that may be processed. A delivery may be processed only while there is demand from downstream; an
info or a cancellation waits only for the deliveries before it. A delivery is taken whole, even when the demand is for
one event.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Delivery:
    """Events that arrived together through one subscription."""

    subscription: Any
    events: Any


class InboundQueue:
    """Deliveries and controls (infos, cancellations) in order of arrival."""

    __slots__ = ("_entries", "events")

    def __init__(self) -> None:
        self._entries: deque[Any] = deque()
        self.events = 0  # events waiting, over all deliveries

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, entry: Any) -> None:
        """Append a `Delivery`, or anything else as a control."""
        self._entries.append(entry)
        if type(entry) is Delivery:
            self.events += len(entry.events)

    def take(self, demand: int) -> Any | None:
        """Remove and return the next entry that may be processed at this demand; None when there is none."""
        entries = self._entries
        if not entries:
            return None
        entry = entries[0]
        if type(entry) is Delivery:
            if demand <= 0:
                return None
            self.events -= len(entry.events)
        entries.popleft()
        return entry

    def clear(self) -> list[Any]:
        """Remove and return all entries, in order."""
        entries = list(self._entries)
        self._entries.clear()
        self.events = 0
        return entries
