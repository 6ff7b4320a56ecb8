"""Acknowledge, release, rescue, promote, sample: the state after each."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from penstock.errors import (
    RejectedByDatabase,
)
from penstock.job import ENDED, Finished, JobState, OutcomeState
from penstock.jobqueue.declaration import QueueDeclaration
from penstock.store import (
    WorkerRegistry,
)
from tests.postgres import desk


async def test_a_mixed_batch_puts_each_job_where_it_belongs(store, client, db):
    """Completed, failed, cancelled, retried and snoozed in one call."""
    client.enqueue([desk.new() for _ in range(5)])
    worker = desk.register(db)
    jobs = await desk.claim_some(store, worker)
    states = [
        OutcomeState.COMPLETED,
        OutcomeState.FAILED,
        OutcomeState.CANCELLED,
        OutcomeState.RETRY,
        OutcomeState.SNOOZE,
    ]
    batch = [
        Finished(job=job, state=state, delay=60, reason="why", error='{"message": "no"}', result='"yes"')
        for job, state in zip(jobs, states, strict=True)
    ]
    assert await store.jobs.ack(worker.id, batch) == []
    found = [desk.state_of(db, job.id) for job in jobs]
    assert found == ["completed", "dead", "cancelled", "scheduled", "scheduled"]
    attempts = db.execute("SELECT attempt, reason, errors FROM penstock.job ORDER BY id").fetchall()
    assert attempts == [(1, "why", [{"message": "no"}]), (0, "why", [{"message": "no"}])]
    assert db.execute("SELECT state, final FROM penstock.outcome ORDER BY job_id").fetchall() == [
        ("completed", True),
        ("failed", True),
        ("cancelled", True),
        ("retry", False),
    ]


async def test_a_result_and_a_dead_letters_history_can_be_read(store, client, db):
    """What the view shows of ended jobs."""
    done, dead = client.enqueue([desk.new(args='{"n": 1}'), desk.new(max_attempts=1)])
    worker = desk.register(db)
    first, second = await desk.claim_some(store, worker)
    failed = Finished(job=second, state=OutcomeState.FAILED, reason="exhausted", error='{"message": "no"}')
    await store.jobs.ack(worker.id, [Finished(job=first, state=OutcomeState.COMPLETED, result="[1, 2]"), failed])
    info = client.info(done)
    assert info is not None
    assert (info.state, info.result, info.args) == (JobState.COMPLETED, [1, 2], {"n": 1})
    info = client.info(dead)
    assert info is not None
    assert (info.state, info.reason, info.errors) == (JobState.DEAD, "exhausted", [{"message": "no"}])
    assert info.state in ENDED


async def test_the_history_keeps_the_last_five_errors(store, client, db):
    """Older ones are in their outcomes."""
    client.enqueue([desk.new(max_attempts=100)])
    worker = desk.register(db)
    for number in range(1, 8):
        (job,) = await desk.claim_some(store, worker)
        await store.jobs.ack(worker.id, [Finished(job=job, state=OutcomeState.RETRY, error=f'{{"n": {number}}}')])
        await store.leadership.promote()
    errors = db.execute("SELECT errors FROM penstock.job").fetchone()[0]
    assert [error["n"] for error in errors] == [3, 4, 5, 6, 7]


async def test_one_unstorable_outcome_refuses_its_batch_and_writes_nothing(store, client, db):
    """So that the caller may halve the batch and find it."""
    client.enqueue([desk.new(), desk.new()])
    worker = desk.register(db)
    first, second = await desk.claim_some(store, worker)
    wrong = Finished(job=second, state=OutcomeState.COMPLETED, result='"\\u0000"')
    with pytest.raises(RejectedByDatabase):
        await store.jobs.ack(worker.id, [Finished(job=first, state=OutcomeState.COMPLETED), wrong])
    assert [desk.state_of(db, job.id) for job in (first, second)] == ["running", "running"]


async def test_release_refunds_the_attempt_and_goes_after_those_that_wait(store, client, db):
    """A fresh ord, the same ready_at."""
    ids = client.enqueue([desk.new(), desk.new()])
    worker = desk.register(db)
    ready_at = db.execute("SELECT ready_at FROM penstock.job WHERE id = %s", [ids[0]]).fetchone()
    first = await desk.claim_some(store, worker, 1)
    assert await store.jobs.release(worker.id, first) == 1
    assert [job.id for job in await desk.claim_some(store, worker, 2)] == ids[::-1]
    assert db.execute("SELECT ready_at FROM penstock.job WHERE id = %s", [ids[0]]).fetchone() == ready_at
    assert db.execute("SELECT attempt FROM penstock.job WHERE id = %s", [ids[0]]).fetchone() == (1,)


async def test_the_third_crash_makes_a_dead_letter_and_spares_the_neighbours(store, client, db):
    """A job whose worker is lost three times is poison; one that ran next to it once is not."""
    (poison,) = client.enqueue([desk.new()])
    desk.lead_for_long(db)
    for crash in range(1, 4):
        worker = desk.register(db)
        (neighbour,) = client.enqueue([desk.new()])
        assert len(await desk.claim_some(store, worker, 2)) == 2
        desk.lapse(db, worker)
        rescue = await store.leadership.rescue("leader", desk.QUIET_LEASE)
        assert rescue == ((1, 2, 0) if crash < 3 else (1, 1, 1))
        assert desk.state_of(db, neighbour) == "scheduled"
        db.execute("DELETE FROM penstock.job WHERE id = %s", [neighbour])
        db.execute("UPDATE penstock.job SET due_at = clock_timestamp() WHERE due_at IS NOT NULL")
        await store.leadership.promote()
    info = client.info(poison)
    assert info is not None
    assert (info.state, info.reason, info.crashes) == (JobState.DEAD, "poison", 3)


async def test_promotion_keeps_the_due_time_as_the_start_of_the_wait(store, client, db):
    """A late promotion shows as waiting; the next due time is reported."""
    first, _ = client.enqueue([desk.new(delay=0.001), desk.new(delay=500)])
    desk.until(lambda: db.execute("SELECT min(due_at) < clock_timestamp() FROM penstock.job").fetchone() == (True,))
    due = db.execute("SELECT due_at FROM penstock.job WHERE id = %s", [first]).fetchone()
    promotion = await store.leadership.promote()
    assert promotion.promoted == 1
    assert promotion.next_due == pytest.approx(500, abs=60)
    assert db.execute("SELECT ready_at FROM penstock.job WHERE id = %s", [first]).fetchone() == due


async def test_a_snapshot_counts_every_queue_in_one_query(store, client, db):
    """Ready, deferred, due soon, in flight, dead, the oldest, and the workers; a cap bounds the counting."""
    client.enqueue([desk.new() for _ in range(6)] + [desk.new(delay=5), desk.new(delay=500), desk.new(queue="other")])
    worker = desk.register(db)
    db.execute("UPDATE penstock.job SET ready_at = ready_at - interval '1 minute' WHERE queue = %s", [worker.queue])
    jobs = await desk.claim_some(store, worker, 2)
    await store.jobs.ack(worker.id, [Finished(job=jobs[0], state=OutcomeState.FAILED, reason="exhausted")])
    by_name = {state.name: state for state in await store.queues.snapshot()}
    q = by_name["q"]
    assert (q.ready, q.deferred, q.due_soon, q.in_flight, q.dead, q.capped) == (4, 2, 1, 1, 1, False)
    assert q.oldest == pytest.approx(60, abs=10)
    assert [w["id"] for w in q.workers] == [worker.id]
    assert (by_name["other"].ready, by_name["other"].workers, by_name["other"].declared) == (1, [], False)
    capped = {state.name: state for state in await store.queues.snapshot(cap=2)}["q"]
    assert capped.capped
    assert capped.ready <= 3


async def test_declaring_a_queue_mirrors_its_settings_and_ignores_an_older_generation(store, db):
    """The newest generation of one declarer wins, whatever order they arrive in."""
    await store.queues.declare("q", QueueDeclaration(declared_by="uid", generation=2, max_attempts=9, job_deadline=60))
    await store.queues.declare("q", QueueDeclaration(declared_by="uid", generation=1, max_attempts=3))
    row = db.execute("SELECT max_attempts, job_deadline, generation FROM penstock.queue").fetchone()
    assert row == (9, timedelta(minutes=1), 2)


def test_the_registry_knows_who_is_there_and_forgets_who_left_empty(pg, db):
    """Renewal reports what is in flight; leaving with claims open marks the worker lost instead."""
    registry = WorkerRegistry(pg.url)
    try:
        values: Any = {"queue": "q", "identity": "host:1", "version": "1", "concurrency": 2, "lease": 15.0}
        one, two = registry.register(**values), registry.register(**values)
        renewal = registry.renew(one.worker, lease=15, claims=[], in_flight={"q": 2}, done={"q": 7}, drained=False)
        assert renewal == ("running", [], [])
        assert db.execute("SELECT in_flight, done FROM penstock.worker ORDER BY id LIMIT 1").fetchone() == (
            {"q": 2},
            {"q": 7},
        )
        registry.deregister(one.worker, empty=True)
        registry.deregister(two.worker, empty=False)
        assert db.execute("SELECT id, state FROM penstock.worker").fetchall() == [(two.worker, "lost")]
    finally:
        registry.close()


def test_a_cordoned_worker_reports_drained_and_can_be_called_back(pg, db):
    """Only an empty cordoned worker becomes drained; both states end with the call."""
    worker = desk.register(db)
    registry = WorkerRegistry(pg.url)
    try:
        db.execute("SELECT penstock.cordon(%s, true)", [[worker.id]])
        states = []
        for drained in (False, True):
            renewal = registry.renew(worker.id, lease=15, claims=[], in_flight={}, done={}, drained=drained)
            states.append(renewal.state)
        assert states == ["cordoned", "drained"]
        assert db.execute("SELECT penstock.cordon(%s, false)", [[worker.id]]).fetchall() == [(worker.id,)]
        assert db.execute("SELECT state FROM penstock.worker").fetchone() == ("running",)
    finally:
        registry.close()


@pytest.mark.parametrize("before", ["running", "cordoned", "drained"])
def test_a_draining_worker_cannot_be_called_back_cordoned_or_given_jobs(before, pg, db):
    """Whatever it was before: it is stopping for good, keeps its lease and its jobs, and is lost as any other."""
    worker, registry = desk.register(db), WorkerRegistry(pg.url)
    try:
        db.execute("UPDATE penstock.worker SET state = %s", [before])
        assert [registry.start_drain(worker.id) for _ in range(2)] == ["draining", "draining"]
        for cordon in (False, True, False):
            assert db.execute("SELECT penstock.cordon(%s, %s)", [[worker.id], cordon]).fetchall() == []
        renewal = registry.renew(worker.id, lease=15, claims=[], in_flight={}, done={}, drained=True)
        assert renewal.state == "draining"
        desk.enqueue(db)
        with pytest.raises(psycopg.Error, match="not running"):
            db.execute(desk.CLAIM, [worker.id, worker.queue, 1, desk.token()])
        db.execute("UPDATE penstock.worker SET state = 'lost'")
        assert registry.start_drain(worker.id) == "lost"
        assert registry.start_drain(worker.id + 1000) is None
    finally:
        registry.close()


async def test_a_stale_snooze_with_the_current_one_of_the_same_job_is_fenced(store, client, db):
    """One worker claimed it twice and acknowledges both in one batch: the released claim has no outcome."""
    (job,) = client.enqueue([desk.new()])
    worker = desk.register(db)
    (stale,) = await desk.claim_some(store, worker)
    await store.jobs.release(worker.id, [stale])
    for stale_first in (True, False):
        (current,) = await desk.claim_some(store, worker)
        batch = [stale, current] if stale_first else [current, stale]
        said = [Finished(job=one, state=OutcomeState.SNOOZE, delay=0) for one in batch]
        assert await store.jobs.ack(worker.id, said) == [(job, stale.token, None)]
        assert db.execute("SELECT attempt, token FROM penstock.job").fetchone() == (0, None)
        await store.leadership.promote()
