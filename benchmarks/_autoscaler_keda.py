"""A model of KEDA with the horizontal pod autoscaler, for the autoscaler's benchmark.

From the published behaviour of both: KEDA polls its trigger, makes the first replica and takes the last one after a
cooldown; in between the autoscaler decides at its sync, every 15 s, on a count read at that moment, within 10 %
tolerance, at most doubling or four pods a sync, and down to the highest recommendation of its window. `calibrate` runs
it on the measured scenario. In its favour: polls and reads cost nothing and never fail late, nothing is scaled while the
database is away, and the count includes jobs that run, as its users' queries do, so that busy workers are not taken for
idle ones.
"""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass

from benchmarks._autoscaler_world import Pod, World

SYNC_SECONDS = 15.0
TOLERANCE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class KedaSettings:
    """One ScaledObject. `jobs_per_replica` is the trigger's target; `most_added` None is the default: doubling, or four."""

    name: str
    jobs_per_replica: float
    polling_seconds: float = 30.0
    cooldown_seconds: float = 300.0
    window_seconds: float = 300.0
    most_added: int | None = None


class Keda:
    """A `Scaler`. The phases of poll and sync are drawn."""

    def __init__(self, settings: KedaSettings, *, most: int, chance: random.Random) -> None:
        self._settings, self._most = settings, most
        self._next_poll = chance.uniform(0, settings.polling_seconds)
        self._next_sync = chance.uniform(0, SYNC_SECONDS)
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
        added = self._settings.most_added
        limit = max(2 * current, 4) if added is None else current + added
        scale(world, min(wanted, limit, self._most))


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
