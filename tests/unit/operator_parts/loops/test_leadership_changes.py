"""A loop that leads, follows and leads again while a reconciliation still runs, as when the API server is slow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from penstock.cancellation import cancel_and_wait
from penstock_operator.jobqueue.observation import QueueSample
from penstock_operator.kube.priority_gate import PriorityGate
from penstock_operator.loops.database_loop import DatabaseLoop
from penstock_operator.loops.scheduled_queue import ScheduledQueue
from penstock_operator.metrics import OperatorMetrics, ReconcileResult
from tests.unit.operator_parts.objects import jobqueue


class Slow:
    """A reconciler whose reconciliation ends when the test says so."""

    settled, due_at, startup_seconds = False, 0.0, None

    def __init__(self, answered: asyncio.Event) -> None:
        self.gate = PriorityGate()
        self._answered = answered

    async def reconcile(self, *_: Any, **__: Any) -> ReconcileResult:
        await self._answered.wait()
        return ReconcileResult.DONE

    def forget(self, _: Any) -> None:
        """Nothing to forget."""


@pytest.fixture
def answered() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
async def loop(answered: asyncio.Event) -> AsyncIterator[DatabaseLoop]:
    """Without a database; the test makes its samples."""
    made = DatabaseLoop(
        address=None,
        holder="a",
        members=list,
        make=lambda: cast("Any", Slow(answered)),
        metrics=OperatorMetrics(leading=lambda: True),
        may_act=lambda: True,
        opened=lambda _: None,
    )
    yield made
    await cancel_and_wait(made._working.values())


@pytest.mark.parametrize("deleted", [False, True], ids=["follow again", "the JobQueue is deleted"])
async def test_a_reconciliation_that_outlasts_two_leaderships_does_not_end_the_loop(
    loop: DatabaseLoop, answered: asyncio.Event, deleted: bool
):
    """What the loop knows of a queue is forgotten in between, and again afterwards, without an error."""
    member = ScheduledQueue(jobqueue())
    loop._start(member, QueueSample())
    await loop._follow(None)
    loop._start(member, QueueSample())
    assert len(loop._working) == 1, "the first one still runs"
    if deleted:
        answered.set()
        await asyncio.gather(*loop._working.values())
        loop._forget(set())
    await loop._follow(None)
    assert loop._reconcilers == {}
