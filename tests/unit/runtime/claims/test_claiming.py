"""What a claimer claims and when: never beyond open demand, only while it may, and nothing is lost on the way."""

from __future__ import annotations

import asyncio
import itertools
import logging

import pytest

from penstock.errors import ClaimRefused, DatabaseUnavailable, SchemaMissing
from penstock.runtime.claims.claimer import DISCONNECTED_AFTER, MAX_CLAIM
from tests.unit.runtime.claims.bench import now
from tests.unit.runtime.support import job, until

pytestmark = pytest.mark.looptime

GONE = DatabaseUnavailable("gone")


async def test_a_claim_is_for_the_open_demand_and_for_500_jobs_at_most(bench):
    """A larger demand is met by several claims, one after the other."""
    one = await bench()
    one.ask(3)
    await until(lambda: one.store.limits == [3])
    one.enqueue(MAX_CLAIM + 103)
    one.ask(MAX_CLAIM + 100)
    await until(lambda: len(one.taker.taken) == MAX_CLAIM + 103)
    assert one.store.limits == [3, MAX_CLAIM, 103]


async def test_demand_adds_up_and_is_lowered_by_what_arrives_alone(bench):
    """Unmet demand is remembered: two and three are five, and four jobs leave one."""
    one = await bench()
    one.ask(2)
    await until(lambda: one.store.limits == [2])
    one.ask(3)
    await until(lambda: one.store.limits == [2, 5])
    one.enqueue(4)
    one.claimer.wake()
    await until(lambda: len(one.taker.taken) == 4)
    await until(lambda: len(one.store.limits) == 4)
    assert one.store.limits == [2, 5, 5, 1]
    assert one.claimer.pending == 1


async def test_claims_are_recorded_before_a_consumer_sees_them(bench):
    """Otherwise a renewal in between would report a claim less, and lose it."""
    one = await bench()
    one.enqueue(3)
    one.ask(3)
    await until(lambda: one.taker.seen)
    assert [held_claims for _, held_claims in one.taker.seen] == [3]
    assert one.held_claims.still(one.taker.taken) == one.taker.taken


async def test_nothing_is_claimed_without_demand(bench):
    """However long, and whatever wakes the claimer."""
    one = await bench(poll=2.0)
    one.enqueue(5)
    one.claimer.wake()
    await asyncio.sleep(30)
    assert one.store.calls == []


@pytest.mark.parametrize("what", ["cordoned", "isolating", "permit"])
async def test_nothing_is_claimed_while_it_is_not_allowed_and_at_most_a_second_later(bench, what):
    """Cordoned, a suspect is claimed, or the lease was not renewed lately; a long poll does not delay the way back."""
    one = await bench(poll=3600.0)

    def allow(*, allowed: bool) -> None:
        match what:
            case "cordoned":
                one.state.lease_changed("running" if allowed else "cordoned")
            case "isolating":
                one.state.suspects_changed(0 if allowed else 1)
            case "permit":
                one.permit.allowed = allowed

    allow(allowed=False)
    one.enqueue(2)
    one.ask(2)
    await asyncio.sleep(30)
    assert one.store.calls == []
    allow(allowed=True)
    before = now()
    await until(lambda: one.taker.taken)
    assert now() - before <= 1.1


async def test_demand_and_wake_ups_end_the_sleep_at_once(bench):
    """A free slot does not wait for the poll."""
    one = await bench(poll=3600.0)
    await asyncio.sleep(5)
    before = now()
    one.ask(1)
    await until(lambda: one.store.calls)
    one.enqueue(1)
    await asyncio.sleep(1)
    one.claimer.wake()
    await until(lambda: one.taker.taken)
    assert now() - before < 1.2


async def test_an_idle_worker_polls_at_its_interval_with_jitter(bench):
    """Within 20 % of it, not always at the same time, and not without a pause after a wake-up."""
    one = await bench(poll=10.0)
    one.ask(1)
    await asyncio.sleep(500)
    times = one.store.times("claim")
    pauses = [round(after - before, 3) for before, after in itertools.pairwise(times)]
    assert len(pauses) > 30
    assert all(8.0 <= pause <= 12.1 for pause in pauses)
    assert len(set(pauses)) > 10


async def test_a_claim_is_in_flight_until_it_is_answered_however_it_is(bench):
    """A suspect must not start next to a claim that may bring it neighbors."""
    one = await bench()
    one.store.replies.clear()
    one.ask(1)
    await until(lambda: one.store.calls)
    assert one.claimer.in_flight
    one.store.errors = [GONE]
    one.store.replies.set()
    await until(lambda: one.claimer.claim_error)
    assert not one.claimer.in_flight


