"""Slots needed to start the waiting jobs in time: the drain time of a queue, solved for the number of slots.

Pure arithmetic on one queue. Must not know of replicas, policies or bounds.

A busy slot starts `seconds_left / service` further jobs in the time left, because one follows another. A new slot
starts one more than that, less the startup time of its replica. Replicas that are already starting count with the rest
of their startup time, not all of it; otherwise every sample taken meanwhile would ask for more replicas.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CATCH_UP: Final = 0.25
"""Share of the latency target that always remains. No number of replicas recovers time already lost, and dividing by
the time really left would ask for one slot per job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingJobs:
    """Jobs to start; all times in seconds.

    Args:
        ready: jobs that are ready, or claimed and not started.
        due_soon: deferred jobs that become ready within about a replica's startup time.
        service: how long one job keeps a slot, headroom included; above 0.
        target: the maximum wait wanted.
        waited: how long the oldest has waited already.
        startup: from requesting a replica to its first claim.
    """

    ready: int
    due_soon: int
    service: float
    target: float
    waited: float
    startup: float

    @property
    def seconds_left(self) -> float:
        """Seconds in which the jobs have to start; at least a quarter of the target."""
        return self._at_least_catch_up(self.target - self.waited)

    def slots_needed(self, running: int, starting: int, *, since: float) -> float:
        """Slots needed in addition to those that are running; may be a fraction.

        Args:
            running: slots that are busy.
            starting: slots of replicas that were requested but do not run jobs yet.
            since: seconds since the last of them was requested.
        """
        left = self.ready - running * self.seconds_left / self.service
        if left <= 0:
            return self._slots_for_due(-left)
        per_starting_slot = self._jobs_per_slot(max(0.0, self.startup - since))
        if left <= starting * per_starting_slot:
            return left / per_starting_slot + self._slots_for_due(0.0)
        beyond = left - starting * per_starting_slot
        return starting + beyond / self._jobs_per_slot(self.startup) + self._slots_for_due(0.0)

    def _slots_for_due(self, spare: float) -> float:
        """A replica requested now is ready by the time they are due, so its startup costs them nothing."""
        return max(0.0, self.due_soon - spare) / (1.0 + self.target / self.service)

    def _jobs_per_slot(self, delay: float) -> float:
        """Jobs that one slot starts in the time left if it becomes available after `delay`."""
        return 1.0 + self._at_least_catch_up(self.target - self.waited - delay) / self.service

    def _at_least_catch_up(self, seconds: float) -> float:
        return max(seconds, self.target * CATCH_UP)
