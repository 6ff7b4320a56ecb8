"""The rate limit of a pipeline's sources: a number of events per window, over all its producers.

`RateLimit` is pure: it counts down and is reset by the owner of the clock. A source without room left keeps what it
emits and receives no demand until the window is reset; then what it kept goes first, and the demands follow one by one.
It must drop neither. A fixed window lets through up to twice its number around its edge.
"""

from __future__ import annotations

from ..errors import BadOption


class RateLimit:
    """At most `allowed` events per `interval` seconds, shared by everything that holds this object."""

    def __init__(self, allowed: int, interval: float) -> None:
        self._check(allowed, interval)
        self.allowed = allowed
        self.interval = interval
        self.left = allowed

    def take(self, count: int) -> int:
        """Use up to `count`; returns how many may pass."""
        passed = min(count, self.left)
        self.left -= passed
        return passed

    @property
    def closed(self) -> bool:
        """Nothing may pass until the next window."""
        return self.left <= 0

    def reset(self) -> None:
        """Start a new window."""
        self.left = self.allowed

    def update(self, *, allowed: int | None = None, interval: float | None = None, reset: bool = False) -> None:
        """Change the limit from the next window on, with `reset` at once. Raises BadOption."""
        allowed = self.allowed if allowed is None else allowed
        interval = self.interval if interval is None else interval
        self._check(allowed, interval)
        self.allowed, self.interval = allowed, interval
        if reset:
            self.reset()

    @staticmethod
    def _check(allowed: int, interval: float) -> None:
        if allowed < 1:
            raise BadOption.of("rate limit", "allowed", "at least 1 event", allowed)
        if interval <= 0:
            raise BadOption.of("rate limit", "interval", "more than 0 seconds", interval)
