"""The arithmetic of automatic demand, pure: one `DemandWindow` per subscription.

It owns how many events were asked for and have not been consumed, and when to ask for more. It must not send anything:
its methods return what to ask. The numbers are GenStage's: a delivery is cut from its head into batches of at most
`maximum - minimum`, and when what is outstanding falls to `minimum` or below, the batch that made it fall carries a
demand that tops up to `maximum` again. Each delivery is cut on its own, so deliveries that are smaller than
`maximum - minimum` are never joined.
"""

from __future__ import annotations

from ..errors import BadOption


class DemandWindow:
    """The outstanding demand of one automatic subscription. Bounds: maximum >= 1, 0 <= minimum <= maximum - 1."""

    __slots__ = ("maximum", "minimum", "outstanding", "step")

    def __init__(self, maximum: int = 1000, minimum: int | None = None, *, owner: object = "window") -> None:
        """Check the bounds; `minimum` defaults to half of `maximum`. Raises BadOption, naming `owner`."""
        if not is_count(maximum) or maximum < 1:
            raise BadOption.of(owner, "max_demand", "an integer greater than or equal to 1", maximum)
        if minimum is None:
            minimum = maximum // 2
        if not is_count(minimum) or minimum < 0:
            raise BadOption.of(owner, "min_demand", "an integer greater than or equal to 0", minimum)
        if minimum > maximum - 1:
            rule = f"at most {maximum - 1} (max_demand - 1)"
            raise BadOption.of(owner, "min_demand", rule, minimum)
        self.maximum = maximum
        self.minimum = minimum
        self.step = maximum - minimum
        self.outstanding = 0

    def open(self) -> int:
        """Start, or start again: the first demand, equal to the maximum."""
        self.outstanding = self.maximum
        return self.maximum

    def take(self, count: int) -> int:
        """Consume one batch of at most `step` events; return the demand to send once it is processed (0: none)."""
        left = self.outstanding - count
        if left <= self.minimum:
            if left < 0:
                left = 0
                if not self.outstanding:
                    return 0
            ask = self.maximum - left
            self.outstanding = self.maximum
            return ask
        self.outstanding = left
        return 0

    def split(self, count: int) -> list[tuple[int, int]]:
        """Consume a delivery of `count` events: its batches as (size, demand to send after that batch).

        Events in excess of what was outstanding are still cut into batches, but add no demand.
        """
        batches: list[tuple[int, int]] = []
        counted = min(count, self.outstanding)
        while count > 0:
            size = min(count, self.step)
            used = min(size, counted)
            batches.append((size, self.take(used) if used else 0))
            counted -= used
            count -= size
        return batches


def is_count(value: object) -> bool:
    """Return True if a value is an integer and no bool."""
    return isinstance(value, int) and not isinstance(value, bool)
