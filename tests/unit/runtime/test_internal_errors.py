"""The last net: a bug of ours around a task costs its job one attempt, and nobody a slot."""

from __future__ import annotations

import asyncio

import pytest

from penstock.job import ClaimedJob, OutcomeState
from tests.unit.runtime.support import job, until


@pytest.mark.parametrize("breaks", [RuntimeError("no such attribute"), SystemExit(3), asyncio.CancelledError()])
async def test_a_bug_around_a_task_is_a_failed_attempt_and_frees_the_slot(pod, caplog, breaks):
    """Without an outcome the job would stay claimed, renewed and never run for as long as the worker lives."""
    one = await pod(concurrency=1, min_demand=0, max_demand=1)
    one.breaks = breaks
    started: list[ClaimedJob] = []
    unlucky, last = job(task="breaks the worker"), job(task="breaks the worker", attempt=5)
    for each, state in ((unlucky, OutcomeState.RETRY), (last, OutcomeState.FAILED)):
        started.append(each)
        one.source.push([each])
        await until(lambda: len(one.sink.outcomes) == len(started))
        outcome = one.sink.outcomes[-1]
        assert (outcome.state, outcome.reason) == (state, "internal_error" if each is unlucky else "exhausted")
        assert type(breaks).__name__ in outcome.error
    assert "internal error of the worker" in caplog.text
    assert one.running == 0
    await until(lambda: one.source.demanded == 3)


async def test_a_bug_in_an_attempt_that_lost_its_lease_releases_the_claim(pod):
    """The holder of the lease then runs the job; an outcome of ours would only be refused."""
    one = await pod(concurrency=1, min_demand=0, max_demand=1)
    exclusive = job(task="breaks as it is stopped")
    one.source.push([exclusive])
    await until(lambda: one.gates)
    one.slots.lose(lambda _: True)
    await until(lambda: one.released == [exclusive])
    one.consumers.flush()
    assert (one.running, one.sink.outcomes) == (0, [])


async def test_a_task_that_cancels_itself_has_failed(pod):
    """Nobody releases its claim, as nobody asked: its job stayed claimed, renewed and never run again."""
    one = await pod(concurrency=1, min_demand=0, max_demand=1)
    one.source.push([job(task="cancels itself")])
    await until(lambda: one.sink.outcomes)
    [outcome] = one.sink.outcomes
    assert (outcome.state, outcome.reason) == (OutcomeState.RETRY, "error")
    await until(lambda: one.source.demanded == 2)
    assert one.running == 0
