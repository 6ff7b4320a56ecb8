"""Unique keys, cancel, retry now, redrive, discard, pause: alone, and against what runs at the same time."""

from __future__ import annotations

import threading

import psycopg
import pytest

from penstock.errors import UniqueConflict
from penstock.job import Finished, NewJob, OutcomeState, UniqueKey
from penstock.store import Store
from tests.postgres import desk

UNIQUE = "SELECT (penstock.enqueue_many('{q}', '{work}', '{\"{}\"}', p_unique_keys => '{k}'))[1]"


def unique(key: str = "k", queue: str = "q", **values) -> NewJob:
    return NewJob(task="work", args="{}", queue=queue, unique=UniqueKey(key=key, **values))


async def claim_one(store: Store, db: psycopg.Connection):
    worker = desk.register(db)
    (job,) = await store.claim(worker.id, worker.queue, "q", 1, desk.token())
    return worker, job


# -- unique keys --------------------------------------------------------------------------------------------------


def test_a_second_job_with_the_key_is_the_first(client, db):
    """Ignore returns the holder; raise refuses and names it; another queue has keys of its own."""
    (first,) = client.enqueue([unique()])
    assert client.enqueue([unique(), unique(), unique("other")])[:2] == [first, first]
    with pytest.raises(UniqueConflict, match=rf"job {first}\b"):
        client.enqueue([unique(on_conflict="raise")])
    (elsewhere,) = client.enqueue([unique(queue="p")])
    assert elsewhere != first
    assert db.execute("SELECT count(*) FROM penstock.job").fetchone() == (3,)


async def test_until_finish_holds_the_key_while_the_job_runs_and_retries(client, store, db):
    """It is free when the job has ended."""
    (first,) = client.enqueue([unique()])
    worker, job = await claim_one(store, db)
    assert client.enqueue([unique()]) == [first]
    await store.ack(worker.id, [Finished(job=job, state=OutcomeState.RETRY)])
    assert client.enqueue([unique()]) == [first]
    await store.promote()
    worker, job = await claim_one(store, db)
    await store.ack(worker.id, [Finished(job=job, state=OutcomeState.COMPLETED)])
    assert client.enqueue([unique()]) != [first]


async def test_until_start_frees_the_key_at_the_claim_and_a_retry_does_not_take_it_back(client, store, db):
    """While the first runs, a second may wait; the first's retry runs without the key."""
    (first,) = client.enqueue([unique(until="start")])
    worker, job = await claim_one(store, db)
    (second,) = client.enqueue([unique(until="start")])
    assert second != first
    await store.ack(worker.id, [Finished(job=job, state=OutcomeState.RETRY)])
    assert db.execute("SELECT unique_key, unique_kept FROM penstock.job WHERE id = %s", [first]).fetchone() == (
        None,
        None,
    )


async def test_a_released_job_takes_its_key_back_if_it_is_free(client, store, db):
    """A claim that was handed back never started; with the key taken meanwhile it goes on without."""
    (first,) = client.enqueue([unique(until="start")])
    worker, job = await claim_one(store, db)
    await store.release(worker.id, [job])
    assert client.enqueue([unique(until="start")]) == [first]
    worker, job = await claim_one(store, db)
    (second,) = client.enqueue([unique(until="start")])
    await store.release(worker.id, [job])
    rows = db.execute(
        "SELECT id, unique_key IS NOT NULL, unique_kept IS NOT NULL FROM penstock.job ORDER BY id"
    ).fetchall()
    assert rows == [(first, False, False), (second, True, True)]


def test_an_expired_key_is_given_to_the_next(client, db):
    """The enqueue that meets it takes it away; the old job goes on without."""
    (first,) = client.enqueue([unique(expires=0.001)])
    desk.until(lambda: db.execute("SELECT unique_until < clock_timestamp() FROM penstock.job").fetchone() == (True,))
    (second,) = client.enqueue([unique()])
    assert second != first
    assert client.enqueue([unique()]) == [second]
    assert desk.state_of(db, first) == "queued"


def test_an_enqueue_waits_for_a_producer_that_has_the_key_in_an_open_transaction(play, db):
    """Committed: the holder's id. Rolled back: an id of its own. Never neither."""
    a, b = play.connection("a"), play.connection("b")
    for end in (a.commit, a.rollback):
        db.execute("DELETE FROM penstock.job")
        a.begin()
        ((theirs,),) = a.run(UNIQUE)
        step = b.start(UNIQUE)
        step.blocks_on(a)
        end()
        ((ours,),) = step.finish()
        assert (ours == theirs) is (end == a.commit)
        assert db.execute("SELECT count(*) FROM penstock.job").fetchone() == (1,)


