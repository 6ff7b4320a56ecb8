"""A database that fails is left alone for its pause: neither its process nor its server can end that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from penstock.cancellation import cancel_and_wait
from penstock_operator.database.address import Address
from penstock_operator.database.failure_reasons import MISBEHAVES
from penstock_operator.kube.priority_gate import PriorityGate
from penstock_operator.liveness import STUCK_SECONDS
from penstock_operator.loops.database_backoff import FORGET_SECONDS, REST_SECONDS, RETRY_SECONDS, DatabaseBackoff
from penstock_operator.loops.database_loop import DatabaseLoop
from penstock_operator.loops.scheduled_queue import ScheduledQueue
from penstock_operator.metrics import OperatorMetrics, ReconcileResult
from tests.support.hostile_postgres import GREEDY, NETWORK, Servers, hostile_servers
from tests.support.postgres_messages import Behavior, answers, penstock
from tests.unit.operator_parts.objects import jobqueue

WANTED = {"u-1": 1}


class Settled:
    """A queue's reconciliation that is always done, and counts its runs."""

    settled, due_at, startup_seconds = True, float("inf"), None

    def __init__(self) -> None:
        self.gate, self.reconciled = PriorityGate(), 0

    async def reconcile(self, *_: Any, **__: Any) -> ReconcileResult:
        self.reconciled += 1
        return ReconcileResult.DONE

    def forget(self, _: Any) -> None:
        """Nothing to forget."""


class Ticking:
    """A loop over one JobQueue, with a clock that the test moves; `ticks` counts the times that it asked for it."""

    def __init__(self, url: str) -> None:
        self.now, self.queue, self.reconciler = 1000.0, jobqueue(), Settled()
        self.loop = DatabaseLoop(
            address=Address(url=url, direct_url=url),
            holder="a",
            members=self.members,
            make=cast("Any", lambda: self.reconciler),
            metrics=OperatorMetrics(leading=lambda: True),
            may_act=lambda: True,
            opened=lambda _: None,
            memory_mib=48,
            pauses=DatabaseBackoff(lambda: self.now),
        )

    def members(self) -> list[ScheduledQueue]:
        return [ScheduledQueue(self.queue)]

    async def wake(self, times: int) -> None:
        """So often as any wake-up may come; each is followed by a reconciliation."""
        for _ in range(times):
            before = self.reconciler.reconciled
            self.loop.dirty.add(self.queue.uid)
            self.loop.woken.set()
            await until(lambda before=before: self.reconciler.reconciled > before)  # type: ignore[misc]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """Hostile servers."""
    with hostile_servers() as made:
        yield made


@asynccontextmanager
async def ticking(url: str) -> AsyncIterator[Ticking]:
    """The loop runs."""
    made = Ticking(url)
    task = asyncio.create_task(made.loop.run())
    try:
        yield made
    finally:
        await cancel_and_wait([task])


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(120):
        while not holds():
            await asyncio.sleep(0.02)


FAILING: dict[str, Behavior] = {
    "ends its process": GREEDY["endless rows"],
    "closes at once": NETWORK["closes at once"],
    "fails after it listens": answers(penstock),
}


@pytest.mark.parametrize("name", FAILING)
async def test_a_database_that_fails_is_not_tried_before_its_pause_is_over_however_often_it_wakes(
    servers: Servers, name: str
):
    """Its JobQueues are reconciled meanwhile. Its process started without end, each with a burst of processor time."""
    async with ticking(servers.url(name, FAILING[name])) as made:
        await until(lambda: made.loop.pauses.failing and made.reconciler.reconciled > 0)
        tried = servers.connections[name]
        await made.wake(10)
        assert servers.connections[name] == tried
        made.now += max(*RETRY_SECONDS, *REST_SECONDS)
        made.loop.woken.set()
        await until(lambda: servers.connections[name] > tried)


async def test_a_jobqueue_that_changes_is_tried_at_once(servers: Servers):
    """Its people may just have mended it."""
    async with ticking(servers.url("changed", NETWORK["closes at once"])) as made:
        await until(lambda: made.loop.pauses.failing and made.reconciler.reconciled > 0)
        tried = servers.connections["changed"]
        made.queue = jobqueue(metadata={"generation": 2})
        made.loop.woken.set()
        await until(lambda: servers.connections["changed"] > tried)


def test_pauses_grow_and_nothing_but_another_wish_ends_them():
    """They stay shorter than what counts as stuck."""
    now = [0.0]
    pauses = DatabaseBackoff(lambda: now[0])
    for seconds in (*REST_SECONDS, REST_SECONDS[-1]):
        assert pauses.problem(WANTED) is None
        pauses.failed(WANTED, (MISBEHAVES, "x"))
        assert pauses.problem(WANTED) == (MISBEHAVES, "x")
        assert pauses.problem({"u-1": 2}) is None
        assert pauses.left == seconds <= STUCK_SECONDS / 2
        now[0] += seconds


def test_a_success_between_two_rests_does_not_shorten_the_second():
    """A server could answer one sample and exceed its limits with the next; what is only away is tried soon."""
    now = [0.0]
    pauses = DatabaseBackoff(lambda: now[0])
    for problem, second in ((MISBEHAVES, REST_SECONDS[1]), ("Unreachable", RETRY_SECONDS[0])):
        now[0] += FORGET_SECONDS + REST_SECONDS[-1]
        pauses.succeeded()
        for expected in (None, second):
            pauses.failed(WANTED, (problem, "x"))
            assert expected in {None, pauses.left}
            pauses.succeeded()
            assert (pauses.failing, pauses.left) == (False, 0.0)
