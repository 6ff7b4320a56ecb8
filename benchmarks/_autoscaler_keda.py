"""A model of KEDA with the horizontal pod autoscaler, for the autoscaler's benchmark.

From the published behaviour of both: KEDA polls its trigger, makes the first replica and takes the last one after a
cooldown; in between the autoscaler decides at its sync, every 15 s, on a count read at that moment, within 10 %
tolerance, at most doubling or four pods a sync, and down to the highest recommendation of its window. `calibration`
runs it on the scenario that was measured on a real node. In its favour: polls and reads take no time, nothing is scaled
while the database is away, and the count includes jobs that run, so that busy workers are not taken for idle ones.
"""

from __future__ import annotations

import math
import random
import statistics
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from benchmarks._autoscaler_traces import Job, Trace
from benchmarks._autoscaler_world import Pod, World

SYNC_SECONDS = 15.0
TOLERANCE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class KedaSettings:
    """One ScaledObject; `jobs_per_replica` is the trigger's target, `max_added` None means doubling, or four."""

    name: str
    jobs_per_replica: float
    polling_seconds: float = 30.0
    cooldown_seconds: float = 300.0
    window_seconds: float = 300.0
    max_added: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trials:
    """Measured on a real node: seconds to the first, tenth and hundredth pod object, (least, median, most).

    `first_poll` and `sync_after` bound the phases that the trials had. Where polls come every 30 s and syncs every
    15 s, all trials on one ScaledObject share the distance of the two.
    """

    name: str
    polling_seconds: float
    first_poll: tuple[float, float]
    sync_after: tuple[float, float]
    seconds: dict[int, tuple[float, float, float]]


class Keda:
    """A `Scaler`. The phases of poll and sync are drawn; for a calibration, from what the trials had."""

    def __init__(
        self, settings: KedaSettings, *, maximum: int, rng: random.Random, trials: Trials | None = None
    ) -> None:
        self._settings, self._maximum = settings, maximum
        self._next_poll = rng.uniform(*(trials.first_poll if trials else (0, settings.polling_seconds)))
        self._next_sync = rng.uniform(0, SYNC_SECONDS)
        if trials is not None:
            self._next_sync = self._next_poll + rng.uniform(*trials.sync_after)
        self._active_at = float("-inf")
        self._recommended: deque[tuple[float, int]] = deque()

    def woken(self, _world: World) -> bool:
        """It polls."""
        return False

    def tick(self, world: World) -> float:
        """The poll and the sync that are due."""
        if world.now >= self._next_poll:
            self._next_poll += self._settings.polling_seconds
            if not world.away:
                self._poll(world)
        if world.now >= self._next_sync:
            self._next_sync += SYNC_SECONDS
            if not world.away and world.replicas > 0:
                self._sync(world)
        return min(self._next_poll, self._next_sync) - world.now

    def _count(self, world: World) -> int:
        return len(world.ready) + world.in_flight

    def _poll(self, world: World) -> None:
        if self._count(world) > 0:
            self._active_at = world.now
            if world.replicas == 0:
                world.add(1)
        elif world.replicas and world.now - self._active_at > self._settings.cooldown_seconds:
            scale(world, 0)

    def _sync(self, world: World) -> None:
        now, current, count = world.now, world.replicas, self._count(world)
        wanted = max(1, math.ceil(count / self._settings.jobs_per_replica))
        if abs(count / (self._settings.jobs_per_replica * current) - 1) <= TOLERANCE:
            wanted = current
        while self._recommended and self._recommended[0][0] <= now - self._settings.window_seconds:
            self._recommended.popleft()
        self._recommended.append((now, wanted))
        wanted = max([wanted, *(count for _, count in self._recommended)]) if wanted < current else wanted
        added = self._settings.max_added
        limit = max(2 * current, 4) if added is None else current + added
        scale(world, min(wanted, limit, self._maximum))


def scale(world: World, replicas: int) -> None:
    """As a replica set does it: those that do not serve yet go first, then the youngest."""
    surplus = world.replicas - replicas
    if surplus <= 0:
        world.add(-surplus)
        return
    surplus -= world.drop_unmade(surplus)
    here = [pod for pod in world.pods if not pod.leaving]
    for pod in sorted(here, key=_rank)[:surplus]:
        world.end(pod)


def _rank(pod: Pod) -> tuple[bool, float]:
    return pod.serving, -pod.ready_at


MEASURED: Final = (
    Trials(
        name="defaults",
        polling_seconds=30.0,
        first_poll=(2.9, 15.5),
        sync_after=(0.0, 3.0),
        seconds={1: (2.9, 7.8, 15.5), 10: (33.0, 40.2, 45.8), 100: (78.4, 85.6, 91.2)},
    ),
    Trials(
        name="pollingInterval 1",
        polling_seconds=1.0,
        first_poll=(0.47, 1.16),
        sync_after=(0.0, SYNC_SECONDS),
        seconds={1: (0.47, 0.82, 1.16), 10: (32.0, 36.5, 43.7), 100: (77.4, 81.9, 89.2)},
    ),
)
"""KEDA 2.21.0 on Kubernetes 1.37.2 with default flags: 1000 rows in one commit, target 10, pods that only pause."""


def calibration(runs: int = 200) -> Iterator[tuple[str, int, tuple[float, float, float], tuple[float, float, float]]]:
    """Setting, pod, and the measured and the modelled (least, median, most) seconds to its object."""
    jobs = tuple(Job(0.0, 1.0, 0.0) for _ in range(1000))
    trace = Trace(name="calibration", says="", seconds=1.0, mean_seconds=1.0, jobs=jobs)
    for trials in MEASURED:
        settings = KedaSettings(name=trials.name, jobs_per_replica=10, polling_seconds=trials.polling_seconds)
        times: dict[int, list[float]] = {pod: [] for pod in trials.seconds}
        for run in range(runs):
            world = World(trace, slots=0, seed=run, startup=(1e9, 1e9))
            rng = random.Random(f"{trials.name} {run}")
            world.run(Keda(settings, maximum=100, rng=rng, trials=trials), until=200.0)
            created = sorted(pod.created for pod in world.pods)
            for pod, found in times.items():
                found.append(created[pod - 1])
        for pod, found in times.items():
            yield trials.name, pod, trials.seconds[pod], (min(found), statistics.median(found), max(found))
