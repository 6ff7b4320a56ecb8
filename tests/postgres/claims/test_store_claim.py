"""Claims: which jobs, in which order, for whom; by index, whatever the tables contained when it was planned."""

from __future__ import annotations

from datetime import timedelta

import pytest

from penstock.errors import (
    ClaimRefused,
)
from penstock.job import Finished, OutcomeState
from tests.postgres import desk


async def test_a_claim_comes_in_order_of_priority_and_entry(store, client, db):
    """Lower numbers first, then who came first."""
    ids = client.enqueue([desk.new(priority=p) for p in (3, 1, 0, 1, 2, 0)])
    jobs = await desk.claim_some(store, desk.register(db), 6)
    assert [job.id for job in jobs] == [ids[n] for n in (2, 5, 1, 3, 4, 0)]


async def test_lower_numbers_come_first_when_not_all_fit(store, client, db):
    """But for the floor: of a claim of 20 one is kept for each level below, and the rest goes to the first."""
    client.enqueue([desk.new(priority=p) for p in (3, 2, 1, 0) for _ in range(50)])
    jobs = await desk.claim_some(store, desk.register(db), 20)
    counts = [sum(job.priority == p for job in jobs) for p in range(4)]
    assert sum(counts) == 20
    assert counts[0] >= 14
    assert all(1 <= count <= 2 for count in counts[1:])


async def test_a_floor_that_has_no_job_is_given_to_others(store, client, db):
    """No slot is wasted on an empty level."""
    client.enqueue([desk.new(priority=0) for _ in range(100)])
    assert len(await desk.claim_some(store, desk.register(db), 60)) == 60


async def test_a_claim_never_brings_more_than_was_asked(store, client, db):
    """Whatever is there."""
    client.enqueue([desk.new(priority=n % 4) for n in range(40)])
    worker = desk.register(db)
    assert [len(await desk.claim_some(store, worker, 7)) for _ in range(6)] == [7, 7, 7, 7, 7, 5]


async def test_a_claim_is_refused_without_a_live_lease(store, client, db):
    """Cordoned, lost and lapsed workers get nothing, and hear why."""
    client.enqueue([desk.new()])
    for change in ("state = 'cordoned'", "state = 'lost'", "lease_until = clock_timestamp()"):
        worker = desk.register(db)
        db.execute(f"UPDATE penstock.worker SET {change} WHERE id = {worker.id}")
        with pytest.raises(ClaimRefused, match="not running with a live lease"):
            await desk.claim_some(store, worker)


async def test_a_paused_queue_gives_nothing(store, client, db):
    """And gives again when it is resumed."""
    client.enqueue([desk.new()])
    worker = desk.register(db)
    db.execute("UPDATE penstock.queue SET paused_at = now()")
    assert await desk.claim_some(store, worker) == []
    db.execute("UPDATE penstock.queue SET paused_at = NULL")
    assert len(await desk.claim_some(store, worker)) == 1


async def test_a_claim_says_how_long_the_job_waited_and_sets_its_deadline(store, client, db):
    """Wait from ready to claimed on the database's clock; the deadline is the queue's."""
    client.enqueue([desk.new()])
    db.execute("UPDATE penstock.queue SET job_deadline = '50 minutes'")
    db.execute("UPDATE penstock.job SET ready_at = ready_at - interval '10 seconds'")
    (job,) = await desk.claim_some(store, desk.register(db))
    assert 10 <= job.wait < 60
    assert db.execute("SELECT deadline - claimed_at FROM penstock.job").fetchone() == (timedelta(minutes=50),)


async def test_claims_are_hot(store, client, db):
    """A claim changes no index: every update of a claimed page stays on its page."""
    client.enqueue([desk.new() for _ in range(50)])
    worker = desk.register(db)
    await desk.claim_some(store, worker, 50)
    await store.close()  # a backend that ends reports its counts at once
    query = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'job'"
    desk.until(lambda: db.execute(query).fetchone() == (50, 50))


async def test_plans_made_on_empty_tables_still_find_rows_by_index_when_there_are_many(store, client, db):
    """Twelve empty polls, 100,000 rows, no ANALYZE: claim, ack and promotion never read the table in sequence."""
    worker = desk.register(db)
    db.execute("ALTER TABLE penstock.job SET (autovacuum_enabled = off)")
    for _ in range(12):
        await desk.claim_some(store, worker)
        await store.leadership.promote()
    desk.enqueue(db, 50_000)
    desk.enqueue(db, 50_000, p_delays=[3600.0] * 50_000)
    scans = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'job'"
    db.execute("SELECT pg_stat_force_next_flush()")
    before = db.execute(scans).fetchone()
    for _ in range(3):
        jobs = await desk.claim_some(store, worker, 100)
        assert len(jobs) == 100
        await store.jobs.ack(worker.id, [Finished(job=job, state=OutcomeState.COMPLETED) for job in jobs[:50]])
        await store.jobs.ack(worker.id, [Finished(job=job, state=OutcomeState.RETRY, delay=9) for job in jobs[50:75]])
        await store.jobs.release(worker.id, jobs[75:])
        await store.leadership.promote()
        await store.queues.snapshot(cap=100)
    await store.close()  # a backend that ends has reported all its counts
    db.execute("SELECT pg_stat_clear_snapshot()")
    assert db.execute(scans).fetchone() == before
