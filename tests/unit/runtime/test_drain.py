"""The drain of a worker: each step in its order, bounded in time, and what fails or is cut is left to the lease."""

from __future__ import annotations

import asyncio
import logging

import pytest

from penstock.errors import DatabaseUnavailable
from penstock.runtime.drain import FINISH_SHARE
from penstock.stages import StageEnded
from tests.unit.runtime.drain_parts import GRACE, Parts, forever, gone, now
from tests.unit.runtime.support import until

STEPS = ["claimer.close", "settle", "take_waiting", "idle", "release_pending", "flush"]
"""The calls of a drain during which nothing runs on and nothing waits, in their order."""


@pytest.fixture
async def parts(caplog) -> Parts:
    caplog.set_level(logging.INFO, "penstock.drain")
    return Parts()


pytestmark = pytest.mark.looptime


async def test_an_idle_worker_drains_through_every_step_in_order_and_is_empty(parts, caplog):
    """Nothing is cancelled, nothing times out, and one line says that it drained."""
    assert await parts.drain.run()
    assert parts.names == STEPS
    assert [(each.message, each.__dict__["claims_held"]) for each in caplog.records] == [("drained", 0)]


async def test_step_1_the_worker_is_draining_before_anything_else_happens(parts):
    """Probes and the operator see it first, and nothing starts any more."""
    await parts.drain.run()
    assert parts.draining_at_close is True


async def test_step_2_a_claim_in_flight_is_awaited_before_anything_is_released(parts):
    """Its jobs would arrive after the release."""
    parts.instead["claimer.close"] = lambda: asyncio.sleep(3)
    await parts.drain.run()
    assert parts.names == STEPS
    assert parts.at("settle") - parts.at("claimer.close") == 3


async def test_step_3_what_was_not_started_is_released_after_deliveries_have_arrived(parts):
    """Before the wait for running jobs: other workers have them at once."""
    parts.waiting = parts.hold(2)
    assert await parts.drain.run()
    assert parts.names == ["claimer.close", "settle", "take_waiting", "release", *STEPS[3:]]
    assert parts.released == parts.waiting
    assert parts.metrics.released == 2
    assert parts.later == []


async def test_step_3_claims_whose_rows_are_locked_are_released_later(parts, caplog):
    """The claimer retries them in step 6; the others are released now."""
    locked, free = parts.hold(2)
    parts.waiting, parts.locked = [locked, free], {locked.id}
    parts.instead["release_pending"] = lambda: parts.note("retried")
    parts.instead["retried"] = gone(parts, [locked])
    assert await parts.drain.run()
    assert parts.later == [locked]
    assert parts.metrics.released == 1
    line = "claims will be released later, other transactions lock their rows"
    assert [each.__dict__["claims"] for each in caplog.records if each.message == line] == [1]


async def test_step_4_running_jobs_may_finish_and_are_not_cancelled(parts):
    """Within three quarters of the grace period."""
    (running,) = parts.run()

    async def finishes() -> None:
        await asyncio.sleep(GRACE * FINISH_SHARE - 1)
        parts.running.clear()
        parts.held_claims.remove([running])

    parts.instead["idle"] = finishes
    assert await parts.drain.run()
    assert parts.names == STEPS
    assert parts.released == []


async def test_step_5_what_still_runs_after_three_quarters_is_cancelled_and_released(parts, caplog):
    """The last quarter is for releasing and flushing."""
    running = parts.run(2)
    assert await parts.drain.run()
    assert parts.names == [*STEPS[:4], "cancel_running", "release", *STEPS[4:]]
    assert parts.at("cancel_running") - parts.at("idle") == pytest.approx(GRACE * FINISH_SHARE)
    assert parts.released == running
    assert parts.metrics.released == 2
    assert [(each.message, each.__dict__.get("step"), each.__dict__.get("jobs")) for each in caplog.records[:2]] == [
        ("drain step timed out", "finish", None),
        ("grace period nearly over, unfinished jobs released", None, 2),
    ]


async def test_everything_that_a_drain_releases_is_counted(parts):
    """What waited, and what ran into the end of the grace period."""
    parts.waiting, running = parts.hold(2), parts.run(3)
    assert await parts.drain.run()
    assert parts.released == [*parts.waiting, *running]
    assert parts.metrics.released == 5


async def test_a_step_has_a_tenth_of_a_second_even_when_no_time_is_left(parts):
    """A notice may come too late: one statement still releases the jobs."""
    parts.waiting = parts.hold(1)
    parts.drain.shorten(0.0)
    parts.instead["release"] = lambda: asyncio.sleep(0.09)
    assert await parts.drain.run()
    assert parts.released == parts.waiting


async def test_step_6_attempts_that_lost_their_lease_meanwhile_are_released(parts):
    """The claim loop has ended by then: such a job stayed claimed to the end of the lease."""
    (fenced,) = parts.hold()
    parts.instead["release_pending"] = gone(parts, [fenced])
    assert await parts.drain.run()
    assert parts.at("release_pending") >= parts.at("idle")


