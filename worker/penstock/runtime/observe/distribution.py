"""Values counted by upper bound, as a Prometheus histogram exposes them. Pure; written by the event loop alone."""

from __future__ import annotations

from bisect import bisect_left, bisect_right


class Distribution:
    """Counts of values by upper bound, and their sum; one addition for each value."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds, self._counts, self._sum = bounds, [0] * (len(bounds) + 1), 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def add_all(self, values: list[float]) -> None:
        """Count many values; sorts the list. One search for each bound, not one for each value."""
        values.sort()
        below = 0
        for place, bound in enumerate(self._bounds):
            upto = bisect_right(values, bound, below)
            self._counts[place] += upto - below
            below = upto
        self._counts[-1] += len(values) - below
        self._sum += sum(values)

    def buckets(self) -> tuple[list[tuple[str, float]], float]:
        """Cumulative counts by bound, as the exposition wants them, and the sum."""
        total, cumulative = 0, []
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            cumulative.append((bound, float(total)))
        return cumulative, self._sum