def test_an_enqueue_that_waits_for_a_job_that_ends_meanwhile_still_gets_an_id(play, db):
    """The holder was acknowledged while the enqueue looked: it takes the key itself."""
    worker = desk.register(db)
    a, b = play.connection("a"), play.connection("b")
    ((first,),) = a.run(UNIQUE)
    held = desk.token()
    desk.claim(a, worker, 1, held).finish()
    a.begin()
    desk.ack(a, worker, [first], held).finish()
    step = b.start(UNIQUE)
    step.blocks_on(a)
    a.commit()
    ((second,),) = step.finish()
    assert second != first


def test_fifty_producers_at_once_make_one_job(pg, db):
    """All get the same id."""
    ids: list[int] = []

    def produce() -> None:
        with pg.connect() as connection:
            row = connection.execute(UNIQUE.encode()).fetchone()
            assert row is not None
            ids.append(row[0])

    threads = [threading.Thread(target=produce) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 50
    assert len(set(ids)) == 1
    assert db.execute("SELECT count(*) FROM penstock.job").fetchone() == (1,)


def test_bulk_enqueues_with_the_same_keys_in_opposite_order_do_not_deadlock(play, db):
    """They are sorted by key, so the second waits for the first and then returns its ids."""
    forth, back = "{a,b,c}", "{c,b,a}"
    query = "SELECT penstock.enqueue_many('{q,q,q}', '{w,w,w}', '{\"{}\",\"{}\",\"{}\"}', p_unique_keys => %s)"
    a, b = play.connection("a"), play.connection("b")
    a.begin()
    ((ids,),) = a.run(query, [forth])
    step = b.start(query, [back])
    step.blocks_on(a)
    a.commit()
    assert step.finish() == [(ids[::-1],)]


# -- cancel -------------------------------------------------------------------------------------------------------


async def test_cancelling_ends_what_waits_and_flags_what_runs(client, store, db):
    """A job that is over is left out of the answer."""
    waiting, later, running = client.enqueue(
        [unique("a"), NewJob(task="work", args="{}", queue="q", delay=60), unique("b")]
    )
    worker = desk.register(db)
    jobs = await store.claim(worker.id, worker.queue, "q", 2, desk.token())
    await store.release(worker.id, [job for job in jobs if job.id == waiting])
    assert client.cancel_jobs([waiting, later, running, 999]) == {
        waiting: "cancelled", later: "cancelled", running: "cancelling",
    }  # fmt: skip
    assert [desk.state_of(db, job) for job in (waiting, later, running)] == ["cancelled", "cancelled", "running"]
    assert client.cancel_jobs([waiting]) == {}
    (job,) = [job for job in jobs if job.id == running]
    assert await store.ack(worker.id, [Finished(job=job, state=OutcomeState.COMPLETED)]) == [
        (running, job.token, "cancelled")
    ]


def test_a_cancel_that_meets_a_claim_flags_the_claimed_job(play, db):
    """It waits for the claim's row and then sees it running."""
    worker, (job,) = desk.register(db), desk.enqueue(db, 1)
    a, b = play.connection("a"), play.connection("b")
    a.begin()
    desk.claim(a, worker, 1, desk.token()).finish()
    step = b.start("SELECT id, verdict FROM penstock.cancel_jobs(%s)", [[job]])
    step.blocks_on(a)
    a.commit()
    assert step.finish() == [(job, "cancelling")]


def test_a_claim_that_meets_a_cancel_steps_over_the_job(play, db):
    """The other order: the job ends as cancelled and nobody runs it."""
    worker, (job,) = desk.register(db), desk.enqueue(db, 1)
    a, b = play.connection("a"), play.connection("b")
    a.begin()
    assert a.run("SELECT id, verdict FROM penstock.cancel_jobs(%s)", [[job]]) == [(job, "cancelled")]
    assert desk.claim(b, worker, 1, desk.token()).finish() == []
    a.commit()
    assert desk.claim(b, worker, 1, desk.token()).finish() == []
    assert desk.state_of(db, job) == "cancelled"


def test_a_cancel_that_meets_an_acknowledgement_changes_nothing(play, db):
    """The job was over first."""
    worker, (job,) = desk.register(db), desk.enqueue(db, 1)
    held = desk.token()
    a, b = play.connection("a"), play.connection("b")
    desk.claim(a, worker, 1, held).finish()
    a.begin()
    desk.ack(a, worker, [job], held).finish()
    step = b.start("SELECT id, verdict FROM penstock.cancel_jobs(%s)", [[job]])
    step.blocks_on(a)
    a.commit()
    assert step.finish() == []
    assert desk.state_of(db, job) == "completed"


async def test_a_release_and_a_rescue_end_a_flagged_job(client, store, db):
    """It never becomes ready again."""
    ids = client.enqueue([unique("a"), unique("b")])
    desk.lead_for_long(db)
    worker = desk.register(db)
    jobs = await store.claim(worker.id, worker.queue, "q", 2, desk.token())
    client.cancel_jobs(ids)
    await store.release(worker.id, jobs[:1])
    desk.lapse(db, worker)
    await store.rescue("leader", desk.QUIET_LEASE)
    assert [desk.state_of(db, job) for job in ids] == ["cancelled", "cancelled"]


# -- retry now, redrive, discard, pause ---------------------------------------------------------------------------


async def test_a_deferred_job_can_be_made_ready_at_once(client, store, db):
    """What is ready, running or over is not touched."""
    ready, later = client.enqueue([unique("a"), NewJob(task="work", args="{}", queue="q", delay=3600)])
    assert await store.retry_now([ready, later, 999]) == 1
    assert desk.state_of(db, later) == "queued"


async def test_a_dead_letter_comes_back_under_its_id_with_its_history(client, store, db):
    """Attempts and crashes begin at zero; the errors are kept; it can die again."""
    (dead,) = client.enqueue([unique()])
    worker, job = await claim_one(store, db)
    await store.ack(worker.id, [Finished(job=job, state=OutcomeState.FAILED, reason="exhausted", error='{"n": 1}')])
    assert await store.redrive([dead, 999]) == {dead: None}
    info = client.info(dead)
    assert info is not None
    assert (info.state.value, info.attempt, info.crashes, info.errors) == ("queued", 0, 0, [{"n": 1}])
    worker, job = await claim_one(store, db)
    await store.ack(worker.id, [Finished(job=job, state=OutcomeState.COMPLETED)])
    assert desk.state_of(db, dead) == "completed"
    assert await store.redrive([dead]) == {}


async def test_a_dead_letter_whose_key_is_taken_stays_and_names_the_holder(client, store, db):
    """Until it is told to come back without the key."""
    (dead,) = client.enqueue([unique()])
    worker, job = await claim_one(store, db)
    await store.ack(worker.id, [Finished(job=job, state=OutcomeState.FAILED)])
    (holder,) = client.enqueue([unique()])
    assert await store.redrive([dead]) == {dead: holder}
    assert desk.state_of(db, dead) == "dead"
    assert await store.redrive([dead], drop_key=True) == {dead: None}
    assert desk.state_of(db, dead) == "queued"


def test_two_redrives_at_once_bring_it_back_once(play, db, pg):
    """The second waits and finds nothing."""
    (job,) = desk.enqueue(db, 1)
    worker, held = desk.register(db), desk.token()
    a, b = play.connection("a"), play.connection("b")
    desk.claim(a, worker, 1, held).finish()
    desk.ack(a, worker, [job], held, "failed").finish()
    a.begin()
    assert a.run("SELECT id, holder FROM penstock.redrive(%s)", [[job]]) == [(job, None)]
    step = b.start("SELECT id, holder FROM penstock.redrive(%s)", [[job]])
    step.blocks_on(a)
    a.commit()
    assert step.finish() == []
    assert db.execute("SELECT count(*) FROM penstock.job").fetchone() == (1,)


async def test_a_discarded_dead_letter_is_gone(client, store, db):
    """And only a dead letter can be."""
    dead, alive = client.enqueue([unique("a"), unique("b")])
    worker, job = await claim_one(store, db)
    assert job.id == dead
    await store.ack(worker.id, [Finished(job=job, state=OutcomeState.FAILED)])
    assert await store.discard([dead, alive]) == 1
    assert [desk.state_of(db, job) for job in (dead, alive)] == ["gone", "queued"]


async def test_pausing_a_queue_that_nobody_knows_says_so(store, client):
    """False instead of a new row."""
    client.enqueue([unique()])
    assert await store.pause("q")
    assert await store.pause("q", paused=False)
    assert not await store.pause("never")