async def test_step_7_outcomes_are_flushed_and_their_acknowledgement_is_awaited(parts):
    """Otherwise a job that completed would run again."""
    finished = parts.hold(2)
    draining = asyncio.get_running_loop().create_task(parts.drain.run())
    await until(lambda: "flush" in parts.names)
    assert not draining.done()
    parts.held_claims.remove(finished)
    assert await draining


async def test_step_7_lasts_no_longer_than_the_grace_period(parts, caplog):
    """What is not acknowledged then is rescued when the lease expires; the worker does not call itself empty."""
    parts.hold(1)
    started = now()
    assert not await parts.drain.run()
    assert now() - started == pytest.approx(GRACE)
    assert [each.__dict__.get("step") for each in caplog.records] == ["flush", None]
    assert caplog.records[-1].__dict__["claims_held"] == 1


async def test_a_worker_that_may_hold_claims_it_does_not_know_is_not_empty(parts):
    """The reply of a claim was lost: deregistering would leave those jobs without a worker that is marked lost."""
    parts.drain.claimer.may_hold_unknown_claims = True
    assert not await parts.drain.run()


@pytest.mark.parametrize("step", ["claimer.close", "settle", "idle", "release_pending"])
async def test_no_step_that_hangs_keeps_the_next_ones_from_running(parts, caplog, step):
    """Each has at most what is left of the grace period, and a tenth of a second in any case."""
    parts.instead[step] = forever
    started = now()
    await parts.drain.run()
    assert parts.names == [name for name in STEPS if (step, name) != ("settle", "take_waiting")]
    assert now() - started <= GRACE + 0.5
    assert "drain step timed out" in caplog.messages


async def test_a_database_that_is_away_ends_no_step_but_its_own(parts, caplog):
    """The lease covers what could not be released; running jobs may still finish and be acknowledged."""
    parts.waiting = parts.hold(1)

    async def away() -> None:
        raise DatabaseUnavailable("gone")

    parts.instead["release"] = away
    parts.instead["release_pending"] = gone(parts, parts.waiting)
    assert await parts.drain.run()
    assert parts.names[-3:] == STEPS[-3:]
    (record,) = [each for each in caplog.records if each.message == "drain step failed, the lease covers it"]
    assert (record.__dict__["step"], record.__dict__["error"]) == ("release", "gone")


async def test_stages_that_have_stopped_are_not_flushed(parts):
    """No outcome is emitted any more: waiting for its acknowledgement would use up the grace period."""
    parts.hold(1)

    async def ended() -> None:
        raise StageEnded("consumers")

    parts.instead["settle"] = ended
    started = now()
    assert not await parts.drain.run()
    assert "flush" not in parts.names
    assert now() - started < 1


async def test_before_the_drain_all_of_the_grace_period_is_left_and_a_notice_shortens_it(parts):
    """A pod that will be killed sooner; never longer than was planned, never negative."""
    assert parts.drain.remaining == GRACE
    parts.drain.shorten(90.0)
    assert parts.drain.remaining == GRACE
    parts.drain.shorten(8.0)
    assert parts.drain.remaining == 8.0
    parts.drain.shorten(-1.0)
    assert parts.drain.remaining == 0.0


async def test_the_remaining_time_falls_while_the_worker_drains(parts):
    """Tasks read it as `ctx.remaining`."""
    parts.run()
    draining = asyncio.get_running_loop().create_task(parts.drain.run())
    await asyncio.sleep(10)
    assert parts.drain.remaining == pytest.approx(GRACE - 10)
    await draining


async def test_a_notice_during_the_drain_cuts_the_step_that_waits(parts, caplog):
    """A spot notice: the operator gives a worker with an hour to finish one second; what runs is released in time."""
    running = parts.run()
    parts.drain.grace = 3600.0
    draining = asyncio.get_running_loop().create_task(parts.drain.run())
    await asyncio.sleep(100)
    parts.drain.shorten(20.0)
    assert await draining
    assert parts.released == running
    assert parts.at("cancel_running") - parts.at("idle") == pytest.approx(120.0 * FINISH_SHARE, abs=20)
    (line,) = [each for each in caplog.records if each.message.startswith("pod will be killed")]
    assert line.__dict__["in_seconds"] == 20.0
    assert now() - parts.at("claimer.close") <= 120


@pytest.mark.parametrize("seconds", [GRACE - 10.5, 7200.0])
async def test_the_same_notice_again_and_a_later_one_change_nothing(parts, caplog, seconds):
    """The kubelet repeats it; within one second it is the same time."""
    parts.run()
    draining = asyncio.get_running_loop().create_task(parts.drain.run())
    await asyncio.sleep(10)
    parts.drain.shorten(seconds)
    await asyncio.sleep(0)
    assert parts.drain.grace == GRACE
    assert not [each for each in caplog.messages if each.startswith("pod will be killed")]
    await draining


async def test_a_notice_may_come_from_another_thread(parts):
    """The lease thread reads it with a renewal."""
    parts.run()
    parts.drain.grace = 3600.0
    draining = asyncio.get_running_loop().create_task(parts.drain.run())
    await until(lambda: "idle" in parts.names)
    await asyncio.to_thread(parts.drain.shorten, 0.5)
    assert await draining
    assert parts.drain.grace < 60
