"""From the store's looks at a queue to what `decide()` sees: counts as they are, rates over a sliding window.

Pure: it is given samples and times, and asks nobody. One sampler for each queue. Completions come from the workers' own
counts, which they report with their lease, so they lag by a third of a lease; ready and in flight are exact. A rate
that cannot be known yet (one sample, capped counts) is None, never 0.

Mean service time is Little's law read backwards: the time that slots were busy over the attempts that ended. Both are
taken from one report of a worker to its next, because the counts are late: at the begin of a burst slots would be busy
with nothing ended, and after its end attempts would end with nothing busy.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from .types import QueueSnapshot

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence


class QueueCounts(Protocol):
    """One look at a queue, as the store gives it; each of `workers` has id, concurrency, in_flight and done."""

    @property
    def ready(self) -> int:
        """Jobs that could start now."""

    @property
    def capped(self) -> bool:
        """Whether the counts stopped at a cap."""

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
SHORTEST_SECONDS = 2.0
"""Less than this between the oldest sample and the newest says nothing about a rate."""

SHORTEST_SERVICE_SECONDS = 0.001
"""Jobs that no look ever finds running take less than we can tell."""
REMEMBERED_ATTEMPTS = 20
"""What has left the window counts as much as so many attempts, so that the first of the next does not overturn it."""
IDLE_SHARE = 0.1
"""A worker that was idle at its last report may be busy by now: so much of a busy slot for each of its slots."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """One look. `ended` counts attempts since the sampler began."""

    at: float
    running: int
    held: int
    ended: int
    capped: bool


@dataclass(frozen=True, slots=True)
class _Report:
    """What a worker's count rose by, and the slot-seconds that it was busy since it rose before."""

    at: float
    ended: float
    busy: float


class Sampler:
    """What one queue did lately."""

    def __init__(self, *, window_seconds: float = WINDOW_SECONDS) -> None:
        self._window = window_seconds
        self._samples: deque[_Sample] = deque()
        self._reports: deque[_Report] = deque()
        self._done: dict[int, int] = {}
        self._busy: dict[int, float] = {}
        self._past = _Report(float("-inf"), 0, 0.0)

    @property
    def ended(self) -> int:
        """Attempts that ended since the first look, as far as workers have reported them."""
        return self._samples[-1].ended if self._samples else 0

    def add(self, state: QueueCounts, now: float, *, stopping: Container[str] = ()) -> QueueSnapshot:
        """Take a sample at `now` (monotonic seconds) and say what it means.

        Args:
            state: the store's snapshot of the queue.
            now: monotonic seconds.
            stopping: pods that are being deleted; their workers drain, also those too old to say so.
        """
        self._add(state, now)
        first, last = self._samples[0], self._samples[-1]
        seconds = last.at - first.at
        arrivals = completions = None
        if seconds >= SHORTEST_SECONDS and not any(sample.capped for sample in (first, last)):
            ended = last.ended - first.ended
            completions = ended / seconds
            arrivals = max(0, last.held - first.held + ended) / seconds
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
        running = min(state.in_flight, slots)  # the rest is held unstarted
        before = self._samples[-1] if self._samples else _Sample(now, running, 0, 0, state.capped)
        self._share_out(state, (before.running + running) / 2 * (now - before.at))
        sample = _Sample(
            at=now,
            running=running,
            held=state.ready + state.in_flight,
            ended=before.ended + self._newly_done(state, now),
            capped=state.capped,
        )
        self._samples.append(sample)
        while len(self._samples) > 2 and self._samples[1].at <= now - self._window:
            self._samples.popleft()

    def _share_out(self, state: QueueCounts, busy: float) -> None:
        """Slot-seconds, by what workers last said: how many slots are busy is known, whose they are is not."""
        weights = {int(worker["id"]): _weight(worker) for worker in state.workers}
        every = sum(weights.values())
        self._busy = {id_: self._busy.get(id_, 0.0) + busy * weight / every for id_, weight in weights.items()}

    def _newly_done(self, state: QueueCounts, now: float) -> int:
        """By worker: the sum over all would fall when one leaves. What is done at the first look is not new."""
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
        """Of the window's reports, and of those before as if they were a few."""
        while self._reports and self._reports[0].at <= self._samples[-1].at - self._window:
            left, past = self._reports.popleft(), self._past
            self._past = _Report(left.at, past.ended + left.ended, past.busy + left.busy)
        past = self._past
        scale = min(1.0, REMEMBERED_ATTEMPTS / past.ended) if past.ended else 0.0
        self._past = past = _Report(past.at, past.ended * scale, past.busy * scale)
        ended = past.ended + sum(report.ended for report in self._reports)
        if not ended:
            return None
        return max(SHORTEST_SERVICE_SECONDS, (past.busy + sum(report.busy for report in self._reports)) / ended)


def _draining(state: QueueCounts, stopping: Container[str]) -> list[Mapping[str, Any]]:
    """The workers that got their SIGTERM."""
    return [one for one in state.workers if one.get("state") == "draining" or one.get("pod") in stopping]


def _weight(worker: Mapping[str, Any]) -> float:
    slots = int(worker["concurrency"])
    return float(min(int(worker["in_flight"]), slots) + IDLE_SHARE * slots)
