"""A queue to which jobs have come does not wait for the maintenance of others; and the gates are left as they were."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from penstock.cancellation import cancel_and_wait
from penstock.store import QueueState
from penstock_operator.jobqueue.observation import QueueSample
from penstock_operator.kube.priority_gate import PriorityGate
from penstock_operator.loops.database_loop import DatabaseLoop
from penstock_operator.loops.scheduled_queue import ScheduledQueue
from penstock_operator.metrics import OperatorMetrics, ReconcileResult
from tests.unit.operator_parts.objects import jobqueue


class AtTheGate:
    """A queue's reconciliation that has nothing to do but to pass the gate."""

    settled = False
    startup_seconds = None

    def __init__(self, gate: asyncio.Semaphore) -> None:
        self.gate, self._semaphore, self.passed = PriorityGate(), gate, 0

    async def reconcile(self, *_: Any, **__: Any) -> ReconcileResult:
        async with self.gate.through(self._semaphore):
            self.passed += 1
        return ReconcileResult.DONE

    def forget(self, _: Any) -> None:
        """Nothing to forget."""


def sample(ready: int) -> QueueSample:
    """At the queue `emails`."""
    counts: dict[str, Any] = {"deferred": 0, "due_soon": 0, "in_flight": 0, "dead": 0, "oldest": None, "workers": []}
    return QueueSample(
        state=QueueState(id=1, name="emails", paused=False, declared=True, ready=ready, capped=False, **counts)
    )


@pytest.fixture
def gate() -> asyncio.Semaphore:
    """Closed: another task holds it."""
    return asyncio.Semaphore(0)


@pytest.fixture
async def queue(gate: asyncio.Semaphore) -> AtTheGate:
    """The one that `loop` reconciles."""
    return AtTheGate(gate)


@pytest.fixture
async def loop(queue: AtTheGate) -> AsyncIterator[DatabaseLoop]:
    """A loop whose samples the test makes."""
    made = DatabaseLoop(
        address=None,
        holder="a",
        members=list,
        make=lambda: queue,  # type: ignore[arg-type,return-value]
        metrics=OperatorMetrics(leading=lambda: True),
        may_act=lambda: True,
        opened=lambda _: None,
    )
    yield made
    await cancel_and_wait(made._working.values())


async def started(loop: DatabaseLoop, ready: int) -> None:
    """One sample, and what follows from it at once."""
    loop._start(ScheduledQueue(jobqueue()), sample(ready))
    for _ in range(5):
        await asyncio.sleep(0)


async def test_without_jobs_a_queue_waits_its_turn(loop: DatabaseLoop, queue: AtTheGate, gate: asyncio.Semaphore):
    """Also at the samples that follow, until the gate is free."""
    await started(loop, 0)
    await started(loop, 0)
    assert (queue.gate.waiting, queue.passed) == (True, 0)
    gate.release()
    await asyncio.wait_for(asyncio.gather(*loop._working.values()), 60)
    assert queue.passed == 1


async def test_a_queue_that_waits_goes_first_once_jobs_come(
    loop: DatabaseLoop, queue: AtTheGate, gate: asyncio.Semaphore
):
    """It leaves the row, and the next sample, for which it wakes the loop, starts it as urgent."""
    await started(loop, 0)
    loop.woken.clear()
    await started(loop, 3)
    assert loop.woken.is_set()
    await started(loop, 3)
    assert queue.passed == 1
    assert gate.locked()


async def test_a_queue_that_was_busy_before_waits_like_all(loop: DatabaseLoop, queue: AtTheGate):
    """Else five hundred busy queues would all hurry, at each sample."""
    await started(loop, 3)
    assert queue.passed == 1
    await started(loop, 3)
    await started(loop, 4)
    assert (queue.gate.waiting, queue.passed) == (True, 1)


async def test_one_that_is_taken_out_of_the_row_leaves_its_place_to_the_next(gate: asyncio.Semaphore):
    """The gate is neither lost nor opened by it."""
    turns = [PriorityGate(), PriorityGate()]
    inside = asyncio.Event()

    async def wait(turn: PriorityGate) -> None:
        async with turn.through(gate):
            inside.set()

    first, second = (asyncio.create_task(wait(turn)) for turn in turns)
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert ([turn.waiting for turn in turns], inside.is_set()) == ([False, True], False)
    gate.release()
    await second
    assert inside.is_set()
    assert not gate.locked()
