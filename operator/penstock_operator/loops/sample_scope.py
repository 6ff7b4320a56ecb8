"""Selects the queues of the next sample: all when a poll is due, otherwise those that changed. Pure.

A wake-up names its queue, and a change of a pod names its JobQueue. With hundreds of queues in one database, a sample
of one costs a fraction of a sample of all, and its first pod starts that much sooner. Regular samples of all queues
find what a lost wake-up missed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

Generations = Mapping[str, int]
"""Generations of JobQueues by uid."""


class SampleScope:
    """The scope of the samples of one database.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._all_at = float("-inf")
        self._sampled: Generations = {}

    @property
    def left(self) -> float:
        """Seconds until all queues are to be sampled; 0 when that is due."""
        return max(0.0, self._all_at - self._clock())

    def want_all(self) -> None:
        """The next sample covers all queues: which ones there are may have changed, or one of some has failed."""
        self._all_at = float("-inf")

    def sampled_all(self, queues: Generations, seconds: float) -> None:
        """All queues were sampled as they were then; the next such sample is due in so many seconds."""
        self._sampled, self._all_at = dict(queues), self._clock() + seconds

    def within(self, seconds: float) -> None:
        """Sample all queues within so many seconds, if that is not due sooner."""
        self._all_at = min(self._all_at, self._clock() + seconds)

    def suffices(self, queues: Generations) -> bool:
        """Return True if a sample of some queues is enough now: all were sampled lately, as they still are."""
        return self.left > 0.0 and self._sampled == queues
