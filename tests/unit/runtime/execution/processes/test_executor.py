"""What the process executor makes of the exits of children: outcomes, and what is killed when."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import AsyncIterator

import pytest

from penstock import Backoff
from penstock.job import ClaimedJob, Finished, OutcomeState
from penstock.runtime.execution.outcomes import OutcomeBuilder
from penstock.runtime.execution.processes import protocol
from penstock.runtime.execution.processes.executor import ChildExecutor
from penstock.runtime.execution.processes.pool import ProcessPool
from tests.unit.runtime.execution.processes.child_app import app
from tests.unit.runtime.support import job, until

LEASE_SECONDS = 60.0


class Bench:
    """The executor over real children, with a lease of a given length."""

    def __init__(
        self, path: str = "tests.unit.runtime.execution.processes.child_app:app", release_seconds: float = 30.0
    ) -> None:
        hello = protocol.Hello(
            app=path,
            parent=os.getpid(),
            database_url="",
            pooled=False,
            log_level="info",
            strategy="constant",
            base_seconds=3.0,
            max_seconds=3.0,
        )
        self.until = time.monotonic() + LEASE_SECONDS
        self.children = ProcessPool(hello=hello, max_jobs=0, max_bytes=0)
        outcomes = OutcomeBuilder(backoff=Backoff(strategy="constant", base_seconds=3), rng=random.Random(1))
        self.executor = ChildExecutor(
            children=self.children,
            outcomes=outcomes,
            lease=self,
            report=lambda one, found: None,
            release_seconds=release_seconds,
        )

    def run(self, one: ClaimedJob) -> asyncio.Task[Finished]:
        return asyncio.get_running_loop().create_task(self.executor.run(one, app.tasks[one.task]))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.executor.close(5.0)
    assert made.children.count == 0


@pytest.mark.parametrize(
    ("crashes", "attempt", "state", "reason"),
    [
        (0, 1, OutcomeState.RETRY, "crash"),
        (2, 3, OutcomeState.FAILED, "poison"),
        (0, 5, OutcomeState.FAILED, "exhausted"),
    ],
)
async def test_a_crash_is_an_attempt_and_the_third_is_poison(bench, crashes, attempt, state, reason):
    """Whatever attempts are left; the error carries the mark by which the database counts."""
    finished = await bench.run(job(task="leave", crashes=crashes, attempt=attempt))
    assert (finished.state, finished.reason, finished.fault) == (state, reason, True)
    error = json.loads(finished.error or "")
    assert error["crash"] is True
    assert "farewell" in error["traceback"]


async def test_a_hard_timeout_is_a_timeout_and_no_crash(bench):
    """The process was well; nothing is counted towards poison."""
    finished = await bench.run(job(task="stuck", crashes=2))
    assert (finished.state, finished.reason) == (OutcomeState.RETRY, "timeout")
    assert "crash" not in json.loads(finished.error or "")


async def test_an_exclusive_attempt_that_ended_itself_with_the_lease_is_refunded(bench):
    """No renewal: no crash, no failed attempt; if the claim is still ours the job runs again."""
    bench.until = time.monotonic() + 0.3
    finished = await bench.run(job(task="sole", crashes=2))
    assert (finished.state, finished.reason) == (OutcomeState.SNOOZE, "lease_lost")


async def test_an_attempt_whose_claim_is_released_is_over_when_it_is(bench):
    """Cancelled in its child; the child is kept, because it obeyed."""
    running = bench.run(job(task="linger"))
    await until(lambda: bench.executor._running)
    (child,) = bench.executor._running.values()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert child.idle
    assert (await bench.run(job(task="pid"))).result == str(child.pid)


async def test_an_attempt_that_ignores_it_is_killed_before_its_claim_is_released():
    """A plain function sees nothing of a cancellation."""
    bench = Bench(release_seconds=0.05)
    running = bench.run(job(task="sole"))
    await until(lambda: bench.executor._running)
    (child,) = bench.executor._running.values()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: child.code == -9)
    await bench.executor.close(5.0)


async def test_a_job_waits_where_no_child_comes_up():
    """Its attempt is refunded, and the reason says why."""
    made = Bench("tests.unit.runtime.no_such_module:app")
    finished = await made.run(job(task="pid"))
    assert (finished.state, finished.reason, finished.delay) == (OutcomeState.SNOOZE, "no_child", 30.0)
    await made.executor.close(1.0)


async def test_the_end_of_one_job_is_not_that_of_another_of_the_same_claim(bench):
    """Jobs that were claimed together share their token; the child is the same."""
    first, second = job(task="linger", token=77), job(task="linger", token=77)
    running = bench.run(first)
    await until(lambda: bench.executor.interrupt(first))
    assert (await running).state is OutcomeState.CANCELLED
    running = bench.run(second)
    assert not (await asyncio.wait([running], timeout=0.05))[0]
    await until(lambda: bench.executor.interrupt(second))
    assert (await running).state is OutcomeState.CANCELLED
    assert bench.children.count == 1


@pytest.mark.parametrize("what", ["list", "nan", "past", "long", "note"])
async def test_what_no_child_would_send_ends_its_own_job_alone(bench, what):
    """A task may write to any file of its process: its child is ended, and the next job has another."""
    forged = await bench.run(job(task="forge", args=json.dumps({"what": what})))
    assert (forged.state, forged.reason) == (OutcomeState.RETRY, "crash")
    assert (await bench.run(job(task="pid"))).state is OutcomeState.COMPLETED


async def test_a_child_does_not_outlive_an_attempt_that_is_cancelled_twice(bench):
    """The lease is lost, and then the worker drains: the second cancellation came before the child was killed."""
    running = bench.run(job(task="stuck_for_good"))
    await until(lambda: bench.executor._running)
    running.cancel()
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    await until(lambda: bench.children.stats.exits["released"] == 1)
