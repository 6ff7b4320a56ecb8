"""Estimates the run time of this worker's jobs: a moving mean, and the two limits that follow from it.

Knows nothing of slots or demand. Before the first attempt has finished nothing is known, and jobs count as long.
"""

from __future__ import annotations

SHORT_SECONDS = 0.05
"""Mean run time below which jobs are claimed ahead of free slots."""
INSTANT_SECONDS = 0.0002
"""Mean run time below which jobs probably never await, and share asyncio tasks (see task_reuse.py)."""
SMOOTHING = 0.1
"""Weight of a new run time in the mean."""


class RunTimeEstimate:
    """The moving mean of run times."""

    __slots__ = ("_mean",)

    def __init__(self) -> None:
        self._mean: float | None = None

    def add(self, seconds: float) -> None:
        """An attempt took this long."""
        mean = self._mean
        self._mean = seconds if mean is None else mean + SMOOTHING * (seconds - mean)

    @property
    def is_short(self) -> bool:
        """True if jobs are short enough to be claimed ahead of free slots."""
        return self._mean is not None and self._mean < SHORT_SECONDS

    @property
    def is_instant(self) -> bool:
        """True if an asyncio task for each job would cost more than the job does."""
        return self._mean is not None and self._mean < INSTANT_SECONDS
