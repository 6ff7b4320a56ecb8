"""The waiting protocol of a claimer: no job that was committed without a wake-up waits for the poll."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from penstock.errors import RowLocked
from penstock.runtime.claims.claimer import MARK_SECONDS
from tests.unit.runtime.claims.bench import now
from tests.unit.runtime.support import until

pytestmark = pytest.mark.looptime


async def test_without_wake_ups_the_queue_is_not_marked(bench):
    """A mark makes every enqueue notify; nobody would hear it."""
    one = await bench(poll=1.0, listening=False)
    one.ask(1)
    await asyncio.sleep(60)
    assert set(one.store.names) == {"claim"}


async def test_before_it_sleeps_it_marks_the_queue_outwaits_the_writers_and_claims_once_more(bench):
    """A transaction that started before the mark did not see it, so its jobs come without a wake-up."""
    one = await bench(poll=60.0, listening=True)
    one.ask(1)
    await asyncio.sleep(10)
    assert one.store.names == ["claim", "mark", "take_xid", "oldest_xid", "claim"]


async def test_a_job_of_a_writer_that_was_open_at_the_mark_is_found_when_it_has_ended(bench):
    """No wake-up came, and the poll is an hour."""
    one = await bench(poll=3600.0, listening=True)
    one.store.writer_open = True
    one.ask(1)
    await until(lambda: one.store.names.count("oldest_xid") == 3)
    before = now()
    one.enqueue(1)
    one.store.writer_open = False
    await until(lambda: one.taker.taken)
    assert now() - before < 0.2


async def test_a_job_that_comes_while_writers_are_outwaited_is_claimed_meanwhile(bench):
    """One of them may stay open for long."""
    one = await bench(poll=3600.0, listening=True)
    one.store.writer_open = True
    one.ask(1)
    await until(lambda: one.store.names.count("oldest_xid") == 3)
    before = now()
    one.enqueue(1)
    await until(lambda: one.taker.taken)
    assert now() - before < 0.2


async def test_the_pause_between_two_checks_of_the_writers_grows_to_a_tenth_of_a_second(bench):
    """Short for the usual transaction, and no load for a long one."""
    one = await bench(poll=60.0, listening=True)
    one.store.writer_open = True
    one.ask(1)
    await asyncio.sleep(10)
    times = one.store.times("oldest_xid")
    pauses = [round(after - before, 3) for before, after in itertools.pairwise(times)]
    assert pauses[:3] == [0.001, 0.002, 0.004]
    assert set(pauses[7:]) == {0.1}


async def test_a_transaction_that_stays_open_is_outwaited_for_one_poll_interval(bench):
    """Some other application's; polling covers what it may commit."""
    one = await bench(poll=5.0, listening=True)
    one.store.writer_open = True
    one.ask(1)
    await asyncio.sleep(8.5)
    assert max(one.store.times("oldest_xid")) == pytest.approx(5.0, abs=0.2)
    assert max(one.store.times("claim")) < 5.2


async def test_while_the_mark_stands_it_is_renewed_and_the_writers_are_not_outwaited_again(bench):
    """Every enqueue since has seen a mark."""
    one = await bench(poll=2.0, listening=True)
    one.ask(1)
    await asyncio.sleep(60)
    marks = one.store.times("mark")
    pauses = [after - before for before, after in itertools.pairwise(marks)]
    assert all(MARK_SECONDS / 2 <= pause <= MARK_SECONDS / 2 + 2.5 for pause in pauses)
    assert len(marks) > 5
    assert one.store.names.count("take_xid") == 1


async def test_after_a_gap_in_the_marks_the_writers_are_outwaited_again(bench):
    """Enqueues in the gap have notified nobody."""
    one = await bench(poll=2.0, listening=True)
    one.ask(1)
    await asyncio.sleep(5)
    one.permit.allowed = False
    await asyncio.sleep(2 * MARK_SECONDS)
    one.permit.allowed = True
    await asyncio.sleep(5)
    assert one.store.names.count("take_xid") == 2


async def test_a_queue_whose_row_is_locked_is_polled_and_is_no_failed_claim(bench, caplog):
    """An administrator's transaction must not make a worker seem disconnected."""
    one = await bench(poll=2.0, listening=True)
    one.store.mark_error = RowLocked("the queue's row")
    one.ask(1)
    await asyncio.sleep(30)
    assert one.store.names.count("claim") >= 10
    assert one.claimer.claim_error is None
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    one.enqueue(1)
    await until(lambda: one.taker.taken)


async def test_a_drain_ends_the_wait_for_writers(bench):
    """The grace period is for jobs."""
    one = await bench(poll=3600.0, listening=True)
    one.store.writer_open = True
    one.ask(1)
    await asyncio.sleep(5)
    before = now()
    await one.claimer.close()
    assert now() - before < 0.2


async def test_an_empty_claim_that_was_answered_ends_the_failures(bench):
    """The database is back, though it has no job."""
    one = await bench(poll=2.0)
    one.store.errors = [ConnectionError("gone"), ConnectionError("gone"), ConnectionError("gone")]
    one.ask(1)
    await until(lambda: one.claimer.disconnected)
    await until(lambda: not one.claimer.disconnected)
    assert (one.claimer.claim_error, one.taker.taken) == (None, [])
