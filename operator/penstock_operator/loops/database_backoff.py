"""The pause before a failed database is tried again. Pure.

Nothing that comes from the database shortens a pause. A server controls when its process exits and when a wake-up
arrives, so each of these would get it another process at once. Only a change of the JobQueues ends a pause early.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from ..database.failure_reasons import MISBEHAVES
from ..resources.conditions import Problem

RETRY_SECONDS: Final = (1.0, 2.0, 5.0, 10.0)
"""Pauses while the database cannot be sampled."""
REST_SECONDS: Final = (10.0, 20.0, 40.0, 60.0)
"""The same for one that exceeded its limits: what it costs until it is stopped is spent at most so often."""

FORGET_SECONDS: Final = 120.0
"""One that exceeds its limits again so soon after a pause has the next longer one, also if it answered between."""

Wanted = Mapping[str, int]
"""Generations of the JobQueues by uid."""


class DatabaseBackoff:
    """The pauses of one database.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._until = self._remembered_until = float("-inf")
        self._failure: tuple[Wanted, Problem] | None = None

    @property
    def failing(self) -> bool:
        """True if the last sample did not succeed."""
        return self._failure is not None

    @property
    def left(self) -> float:
        """Seconds until the next try, 0 when it is due."""
        return max(0.0, self._until - self._clock())

    def problem(self, wanted: Wanted) -> Problem | None:
        """The last failure while its pause lasts and the same is wanted; None: try."""
        if self._failure is None or self.left == 0.0 or self._failure[0] != wanted:
            return None
        return self._failure[1]

    def ended(self, wanted: Wanted, problem: Problem | None) -> None:
        """Take the outcome of a sample."""
        if problem is None:
            self.succeeded()
        else:
            self.failed(wanted, problem)

    def failed(self, wanted: Wanted, problem: Problem) -> None:
        """Start a pause, longer than the last one."""
        self._failures += 1
        rests = problem[0] == MISBEHAVES
        pauses = REST_SECONDS if rests else RETRY_SECONDS
        self._until = self._clock() + pauses[min(self._failures, len(pauses)) - 1]
        if rests:
            self._remembered_until = self._until + FORGET_SECONDS
        self._failure = (wanted, problem)

    def succeeded(self) -> None:
        """The database was sampled."""
        self._until, self._failure = float("-inf"), None
        if self._clock() >= self._remembered_until:
            self._failures = 0
