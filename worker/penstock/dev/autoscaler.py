"""The autoscaler of `penstock dev`: sample, decide and apply, for all queues of one database.

Owns the order and the intervals. A sample is one query of the store, the decision is `penstock.scaling.decide`, and
`placement.place` says which workers start and stop. A wake-up makes the next sample earlier; polling stays the truth.
While the database cannot be reached, `decide` gets no snapshot and keeps every count.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from penstock.errors import StoreError
from penstock.scaling import Decision, History, QueueSnapshot, decide
from penstock.scaling.sampler import Sampler

from .placement import place, rows_of
from .schedule_ticks import ticks_by_queue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from penstock.jobqueue.policy import QueuePolicy
    from penstock.scaling.types import UpcomingTick
    from penstock.store import QueueState, Store

    from .processes import Fleet, WorkerProcess

RESTING_SECONDS = 1.0
MOVING_SECONDS = 0.25
"""Intervals between samples: without changes, and while workers start or stop."""
MIN_SECONDS = 0.05
"""Wake-ups closer together than this share one sample."""
WAITING_SECONDS = 10.0
"""For this long enqueues are asked for a wake-up."""
START_SECONDS = 2.0
"""Start-up time of a worker on this machine; jobs due within it are counted, and workers start before ticks by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatus:
    """One queue at the last sample; `snapshot` is None while the database cannot be reached."""

    name: str
    snapshot: QueueSnapshot | None
    decision: Decision
    serving: int
    leaving: int
    workers: tuple[WorkerProcess, ...]
    finished: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """A change of the replica count, with its decision. `at` is monotonic seconds of the autoscaler's clock."""

    at: float
    queue: str
    before: int
    after: int
    bound: str
    explanation: str
    arithmetic: str


class Autoscaler:
    """Keeps the number of each queue's workers at the decision of `decide`.

    Args:
        store: an open store.
        fleet: starts and stops the workers.
        policies: each queue once; all of them are declared in the database.
        woken: set it after a change, and the next sample is taken at once.
        resting_seconds: interval between samples without changes; at most `WAITING_SECONDS`.
        clock: monotonic seconds.

    `queues` is the last sample, in the order of `policies`; `scaled` has every change of a replica count, in order.
    """

    def __init__(
        self,
        *,
        store: Store,
        fleet: Fleet,
        policies: Sequence[QueuePolicy],
        woken: asyncio.Event | None = None,
        resting_seconds: float = RESTING_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._resting = resting_seconds
        self._store, self._fleet, self._policies = store, fleet, {one.queue_name: one for one in policies}
        self._woken, self._clock = woken or asyncio.Event(), clock
        now = clock()
        self._history = {name: History.starting(0, now=now) for name in self._policies}
        self._samplers = {name: Sampler() for name in self._policies}
        self._ticks: dict[str, tuple[UpcomingTick, ...]] = {}
        self._sleeping: frozenset[int] = frozenset()
        self._marked: frozenset[int] = frozenset()
        self._mark_again_at = now
        self.scaled: deque[Scaled] = deque(maxlen=10_000)
        self.queues: Sequence[QueueStatus] = ()
        self.last_error: str | None = None

    async def run(self) -> None:
        """Sample, decide and apply until cancelled."""
        while True:
            self._woken.clear()
            moving = await self.tick()
            await asyncio.sleep(MIN_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(MOVING_SECONDS if moving else self._resting):
                    await self._woken.wait()

    async def tick(self) -> bool:
        """Sample all queues and apply the decisions; True if the next sample is due soon."""
        try:
            states = {state.name: state for state in await self._sample()}
            self.last_error = None
        except StoreError as error:
            states, self.last_error = {}, str(error)
        self.queues = [await self._scale(name, states.get(name)) for name in self._policies]
        unmarked = not self._sleeping <= self._marked
        return unmarked or any(one.leaving or one.serving != one.decision.desired for one in self.queues)

    async def _sample(self) -> list[QueueState]:
        """Request wake-ups for queues without ready jobs, then sample: jobs enqueued before the request are seen."""
        now = self._clock()
        if self._sleeping and (not self._sleeping <= self._marked or now >= self._mark_again_at):
            stands = await self._store.queues.mark_waiting(sorted(self._sleeping), WAITING_SECONDS, operator=True)
            self._marked, self._mark_again_at = self._sleeping, now + stands / 2
        rows = await self._store.schedules.list(list(self._policies))
        self._ticks = ticks_by_queue(rows, self._clock())
        states = await self._store.queues.snapshot(queues=list(self._policies), soon=START_SECONDS)
        self._sleeping = frozenset(state.id for state in states if state.name in self._policies and not state.ready)
        return states

    async def _scale(self, name: str, state: QueueState | None) -> QueueStatus:
        now, sampler = self._clock(), self._samplers[name]
        snapshot = None if state is None else sampler.add(state, now)
        if snapshot is not None and state is not None and not state.paused and (ticks := self._ticks.get(name)):
            snapshot = replace(snapshot, startup_seconds=START_SECONDS, ticks=ticks)
        before = self._history[name].desired
        decision = decide(snapshot, self._policies[name], self._history[name], now)
        self._history[name] = decision.history
        if decision.desired != before:
            self.scaled.append(
                Scaled(
                    at=now,
                    queue=name,
                    before=before,
                    after=decision.desired,
                    bound=str(decision.bound),
                    explanation=decision.explanation,
                    arithmetic=decision.arithmetic,
                )
            )
        serving = leaving = 0
        if state is not None:
            serving, leaving = await self._apply(name, state, decision.desired)
        workers = tuple(self._fleet.workers(name))
        return QueueStatus(
            name=name,
            snapshot=snapshot,
            decision=decision,
            serving=serving,
            leaving=leaving,
            workers=workers,
            finished=sampler.finished,
        )

    async def _apply(self, name: str, state: QueueState, desired: int) -> tuple[int, int]:
        """Start and stop workers; returns how many serve and how many leave after that."""
        placement = place(desired, self._fleet.workers(name), rows_of(state.workers))
        try:
            if placement.uncordon:
                await self._store.workers.cordon(placement.uncordon, cordon=False)
            if placement.cordon:
                await self._store.workers.cordon(placement.cordon)
        except StoreError as error:  # the next sample shows whether it was done
            self.last_error = str(error)
            return placement.serving, placement.leaving
        for worker in placement.stop:
            self._fleet.stop(worker)
        if placement.start:
            self._fleet.start(name, placement.start)
        serving = placement.serving + placement.start + len(placement.uncordon) - len(placement.cordon)
        return serving, placement.leaving + len(placement.cordon) - len(placement.uncordon)
