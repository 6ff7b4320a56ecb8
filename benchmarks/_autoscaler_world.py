"""A queue and its pods in virtual time: what the compared autoscalers sample and scale.

Owns the clock, the jobs, the pods and the accounts. Decides nothing: `ours` and `keda` do. Jobs start in the order in
which they became ready, each on a free slot drawn at random. A pod object comes at the rate at which a controller
manager with its default flags makes them, serves after a time drawn at random, and costs as long as
its object exists.
All that is drawn comes from one seed, so a run repeats exactly.

No worker loses a job here. Where a pod with jobs is removed it finishes them first, which asks for a
worker that drains and a grace period that is long enough; how many jobs depended on that is counted.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks._autoscaler_traces import Trace

BURST_REQUESTS, REQUESTS_PER_SECOND = 30, 20.0
"""Default --kube-api-burst and --kube-api-qps of the controller manager, which makes the pod objects."""
OBJECT_SECONDS = 0.014
"""From PATCH /scale to the first pod object, median of the measured floor."""


@dataclass(slots=True, eq=False)
class Pod:
    """One pod. `running` are its jobs; `leaving` it takes no more."""

    number: int
    wanted_at: float
    created: float
    ready_at: float
    slots: int
    running: int = 0
    done: int = 0
    leaving: bool = False
    serving: bool = False
    gone: bool = False


@dataclass(slots=True)
class Account:
    """What a run came to. `waits` are seconds by job; `replicas` and `depths` are (time, count)."""

    waits: list[float] = field(default_factory=list)
    pod_seconds: float = 0.0
    at_risk: int = 0
    replicas: list[tuple[float, int]] = field(default_factory=lambda: [(0.0, 0)])
    depths: list[tuple[float, int]] = field(default_factory=list)


class Scaler(Protocol):
    """An autoscaler: samples the world, and says when it samples next."""

    def tick(self, world: World) -> float:
        """Sample and scale; seconds until the next sample."""

    def woken(self, world: World) -> bool:
        """Whether a job that becomes ready makes it sample at once."""


class World:
    """One run of a trace under an autoscaler.

    Args:
        trace: jobs, and when the database is away.
        slots: jobs that run at once in a pod.
        seed: of everything that is drawn.
        startup: least and most seconds from a pod's object to its first claim, drawn evenly.
    """

    def __init__(self, trace: Trace, *, slots: int, seed: int, startup: tuple[float, float]) -> None:
        self.now = 0.0
        self.trace, self.slots = trace, slots
        self.account = Account()
        self.ready: deque[tuple[float, float]] = deque()
        self.pods: list[Pod] = []
        self.starts: list[float] = []
        self._startup = startup
        self._rng = random.Random(f"{trace.name} {seed}")
        self._free: list[Pod] = []
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._numbers = itertools.count()
        self._requests, self._requests_at = float(BURST_REQUESTS), 0.0
        self._wanted = 0
        self._next_tick = 0
        self._jobs = trace.jobs
        self._ripe = 0

    @property
    def replicas(self) -> int:
        """Pods that are wanted: there or about to be, and not leaving."""
        return self._wanted + sum(not pod.leaving for pod in self.pods)

    @property
    def away(self) -> bool:
        """Whether the database cannot be reached."""
        return any(starts <= self.now < ends for starts, ends in self.trace.outages)

    @property
    def in_flight(self) -> int:
        """Jobs that run."""
        return sum(pod.running for pod in self.pods)

    def due_within(self, seconds: float) -> int:
        """Deferred jobs that become ready within so long."""
        found, place = 0, self._ripe
        while place < len(self._jobs) and self._jobs[place].ready_at <= self.now + seconds:
            found += self._jobs[place].enqueued_at <= self.now
            place += 1
        return found

    @property
    def deferred(self) -> bool:
        """Whether a job is there that is not ready yet."""
        later = self._jobs[self._ripe] if self._ripe < len(self._jobs) else None
        return later is not None and later.enqueued_at <= self.now < later.ready_at

    def run(self, scaler: Scaler, *, until: float = math.inf) -> Account:
        """Until the trace's end and the last job, or until a time."""
        if self._jobs:
            self._at(self._jobs[0].ready_at, lambda: self._ripen(scaler))
        self._tick(scaler)
        self._observe()
        while self._heap:
            at, _, act = heapq.heappop(self._heap)
            if at > until:
                break
            self.now = at
            act()
        self.account.pod_seconds += sum(self.now - pod.created for pod in self.pods if not pod.gone)
        return self.account

    def _finished(self) -> bool:
        return (
            self.now >= self.trace.seconds and self._ripe == len(self._jobs) and not self.ready and not self.in_flight
        )

    def _at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (max(when, self.now), next(self._order), act))

    def _tick(self, scaler: Scaler) -> None:
        if self._finished():
            self._heap.clear()
            return
        number = self._next_tick = next(self._order)
        pause = scaler.tick(self)
        self._book()
        self._at(self.now + pause, lambda: self._tick(scaler) if number == self._next_tick else None)

    def _book(self) -> None:
        if self.replicas != self.account.replicas[-1][1]:
            self.account.replicas.append((self.now, self.replicas))

    def _observe(self) -> None:
        self.account.depths.append((self.now, len(self.ready)))
        self._at(self.now + 1.0, self._observe)

    def _ripen(self, scaler: Scaler) -> None:
        """Jobs whose time has come; while the database is away nobody can enqueue, so they come when it is back."""
        back = [ends for starts, ends in self.trace.outages if starts <= self.now < ends]
        if back:
            self._at(back[0], lambda: self._ripen(scaler))
            return
        while self._ripe < len(self._jobs) and self._jobs[self._ripe].ready_at <= self.now:
            self.ready.append((self.now, self._jobs[self._ripe].seconds))
            self._ripe += 1
        if self._ripe < len(self._jobs):
            self._at(self._jobs[self._ripe].ready_at, lambda: self._ripen(scaler))
        self._start_jobs()
        if self.ready and scaler.woken(self):
            self._tick(scaler)

    def _start_jobs(self) -> None:
        while self.ready and self._free and not self.away:
            place = self._rng.randrange(len(self._free))
            self._free[place], self._free[-1] = self._free[-1], self._free[place]
            pod = self._free.pop()
            if pod.leaving or pod.gone:
                continue
            since, seconds = self.ready.popleft()
            self.account.waits.append(self.now - since)
            pod.running += 1
            self._at(self.now + seconds, lambda pod=pod: self._end_job(pod))  # type: ignore[misc]

    def _end_job(self, pod: Pod) -> None:
        pod.running -= 1
        pod.done += 1
        if not pod.leaving:
            self._free.append(pod)
            self._start_jobs()

    def add(self, count: int) -> None:
        """So many more pods, as soon as the controller manager has made their objects."""
        for _ in range(count):
            elapsed = self.now - self._requests_at
            self._requests = min(BURST_REQUESTS, self._requests + elapsed * REQUESTS_PER_SECOND) - 1
            self._requests_at = self.now
            self._wanted += 1
            pause = OBJECT_SECONDS + max(0.0, -self._requests / REQUESTS_PER_SECOND)
            self._at(self.now + pause, lambda wanted_at=self.now: self._create(wanted_at))  # type: ignore[misc]

    def _create(self, wanted_at: float) -> None:
        if self._wanted == 0:
            return  # not wanted any more
        self._wanted -= 1
        ready_at = self.now + self._rng.uniform(*self._startup)
        pod = Pod(next(self._numbers), wanted_at, self.now, ready_at, self.slots)
        self.pods.append(pod)
        self._at(ready_at, lambda: self._serve(pod))

    def _serve(self, pod: Pod) -> None:
        if pod.gone:
            return
        pod.serving = True
        self.starts.append(self.now - pod.wanted_at)
        if not pod.leaving:
            self._free += [pod] * pod.slots
            self._start_jobs()

    def take_back(self, pod: Pod) -> None:
        """One that was leaving serves again."""
        pod.leaving = False
        self._free += [pod] * (pod.slots - pod.running)
        self._start_jobs()

    def drop_unmade(self, count: int) -> int:
        """Pods whose objects are not made yet are not made any more; how many."""
        dropped = min(count, self._wanted)
        self._wanted -= dropped
        return dropped

    def leave(self, pod: Pod) -> None:
        """Takes no more jobs; it is there, and costs, until `end`."""
        pod.leaving = True

    def end(self, pod: Pod) -> None:
        """The pod is terminated: it exits after the last of its jobs, which are at risk until then."""
        self.leave(pod)
        self.account.at_risk += pod.running
        self._end_when_idle(pod)

    def _end_when_idle(self, pod: Pod) -> None:
        if pod.running:
            self._at(self.now + 0.1, lambda: self._end_when_idle(pod))
            return
        pod.gone = True
        self.pods.remove(pod)
        self.account.pod_seconds += self.now - pod.created
