"""Penstock's autoscaler in the simulated world: `decide()` and the sampler themselves, with the operator's pace.

It owns what surrounds them: when a sample is taken (woken when the queue is at rest, each second under load, every
other one while jobs are deferred), what a worker reports and how late, and the drain: the idlest leave, finish, and are
removed when no pod is starting. The code that decides is the package's own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from benchmarks._autoscaler_world import Pod, World
from penstock.jobqueue.policy import QueuePolicy
from penstock.scaling import Decision, History, decide
from penstock.scaling.prescaling import next_change
from penstock.scaling.sampler import Sampler
from penstock.scaling.types import UpcomingTick

BUSY_SECONDS, MOVING_SECONDS, DEFERRED_SECONDS = 1.0, 0.5, 2.0
REPORT_SECONDS = 5.0
"""A worker reports with its lease, every third of it."""
HANDSHAKE_SECONDS = 1.0
"""From the moment its last job finishes until a drained pod is removed: report, readiness, cost, scale."""
CAP = 10_000
LEARNT_FROM = 10
SOON_SECONDS = 5.0
"""Due jobs are counted so far ahead while no start-up time is learnt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A sample as the store returns it."""

    ready: int
    capped: bool
    deferred: int
    due_soon: int
    in_flight: int
    dead: int
    oldest: float | None
    workers: list[dict[str, Any]]


class Ours:
    """A `Scaler`. `decisions` keeps each one that changed the number, for pictures and sentences."""

    def __init__(self, policy: QueuePolicy) -> None:
        self._policy = policy
        self._sampler = Sampler()
        self._history = History.starting(0, now=-1000.0)
        self._reports: dict[int, tuple[float, int, int]] = {}
        self._idle_since: dict[int, float] = {}
        self._resting = False
        self.decisions: list[tuple[float, int, Decision]] = []

    def woken(self, world: World) -> bool:
        """While it rests an enqueue wakes it."""
        return self._resting and not world.away

    def tick(self, world: World) -> float:
        """One sample, its decision, and what follows."""
        snapshot = None
        if not world.away:
            startup = _learnt(world.starts)
            seen = self._sampler.add(self._state(world), world.now)
            snapshot = replace(seen, startup_seconds=startup, ticks=_upcoming(world))
        before = self._history.desired
        decision = decide(snapshot, self._policy, self._history, world.now)
        self._history = decision.history
        if decision.desired != before:
            self.decisions.append((world.now, before, decision))
        self._towards(world, decision.desired)
        moving = any(pod.leaving or not pod.serving for pod in world.pods) or world.replicas != len(world.pods)
        self._resting = not moving and not world.ready and not world.in_flight
        pause = self._pause(world, moving=moving)
        change = None if snapshot is None else next_change(snapshot, self._policy, world.now)
        return pause if change is None else min(pause, change - world.now)

    def _pause(self, world: World, *, moving: bool) -> float:
        if world.ready or world.in_flight:
            return BUSY_SECONDS
        if moving or world.replicas:
            return MOVING_SECONDS
        poll = float(self._policy.scaling.activation.poll_period_seconds)
        return min(poll, DEFERRED_SECONDS) if world.deferred else poll

    def _state(self, world: World) -> State:
        soon = (_learnt(world.starts) or SOON_SECONDS) + DEFERRED_SECONDS
        ready = len(world.ready)
        return State(
            ready=min(ready, CAP),
            capped=ready > CAP,
            deferred=int(world.deferred),
            due_soon=min(world.due_within(soon), CAP),
            in_flight=world.in_flight,
            dead=0,
            oldest=world.now - world.ready[0][0] if world.ready else None,
            workers=[self._worker(pod, world.now) for pod in world.pods if pod.serving],
        )

    def _worker(self, pod: Pod, now: float) -> dict[str, Any]:
        at, _, _ = self._reports.get(pod.number, (float("-inf"), 0, 0))
        if now - at >= REPORT_SECONDS or pod.leaving:
            self._reports[pod.number] = (now, pod.done, pod.running)
        _, done, running = self._reports[pod.number]
        return {"id": pod.number, "concurrency": pod.slots, "done": done, "in_flight": running}

    def _towards(self, world: World, desired: int) -> None:
        """Add at once, those who leave first; remove only who has drained, the idlest first."""
        leaving = sorted((pod for pod in world.pods if pod.leaving), key=lambda pod: -pod.running)
        while leaving and world.replicas < desired:
            world.take_back(leaving.pop(0))
        world.add(max(0, desired - world.replicas))
        surplus = world.replicas - desired
        if surplus > 0:
            surplus -= world.drop_unmade(surplus)
            here = [pod for pod in world.pods if not pod.leaving and pod.serving]
            for pod in sorted(here, key=lambda pod: (pod.running, -pod.created))[: max(0, surplus)]:
                world.leave(pod)
        self._remove(world)

    def _remove(self, world: World) -> None:
        starting = any(not pod.serving for pod in world.pods)
        for pod in [pod for pod in world.pods if pod.leaving and pod.running == 0]:
            since = self._idle_since.setdefault(pod.number, world.now)
            if not starting and world.now - since >= HANDSHAKE_SECONDS:
                world.end(pod)


def _learnt(starts: list[float]) -> float | None:
    """The mean of the latest start-ups."""
    latest = starts[-LEARNT_FROM:]
    return sum(latest) / len(latest) if latest else None


def _upcoming(world: World) -> tuple[UpcomingTick, ...]:
    """The next tick of each schedule."""
    upcoming: dict[str, float] = {}
    for schedule, at in world.trace.ticks:
        if at > world.now:
            upcoming.setdefault(schedule, at)
    return tuple(UpcomingTick(schedule=schedule, at=at) for schedule, at in upcoming.items())
