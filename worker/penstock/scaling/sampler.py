"""Converts samples of a queue to the snapshot that `decide()` reads: current counts, rates over a sliding window.

Pure: it is given samples and times, and asks nobody. One sampler for each queue. Completions come from the workers' own
counts, which they report with their lease, so they lag by a third of a lease; ready and in flight are exact. A rate
that cannot be known yet (one sample, capped counts) is None, never 0.

Mean service time is Little's law read backwards: the time that slots were busy, divided by the attempts that finished.
Both are taken from one report of a worker to its next, because the counts are late: at the start of a burst slots would
be busy with nothing finished, and after it attempts would finish with nothing busy.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from .types import QueueSnapshot

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence


class QueueCounts(Protocol):
    """One sample of a queue from the store; each of `workers` has id, concurrency, in_flight and done."""

    @property
    def ready(self) -> int:
        """Jobs that could start now."""

    @property
    def capped(self) -> bool:
        """True if the counts stopped at a cap."""

    @property
    def deferred(self) -> int:
        """Jobs that are not due yet."""

    @property
    def due_soon(self) -> int:
        """Those of them that are within about a pod's start."""

    @property
    def in_flight(self) -> int:
        """Claimed jobs."""

    @property
    def dead(self) -> int:
        """Dead letters."""

    @property
    def oldest(self) -> float | None:
        """Seconds that the oldest ready job has waited."""

    @property
    def workers(self) -> Sequence[dict[str, Any]]:
        """The workers that are not lost."""


WINDOW_SECONDS = 20.0
"""Four reports of a worker with the default lease of 15 s: long enough to be fair, short enough to follow a burst."""
MIN_WINDOW_SECONDS = 2.0
"""Minimum time between the oldest sample and the newest for a rate."""

MIN_SERVICE_SECONDS = 0.001
"""Lower bound of the mean: jobs that no sample finds running are shorter than can be measured."""
REMEMBERED_ATTEMPTS = 20
"""Attempts that left the window together weigh as much as this many: the first new one must not overturn the mean."""
IDLE_SHARE = 0.1
"""Share of a busy slot for each idle slot: a worker that was idle at its last report may be busy by now."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """One sample. `finished` counts attempts since the sampler started."""

    at: float
    running: int
    unfinished: int
    finished: int
    capped: bool


@dataclass(frozen=True, slots=True)
class _Report:
    """By how much a worker's count rose, and its busy slot-seconds since the rise before."""

    at: float
    finished: float
    busy: float


class Sampler:
    """The recent rates of one queue."""

    def __init__(self, *, window_seconds: float = WINDOW_SECONDS) -> None:
        self._window = window_seconds
        self._samples: deque[_Sample] = deque()
        self._reports: deque[_Report] = deque()
        self._done: dict[int, int] = {}
        self._busy: dict[int, float] = {}
        self._past = _Report(float("-inf"), 0, 0.0)

    @property
    def finished(self) -> int:
        """Attempts that finished since the first sample, as far as workers have reported them."""
        return self._samples[-1].finished if self._samples else 0

    def add(self, state: QueueCounts, now: float, *, stopping: Container[str] = ()) -> QueueSnapshot:
        """Add a sample taken at `now`; the snapshot for a decision.

        Args:
            state: the store's snapshot of the queue.
            now: monotonic seconds.
            stopping: pods that are being deleted; their workers drain, also those too old to say so.
        """
        self._add(state, now)
        first, last = self._samples[0], self._samples[-1]
        seconds = last.at - first.at
        arrivals = completions = None
        if seconds >= MIN_WINDOW_SECONDS and not any(sample.capped for sample in (first, last)):
            finished = last.finished - first.finished
            completions = finished / seconds
            arrivals = max(0, last.unfinished - first.unfinished + finished) / seconds
        return QueueSnapshot(
            ready=state.ready,
            deferred=state.deferred,
            due_soon=state.due_soon,
            in_flight=state.in_flight,
            dead=state.dead,
            oldest_ready_seconds=state.oldest,
            sampled_at=now,
            arrivals_per_second=arrivals,
            completions_per_second=completions,
            mean_service_seconds=self._mean_service(),
            draining_workers=len(draining := _draining(state, stopping)),
            draining_in_flight=min(state.in_flight, sum(int(worker["in_flight"]) for worker in draining)),
        )

    def _add(self, state: QueueCounts, now: float) -> None:
        slots = sum(int(worker["concurrency"]) for worker in state.workers)
        running = min(state.in_flight, slots)  # the rest is claimed and not started
        before = self._samples[-1] if self._samples else _Sample(now, running, 0, 0, state.capped)
        self._share_out(state, (before.running + running) / 2 * (now - before.at))
        sample = _Sample(
            at=now,
            running=running,
            unfinished=state.ready + state.in_flight,
            finished=before.finished + self._newly_done(state, now),
            capped=state.capped,
        )
        self._samples.append(sample)
        while len(self._samples) > 2 and self._samples[1].at <= now - self._window:
            self._samples.popleft()

    def _share_out(self, state: QueueCounts, busy: float) -> None:
        """Distribute busy slot-seconds over workers by their last report: their sum is known, their owners are not."""
        weights = {int(worker["id"]): _weight(worker) for worker in state.workers}
        every = sum(weights.values())
        self._busy = {id_: self._busy.get(id_, 0.0) + busy * weight / every for id_, weight in weights.items()}

    def _newly_done(self, state: QueueCounts, now: float) -> int:
        """Per worker, because the sum over all falls when one leaves. Attempts before the first sample do not count."""
        newly, first = 0, not self._samples
        for worker in state.workers:
            id_, done = int(worker["id"]), int(worker["done"])
            risen = 0 if first else done - self._done.get(id_, 0)
            self._done[id_] = done
            if risen > 0:
                newly += risen
                self._reports.append(_Report(now, risen, self._busy[id_]))
                self._busy[id_] = 0.0
        return newly

    def _mean_service(self) -> float | None:
        """Mean over the window's reports and, with a limited weight, those before."""
        while self._reports and self._reports[0].at <= self._samples[-1].at - self._window:
            left, past = self._reports.popleft(), self._past
            self._past = _Report(left.at, past.finished + left.finished, past.busy + left.busy)
        past = self._past
        scale = min(1.0, REMEMBERED_ATTEMPTS / past.finished) if past.finished else 0.0
        self._past = past = _Report(past.at, past.finished * scale, past.busy * scale)
        finished = past.finished + sum(report.finished for report in self._reports)
        if not finished:
            return None
        return max(MIN_SERVICE_SECONDS, (past.busy + sum(report.busy for report in self._reports)) / finished)


def _draining(state: QueueCounts, stopping: Container[str]) -> list[Mapping[str, Any]]:
    """The workers that received SIGTERM."""
    return [one for one in state.workers if one.get("state") == "draining" or one.get("pod") in stopping]


def _weight(worker: Mapping[str, Any]) -> float:
    slots = int(worker["concurrency"])
    return float(min(int(worker["in_flight"]), slots) + IDLE_SHARE * slots)
