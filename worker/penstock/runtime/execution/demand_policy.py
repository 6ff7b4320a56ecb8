"""Computes how many jobs a worker asks for. Pure arithmetic over outstanding jobs; no stage and no clock.

While jobs are short, up to `max_demand` may be outstanding, and demand is emitted once it reaches `min_demand`, because
large claims are cheaper. While jobs are long, or their run time is unknown, the worker asks for one job for each slot
that becomes free: otherwise jobs would wait in a busy worker while another one idles.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandPolicy:
    """The demand of one worker.

    Attributes:
        concurrency: attempts that run at once.
        min_demand: while jobs are short, ask again when this many or fewer are outstanding.
        max_demand: never have more outstanding.
    """

    concurrency: int
    min_demand: int
    max_demand: int

    def to_ask(self, outstanding: int, *, prefetching: bool) -> int:
        """Jobs to ask for now; 0: none.

        Args:
            outstanding: running, waiting for a slot, or asked for and not delivered.
            prefetching: jobs are short.
        """
        if prefetching:
            window, level = self.max_demand, self.min_demand
        else:
            window = min(self.max_demand, self.concurrency)
            level = window - 1
        return window - outstanding if outstanding <= level else 0

    def to_fill_slots(self, outstanding: int) -> int:
        """Jobs to ask for to fill every idle slot, whatever `min_demand` is; 0: none."""
        return max(0, self.concurrency - outstanding)
