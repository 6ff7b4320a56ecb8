"""How many slots must come for the jobs that wait to start in time: the drain time of a queue, read backwards.

Pure arithmetic on one queue. Must not know of replicas, policies or bounds.

A slot that is busy starts `left / service` further jobs in the time left, for one after the other comes free. A slot
that is yet to come starts one more than that, less what its replica needs to start. Replicas on their way count with
the rest of their start, not with the whole: otherwise each look at a queue whose replicas are starting would find less
time left, and ask for more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CATCH_UP: Final = 0.25
"""Share of the latency target that is always left. Lost time cannot be won back by any number of replicas, and dividing
by what is really left would ask for one slot per job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Jobs that are to start, all times in seconds.

    Args:
        jobs: that are ready, or held unstarted.
        due: deferred ones that become ready within about a replica's start.
        service: how long one keeps a slot, headroom included.
        latency: the longest wait that is wanted.
        waited: what the oldest has waited already.
        startup: from wanting a replica to its first claim.
    """

    jobs: int
    due: int
    service: float
    latency: float
    waited: float
    startup: float

    @property
    def left(self) -> float:
        """Seconds in which the jobs are to start."""
        return self._at_least_some(self.latency - self.waited)

    def slots(self, running: int, starting: int, *, since: float) -> float:
        """Slots that are needed beside the `running` ones; a fraction counts.

        Args:
            running: slots that are busy.
            starting: slots of replicas that are wanted but do not run jobs yet.
            since: seconds since the last of them was wanted.
        """
        left = self.jobs - running * self.left / self.service
        if left <= 0:
            return self._of_due(-left)
        soon = self._per_slot(max(0.0, self.startup - since))
        if left <= starting * soon:
            return left / soon + self._of_due(0.0)
        return starting + (left - starting * soon) / self._per_slot(self.startup) + self._of_due(0.0)

    def _of_due(self, spare: float) -> float:
        """A replica wanted now is there when they are due, so its start costs them nothing."""
        return max(0.0, self.due - spare) / (1.0 + self.latency / self.service)

    def _per_slot(self, delay: float) -> float:
        """Jobs that one slot starts in the time left if it comes after `delay`."""
        return 1.0 + self._at_least_some(self.latency - self.waited - delay) / self.service

    def _at_least_some(self, seconds: float) -> float:
        return max(seconds, self.latency * CATCH_UP)
