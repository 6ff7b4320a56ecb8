"""From the store's looks at a queue to what `decide()` sees: counts as they are, rates over a sliding window.

Pure: it is given samples and times, and asks nobody. One sampler for each queue. Completions come from the workers' own
counts, which they report with their lease, so they lag by a third of a lease; ready and in flight are exact. A rate
that cannot be known yet (one sample, capped counts) is None, never 0.

Mean service time is Little's law read backwards: the time that slots were busy over the attempts that ended.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from .values import QueueSnapshot

if TYPE_CHECKING:
    from collections.abc import Sequence


class QueueLook(Protocol):
    """One look at a queue, as the store gives it; each of `workers` has id, concurrency and done."""

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


@dataclass(frozen=True, slots=True)
class _Sample:
    """One look. `ended` counts attempts since the sampler began; `busy` is slot-seconds since then."""

    at: float
    running: int
    held: int
    ended: int
    busy: float
    capped: bool


class Sampler:
    """What one queue did lately."""

    def __init__(self, *, window_seconds: float = WINDOW_SECONDS) -> None:
        self._window = window_seconds
        self._samples: deque[_Sample] = deque()
        self._done: dict[int, int] = {}
        self._service: float | None = None

    @property
    def ended(self) -> int:
        """Attempts that ended since the first look, as far as workers have reported them."""
        return self._samples[-1].ended if self._samples else 0

    def look(self, state: QueueLook, now: float) -> QueueSnapshot:
        """Take a sample at `now` (monotonic seconds) and say what it means."""
        self._add(state, now)
        first, last = self._samples[0], self._samples[-1]
        seconds = last.at - first.at
        arrivals = completions = None
        if seconds >= SHORTEST_SECONDS and not any(sample.capped for sample in (first, last)):
            ended = last.ended - first.ended
            completions = ended / seconds
            arrivals = max(0, last.held - first.held + ended) / seconds
            if ended:
                self._service = max(SHORTEST_SERVICE_SECONDS, (last.busy - first.busy) / ended)
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
            mean_service_seconds=self._service,
        )

    def _add(self, state: QueueLook, now: float) -> None:
        slots = sum(int(worker["concurrency"]) for worker in state.workers)
        running = min(state.in_flight, slots)  # the rest is held unstarted
        before = self._samples[-1] if self._samples else _Sample(now, running, 0, 0, 0.0, state.capped)
        sample = _Sample(
            at=now,
            running=running,
            held=state.ready + state.in_flight,
            ended=before.ended + self._newly_done(state),
            busy=before.busy + (before.running + running) / 2 * (now - before.at),
            capped=state.capped,
        )
        self._samples.append(sample)
        while len(self._samples) > 2 and self._samples[1].at <= now - self._window:
            self._samples.popleft()

    def _newly_done(self, state: QueueLook) -> int:
        """By worker: the sum over all would fall when one leaves. What is done at the first look is not new."""
        now_done = {int(worker["id"]): int(worker["done"]) for worker in state.workers}
        first = not self._samples
        newly = 0 if first else sum(max(0, done - self._done.get(worker, 0)) for worker, done in now_done.items())
        self._done.update(now_done)
        return newly