async def test_what_a_claim_without_a_reply_took_is_released_by_its_token_before_the_next(bench):
    """It may have committed; the jobs would stay claimed for as long as the lease is renewed."""
    one = await bench()
    one.store.errors = [GONE]
    one.ask(1)
    await until(lambda: len(one.store.tokens) == 2)
    assert one.store.names == ["claim", "release_claim", "claim"]
    assert one.store.released_tokens == one.store.tokens[:1]
    assert len(set(one.store.tokens)) == 2


async def test_a_refused_claim_took_nothing_and_is_no_failure(bench, caplog):
    """The server answered: the failures before it are over, and the next claim follows within a second."""
    caplog.set_level(logging.INFO)
    one = await bench(poll=3600.0)
    one.store.errors = [GONE, GONE, ClaimRefused("not running"), GONE]
    one.ask(1)
    await until(lambda: len(one.store.tokens) == 5)
    assert not one.claimer.disconnected
    assert one.store.tokens[2] not in one.store.released_tokens
    refused_at, next_at = one.store.times("claim")[2:4]
    assert 0.9 <= next_at - refused_at <= 1.1
    assert [record.reason for record in caplog.records if record.levelname == "INFO"] == ["not running"]


async def test_three_claims_in_a_row_without_a_reply_are_a_lost_connection(bench):
    """Not two; and two before a success and two after are not three."""
    one = await bench(poll=1.0)
    one.store.errors = [GONE, GONE, None, GONE, GONE, None]
    one.ask(1)
    seen: list[bool] = []
    while len(one.store.tokens) < 7:
        seen.append(one.claimer.disconnected)
        await asyncio.sleep(0.01)
    assert not any(seen)
    assert (one.claimer.claim_error, one.claimer.fatal_error) == (None, None)
    one.store.errors = [GONE] * DISCONNECTED_AFTER
    await until(lambda: one.claimer.disconnected)
    assert (one.claimer.claim_error, one.claimer.fatal_error) == ("DatabaseUnavailable: gone", None)


async def test_an_error_that_a_retry_cannot_cure_is_logged_once_for_each_text(bench, caplog):
    """It is the reason why the worker is not ready, until a claim is answered."""
    one = await bench(poll=1.0)
    missing, other = SchemaMissing("no function"), SchemaMissing("no table")
    one.store.errors = [missing, missing, missing, other, other]
    one.ask(1)
    await until(lambda: len(one.store.tokens) == 5 and one.claimer.fatal_error == "SchemaMissing: no table")
    errors = [record.error for record in caplog.records if record.levelname == "ERROR"]
    assert errors == ["no function", "no table"]
    one.enqueue(1)
    await until(lambda: one.taker.taken)
    assert (one.claimer.fatal_error, one.claimer.claim_error) == (None, None)


async def test_close_waits_for_the_claim_in_flight_and_releases_what_waits_for_it(bench):
    """A claim that is cut could have committed; after it nothing is claimed, whatever the demand."""
    one = await bench()
    one.enqueue(2)
    one.store.replies.clear()
    one.ask(2)
    await until(lambda: one.store.calls)
    closing = asyncio.create_task(one.claimer.close())
    await asyncio.sleep(5)
    assert not closing.done()
    assert one.state.draining
    unstarted = [job()]
    one.held_claims.add(unstarted)
    one.claimer.release_later(unstarted)
    one.store.replies.set()
    await closing
    await until(lambda: len(one.taker.taken) == 2)
    assert one.store.released == unstarted
    one.ask(5)
    await asyncio.sleep(30)
    assert one.store.names.count("claim") == 1


async def test_claims_that_nobody_runs_are_released_at_once(bench):
    """Dropped by the stages, or stopped for want of a lease: the poll is not waited for."""
    one = await bench(poll=3600.0)
    dropped, stopped = [job()], [job()]
    one.held_claims.add(dropped)
    one.held_claims.add(stopped)
    await asyncio.sleep(5)
    before = now()
    one.claimer.on_released(dropped, why=None)
    await until(lambda: one.store.released == dropped)
    one.claimer.release_later(stopped)
    await until(lambda: one.store.released == dropped + stopped)
    assert now() - before < 0.1
    assert one.metrics.released == 2


async def test_every_answered_claim_is_measured(bench):
    """With its size; those that brought nothing as well."""
    one = await bench()
    one.enqueue(2)
    one.ask(3)
    await until(lambda: len(one.store.tokens) == 2)
    await until(lambda: not one.claimer.in_flight)
    buckets, total = one.metrics._claim_sizes.buckets()
    assert (buckets[-1], total) == (("+Inf", 2.0), 2.0)
    assert one.metrics.events["claimer"] == 2
