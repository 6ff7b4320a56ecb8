"""Doubles of the pod's neighbours: real stages on both sides, no database."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from penstock.job import ClaimedJob, Finished, OutcomeState
from penstock.runtime.execution.consumers import Consumers
from penstock.runtime.execution.demand_policy import DemandPolicy
from penstock.runtime.execution.isolation import Isolation
from penstock.runtime.execution.slots import Slots
from penstock.runtime.state import WorkerState
from penstock.stages import CancelMode, Consumer, Producer, Subscription

_ids = itertools.count(1)


def job(**values) -> ClaimedJob:
    """A claimed job of task `work`."""
    defaults = {
        "id": next(_ids),
        "token": 7,
        "worker": 1,
        "attempt": 1,
        "max_attempts": 5,
        "crashes": 0,
        "queue": "q",
        "priority": 1,
        "task": "work",
        "args": "{}",
    }
    return ClaimedJob(**{**defaults, **values})


def completed(one: ClaimedJob, duration: float = 0.0) -> Finished:
    """Its success."""
    return Finished(job=one, state=OutcomeState.COMPLETED, duration=duration)


def running_state() -> WorkerState:
    """The state of a worker that is registered and may do everything."""
    state = WorkerState()
    state.lease_changed("running")
    return state


class Source(Producer[ClaimedJob]):
    """A producer that records demand and emits only when asked."""

    def __init__(self) -> None:
        super().__init__(name="source")
        self.demands: list[int] = []

    async def handle_demand(self, demand: int) -> list[ClaimedJob]:
        self.demands.append(demand)
        return []

    @property
    def demanded(self) -> int:
        return sum(self.demands)


class Sink(Consumer[Finished]):
    """A consumer that keeps what arrives and answers it, unless the test holds it back."""

    def __init__(self, accepted: Callable[[int], None]) -> None:
        super().__init__(name="sink")
        self.outcomes: list[Finished] = []
        self.accepted = accepted
        self.answering = True

    async def handle_events(self, events: Sequence[Finished], subscription: Subscription) -> None:
        self.outcomes.extend(events)
        if self.answering:
            self.accepted(len(events))


async def wire(source: Source, consumers, sink: Sink) -> None:
    """Start the three and subscribe them as the pod does."""
    for stage in (source, consumers, sink):
        await stage.start()
    await sink.subscribe(consumers, max_demand=2000, cancel=CancelMode.TEMPORARY)
    consumers.attach(await consumers.subscribe(source, mode="manual", cancel=CancelMode.TEMPORARY))


async def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for a condition, one turn of the loop at a time."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.001)


class Pod:
    """A source, consumers whose jobs end when the test says, and a sink."""

    def __init__(self, *, concurrency: int, min_demand: int, max_demand: int) -> None:
        self.now = 0.0
        self.gates: dict[int, asyncio.Future[Finished]] = {}
        self.released: list[ClaimedJob] = []
        self.breaks: BaseException = RuntimeError("no such attribute")
        self.source = Source()
        self.state = running_state()
        self.slots = Slots(concurrency=concurrency, interrupt=lambda _: True)
        self.isolation = Isolation(
            state=self.state,
            can_isolate=lambda: self.consumers.outstanding == 0,
            is_isolated=lambda one: one.task == "in a child",
        )
        self.consumers = Consumers(
            run=self.run,
            state=self.state,
            policy=DemandPolicy(concurrency=concurrency, min_demand=min_demand, max_demand=max_demand),
            slots=self.slots,
            isolation=self.isolation,
            release=self.released.extend,
            clock=lambda: self.now,
        )
        self.sink = Sink(self.consumers.acknowledged)

    async def run(self, one: ClaimedJob) -> Finished:
        gate: asyncio.Future[Finished] = asyncio.get_running_loop().create_future()
        self.gates[one.id] = gate
        if one.task == "breaks the worker":
            raise self.breaks
        if one.task == "cancels itself":
            current = asyncio.current_task()
            assert current is not None
            current.cancel()
        try:
            return await gate
        except asyncio.CancelledError:
            if one.task == "ends all the same":
                return completed(one)
            if one.task == "breaks as it is stopped":
                raise self.breaks from None
            raise
        finally:
            self.gates.pop(one.id, None)

    def finish(self, count: int, duration: float) -> None:
        """Let the oldest running jobs end, each after `duration` seconds of run time."""
        for one in list(self.gates)[:count]:
            self.gates.pop(one).set_result(completed(job(), duration))

    async def deliver(self, count: int) -> list[ClaimedJob]:
        """Emit jobs as a claim does."""
        jobs = [job() for _ in range(count)]
        self.source.push(jobs)
        await self.consumers.call("settle")
        await asyncio.sleep(0)
        return jobs

    @property
    def running(self) -> int:
        """Attempts that run."""
        return len(self.slots.running)

    async def stop(self) -> None:
        for stage in (self.source, self.consumers, self.sink):
            await stage.stop(timeout=60)


def store_of(fake: object) -> Any:
    """A store whose every part is this fake."""
    return SimpleNamespace(jobs=fake, queues=fake, workers=fake, leadership=fake, connections=fake)
