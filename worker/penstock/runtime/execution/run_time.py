"""How long the jobs of this worker take: a moving mean, and what follows from it for how they are asked for and run.

Owns the mean and the two limits below which jobs are short, or instant. Must not know of slots or demand. Surprising:
before the first attempt has ended nothing is known, and jobs count as long.
"""

from __future__ import annotations

SHORT_SECONDS = 0.05
"""Mean run time below which jobs are held ahead of free slots."""
INSTANT_SECONDS = 0.0002
"""Mean run time below which jobs probably wait for nothing, and share asyncio tasks (see chain.py)."""
SMOOTHING = 0.1
"""Weight of a new run time in the mean."""


class RunTimeEstimate:
    """Run times, seen one by one."""

    __slots__ = ("_mean",)

    def __init__(self) -> None:
        self._mean: float | None = None

    def add(self, seconds: float) -> None:
        """An attempt took so long."""
        mean = self._mean
        self._mean = seconds if mean is None else mean + SMOOTHING * (seconds - mean)

    @property
    def is_short(self) -> bool:
        """Whether jobs are short enough to be held ahead of free slots."""
        return self._mean is not None and self._mean < SHORT_SECONDS

    @property
    def is_instant(self) -> bool:
        """Whether jobs are so short that a task of asyncio for each would cost more than they do."""
        return self._mean is not None and self._mean < INSTANT_SECONDS
