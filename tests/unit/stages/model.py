"""A tiny reference model of a producing stage: plain lists, written for clarity, not for speed.

It says what must be delivered to whom and what must be asked upstream, for the demand dispatcher with a buffer.
"""

from __future__ import annotations


class Model:
    """Consumers by name; events are any values."""

    def __init__(self, size: int | None = None, keep: str = "last") -> None:
        self.size = size
        self.keep = keep
        self.order: list[list] = []  # [name, open demand]: head is served next
        self.pending = 0
        self.buffer: list = []
        self.delivered: dict[str, list] = {}
        self.upstream: list[int] = []
        self.dropped: list = []

    def subscribe(self, name: str) -> None:
        self.delivered.setdefault(name, [])
        self._place([name, 0])

    def cancel(self, name: str) -> None:
        self.pending += self._remove(name)[1]

    def ask(self, name: str, count: int) -> None:
        entry = self._remove(name)
        self._place([name, entry[1] + count])
        served = self._give(self.buffer)
        self.buffer = self.buffer[served:]
        missing = count - served
        covered = min(self.pending, missing)
        self.pending -= covered
        if missing - covered:
            self.upstream.append(missing - covered)

    def emit(self, events: list) -> None:
        rest = events if self.buffer else events[self._give(events) :]
        if not self.buffer:
            self.pending = max(0, self.pending - len(rest))
        room = len(rest) if self.size is None else self.size - len(self.buffer)
        if len(rest) <= room:
            self.buffer += rest
        elif self.keep == "first":
            self.buffer += rest[:room]
            self.dropped += rest[room:]
        else:
            whole = self.buffer + rest
            cut = len(whole) - (self.size or 0)
            self.dropped += whole[:cut]
            self.buffer = whole[cut:]

    def _give(self, events: list) -> int:
        given = 0
        while given < len(events) and self.order and self.order[0][1]:
            name, demand = self.order.pop(0)
            count = min(demand, len(events) - given)
            self.delivered[name] += events[given : given + count]
            given += count
            self._place([name, demand - count])
        return given

    def _remove(self, name: str) -> list:
        entry = next(entry for entry in self.order if entry[0] == name)
        self.order.remove(entry)
        return entry

    def _place(self, entry: list) -> None:
        """After all that are as large or larger."""
        position = next((index for index, other in enumerate(self.order) if other[1] < entry[1]), len(self.order))
        self.order.insert(position, entry)
