"""The local autoscaler's loop: look, decide, act; once for all queues of one database.

Owns the order and the pace. The look is one query of the store, the decision is `penstock.scaling.decide`, the acts are
`placement.plan` carried out on a `Fleet`. A wake-up only makes the next look come sooner; the pace below is the truth.
While the database cannot be reached `decide` gets no snapshot and holds every count: nothing is inferred from an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.errors import StoreError
from penstock.scaling import Decision, History, QueueSnapshot, decide
from penstock.scaling.sampler import Sampler

from .placement import plan, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from penstock.jobqueue.policy import QueuePolicy
    from penstock.store import QueueState, Store

    from .processes import Fleet, Member

RESTING_SECONDS = 1.0
MOVING_SECONDS = 0.25
"""Between looks: at rest, and while members come or go."""
SHORTEST_SECONDS = 0.05
"""Wake-ups closer together than this share one look."""
WAITING_SECONDS = 10.0
"""How long the mark stands that asks enqueues for a wake-up."""
START_SECONDS = 2.0
"""A process on this machine serves about so long after its start; what is due by then is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatus:
    """One queue as the last look found it; `snapshot` is None while the database cannot be reached."""

    name: str
    snapshot: QueueSnapshot | None
    decision: Decision
    serving: int
    leaving: int
    members: tuple[Member, ...]
    ended: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """A change of the replica count, with the decision's reason. `at` is on the loop's clock."""

    at: float
    queue: str
    before: int
    after: int
    bound: str
    explanation: str


class Loop:
    """Keeps each queue's members at what `decide` says.

    Args:
        store: connections to the database, open.
        fleet: runs the members.
        policies: each queue once; every one is declared in the database already.
        woken: set by anybody who knows of a change; the next look then comes at once.
        resting_seconds: between looks while nothing moves; the truth behind wake-ups, so not longer than a mark stands.
        clock: monotonic seconds.

    `queues` is the last look, in the order of `policies`; `scaled` every change of a replica count, in order.
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
        self._sleeping: frozenset[int] = frozenset()
        self._marked: frozenset[int] = frozenset()
        self._mark_again_at = now
        self.scaled: deque[Scaled] = deque(maxlen=10_000)
        self.queues: Sequence[QueueStatus] = ()
        self.last_error: str | None = None

    async def run(self) -> None:
        """Look, decide and act until cancelled."""
        while True:
            self._woken.clear()
            moving = await self.tick()
            await asyncio.sleep(SHORTEST_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(MOVING_SECONDS if moving else self._resting):
                    await self._woken.wait()

    async def tick(self) -> bool:
        """One look at all queues, and what follows from it; True while members come or go, or a mark is to be set."""
        try:
            states = {state.name: state for state in await self._look()}
            self.last_error = None
        except StoreError as error:
            states, self.last_error = {}, str(error)
        self.queues = [await self._treat(name, states.get(name)) for name in self._policies]
        unmarked = not self._sleeping <= self._marked
        return unmarked or any(one.leaving or one.serving != one.decision.desired for one in self.queues)

    async def _look(self) -> list[QueueState]:
        """Ask for wake-ups of queues with nothing ready, then look: what came before the mark shows in this look."""
        now = self._clock()
        if self._sleeping and (not self._sleeping <= self._marked or now >= self._mark_again_at):
            stands = await self._store.queues.mark_waiting(sorted(self._sleeping), WAITING_SECONDS, operator=True)
            self._marked, self._mark_again_at = self._sleeping, now + stands / 2
        states = await self._store.queues.snapshot(queues=list(self._policies), soon=START_SECONDS)
        self._sleeping = frozenset(state.id for state in states if state.name in self._policies and not state.ready)
        return states

    async def _treat(self, name: str, state: QueueState | None) -> QueueStatus:
        now, sampler = self._clock(), self._samplers[name]
        snapshot = None if state is None else sampler.add(state, now)
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
                )
            )
        serving = leaving = 0
        if state is not None:
            serving, leaving = await self._act(name, state, decision.desired)
        members = tuple(self._fleet.members(name))
        return QueueStatus(
            name=name,
            snapshot=snapshot,
            decision=decision,
            serving=serving,
            leaving=leaving,
            members=members,
            ended=sampler.ended,
        )

    async def _act(self, name: str, state: QueueState, desired: int) -> tuple[int, int]:
        """Serving and leaving members, once the plan is carried out."""
        acts = plan(desired, self._fleet.members(name), rows_of(state.workers))
        try:
            if acts.call_back:
                await self._store.workers.cordon(acts.call_back, cordon=False)
            if acts.cordon:
                await self._store.workers.cordon(acts.cordon)
        except StoreError as error:  # the next look finds what came of it
            self.last_error = str(error)
            return acts.serving, acts.leaving
        for member in acts.stop:
            self._fleet.stop(member)
        if acts.start:
            self._fleet.start(name, acts.start)
        serving = acts.serving + acts.start + len(acts.call_back) - len(acts.cordon)
        return serving, acts.leaving + len(acts.cordon) - len(acts.call_back)
