"""Suspects: jobs that were running at two crashes. Each runs alone, because a third crash must cost no other job.

Owns the suspects of a worker, waiting and running, and reports their number to the worker's state, which stops claims
and starts meanwhile. Must not start or release anything itself. A job that runs where it can take no neighbor with it,
in a child process, is no suspect.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from penstock.job import ClaimedJob

from ..state import WorkerState

SUSPECT_CRASHES = 2
"""Crashes after which a job is run alone; the third makes a dead letter."""


class Isolation:
    """The suspects of one worker.

    Args:
        state: gets their number.
        can_isolate: whether this worker holds exactly one claim and none is in flight.
        is_isolated: whether a job runs where it can take no other with it.
    """

    __slots__ = ("_can_isolate", "_is_isolated", "_state", "running", "waiting")

    def __init__(
        self, *, state: WorkerState, can_isolate: Callable[[], bool], is_isolated: Callable[[ClaimedJob], bool]
    ) -> None:
        self._state, self._can_isolate, self._is_isolated = state, can_isolate, is_isolated
        self.waiting: list[ClaimedJob] = []
        """Suspects not started, oldest first; written here alone."""
        self.running: ClaimedJob | None = None
        """The suspect that runs; written here alone."""

    def __len__(self) -> int:
        return len(self.waiting) + (self.running is not None)

    def takes(self, job: ClaimedJob) -> bool:
        """Keep the job if it is a suspect; True if it is."""
        if job.crashes < SUSPECT_CRASHES or self._is_isolated(job):
            return False
        self.waiting.append(job)
        self._report()
        return True

    def start_next(self) -> ClaimedJob | None:
        """The suspect to run now, counted as running; None while the worker has any other claim."""
        if self.running is not None or not self.waiting or not self._can_isolate():
            return None
        self.running = self.waiting.pop(0)
        return self.running

    def finished(self, job: ClaimedJob) -> None:
        """An attempt finished; another job's changes nothing."""
        if self.running is job:
            self.running = None
            self._report()

    def take_excess(self) -> list[ClaimedJob]:
        """Remove and return the suspects that keep the first one, or the running one, from being alone."""
        keep = 0 if self.running is not None else 1
        return self._take(self.waiting[keep:])

    def take_all(self) -> list[ClaimedJob]:
        """Remove and return the suspects that wait."""
        return self._take(list(self.waiting))

    def take_claims(self, claims: Collection[tuple[int, int]]) -> list[ClaimedJob]:
        """Remove and return the waiting suspects among these claims, by (id, token)."""
        return self._take([job for job in self.waiting if (job.id, job.token) in claims])

    def take_jobs(self, ids: Collection[int]) -> list[ClaimedJob]:
        """Remove and return the waiting suspects with these ids."""
        return self._take([job for job in self.waiting if job.id in ids])

    def _take(self, jobs: list[ClaimedJob]) -> list[ClaimedJob]:
        if jobs:
            self.waiting = [job for job in self.waiting if not any(job is taken for taken in jobs)]
            self._report()
        return jobs

    def _report(self) -> None:
        self._state.suspects_changed(len(self))
