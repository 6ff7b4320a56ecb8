"""Computes how many jobs a worker asks for. Pure arithmetic over outstanding jobs; no stage and no clock.

Two ways of asking. While jobs are short, up to `max_demand` may be outstanding and demand is emitted when `min_demand`
is reached, so that claims are large. While they are long, or nothing is known yet, no more than the slots, each asked
for as it comes free, so that no job waits in a busy worker while another one idles.
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
        """Jobs to ask for so that no slot stays idle, whatever `min_demand` says; 0: none."""
        return max(0, self.concurrency - outstanding)
