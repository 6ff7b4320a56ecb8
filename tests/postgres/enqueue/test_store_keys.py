"""Unique keys: one live job of each, until it starts or ends, with any number of callers at once."""

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
    (job,) = await store.jobs.claim(worker.id, worker.queue, "q", 1, desk.token())
    return worker, job


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
    await store.jobs.ack(worker.id, [Finished(job=job, state=OutcomeState.RETRY)])
    assert client.enqueue([unique()]) == [first]
    await store.leadership.promote()
    worker, job = await claim_one(store, db)
    await store.jobs.ack(worker.id, [Finished(job=job, state=OutcomeState.COMPLETED)])
    assert client.enqueue([unique()]) != [first]


async def test_until_start_frees_the_key_at_the_claim_and_a_retry_does_not_take_it_back(client, store, db):
    """While the first runs, a second may wait; the first's retry runs without the key."""
    (first,) = client.enqueue([unique(until="start")])
    worker, job = await claim_one(store, db)
    (second,) = client.enqueue([unique(until="start")])
    assert second != first
    await store.jobs.ack(worker.id, [Finished(job=job, state=OutcomeState.RETRY)])
    assert db.execute("SELECT unique_key, unique_kept FROM penstock.job WHERE id = %s", [first]).fetchone() == (
        None,
        None,
    )


async def test_a_released_job_takes_its_key_back_if_it_is_free(client, store, db):
    """A released claim never started; with the key taken meanwhile it goes on without."""
    (first,) = client.enqueue([unique(until="start")])
    worker, job = await claim_one(store, db)
    await store.jobs.release(worker.id, [job])
    assert client.enqueue([unique(until="start")]) == [first]
    worker, job = await claim_one(store, db)
    (second,) = client.enqueue([unique(until="start")])
    await store.jobs.release(worker.id, [job])
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
        a.start_transaction()
        ((theirs,),) = a.run(UNIQUE)
        step = b.start(UNIQUE)
        step.blocks_on(a)
        end()
        ((ours,),) = step.finish()
        assert (ours == theirs) is (end == a.commit)
        assert db.execute("SELECT count(*) FROM penstock.job").fetchone() == (1,)


def test_an_enqueue_that_waits_for_a_job_that_ends_meanwhile_still_gets_an_id(play, db):
    """The holder was acknowledged while the enqueue checked: it takes the key itself."""
    worker = desk.register(db)
    a, b = play.connection("a"), play.connection("b")
    ((first,),) = a.run(UNIQUE)
    token = desk.token()
    desk.claim(a, worker, 1, token).finish()
    a.start_transaction()
    desk.ack(a, worker, [first], token).finish()
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
    a.start_transaction()
    ((ids,),) = a.run(query, [forth])
    step = b.start(query, [back])
    step.blocks_on(a)
    a.commit()
    assert step.finish() == [(ids[::-1],)]


def test_bulk_enqueues_of_one_key_in_several_queues_do_not_deadlock(play, db):
    """The same key in two queues is two keys, taken in order of the queue: neither has one that the other wants."""
    query = "SELECT penstock.enqueue_many(%s, '{w,w,w}', '{\"{}\",\"{}\",\"{}\"}', p_unique_keys => '{k,k,k}')"
    desk.enqueue(db)
    db.execute("SELECT penstock.enqueue_many('{r,s}', '{w,w}', '{\"{}\",\"{}\"}')")
    first, a, b = (play.connection(name) for name in ("first", "a", "b"))
    first.start_transaction()
    first.run("SELECT penstock.enqueue_many('{r}', '{w}', '{\"{}\"}', p_unique_keys => '{k}')")
    forth = a.start(query, ["{q,r,s}"])
    forth.blocks_on(first)
    back = b.start(query, ["{s,r,q}"])
    back.blocks()
    first.rollback()
    ((ids,),) = forth.finish()
    assert back.finish() == [(ids[::-1],)]


def test_a_redrive_and_a_bulk_enqueue_of_the_same_keys_do_not_deadlock(play, db):
    """Both take keys in order of key, whatever the order of the dead letters' ids."""
    worker, token = desk.register(db), desk.token()
    ids = desk.enqueue(db, 3, p_unique_keys=["c", "b", "a"])
    first, a, b = (play.connection(name) for name in ("first", "a", "b"))
    desk.claim(first, worker, 3, token).finish()
    desk.ack(first, worker, ids, token, "failed").finish()
    first.start_transaction()
    first.run("SELECT penstock.enqueue_many('{q}', '{w}', '{\"{}\"}', p_unique_keys => '{b}')")
    redrive = a.start("SELECT id, holder FROM penstock.redrive(%s)", [ids])
    redrive.blocks_on(first)
    bulk = b.start(
        "SELECT penstock.enqueue_many('{q,q,q}', '{w,w,w}', '{\"{}\",\"{}\",\"{}\"}', p_unique_keys => '{a,b,c}')"
    )
    bulk.blocks()
    first.rollback()
    assert sorted(redrive.finish()) == [(job, None) for job in ids]
    assert bulk.finish() == [(ids[::-1],)]


def test_a_bulk_enqueue_over_expired_keys_and_an_acknowledgement_of_their_holders_do_not_deadlock(play, db):
    """The keys come in the opposite order of their holders; both lock the holders in order of id."""
    worker, token = desk.register(db), desk.token()
    ids = desk.enqueue(db, 2, p_unique_keys=["b", "a"], p_unique_seconds=[0.0, 0.0])
    first, enqueuer, acks = (play.connection(name) for name in ("first", "enqueuer", "acks"))
    desk.claim(first, worker, 2, token).finish()
    first.start_transaction()
    first.run("SELECT FROM penstock.job WHERE id = %s FOR UPDATE", [ids[0]])
    bulk = enqueuer.start(
        "SELECT penstock.enqueue_many('{q,q}', '{work,work}', '{\"{}\",\"{}\"}', p_unique_keys => '{a,b}')"
    )
    bulk.blocks_on(first)
    acked = desk.ack(acks, worker, ids, token)
    acked.blocks()
    first.run("SELECT FROM penstock.job WHERE id = %s FOR UPDATE", [ids[1]])  # free: nobody took the second first
    first.commit()
    assert acked.finish() == []
    ((new,),) = bulk.finish()
    assert set(new).isdisjoint(ids)
    assert db.execute("SELECT count(*) FROM penstock.job WHERE unique_key IS NOT NULL").fetchone() == (2,)


async def test_a_redriven_job_holds_its_key_until_the_start_again(client, store, db):
    """As it did before it died; without its key it holds none."""
    (first,) = client.enqueue([unique(until="start")])
    for drop_key in (False, True):
        worker, job = await claim_one(store, db)
        await store.jobs.ack(worker.id, [Finished(job=job, state=OutcomeState.FAILED)])
        assert await store.jobs.redrive([first], drop_key=drop_key) == {first: None}
        kept = db.execute("SELECT unique_key IS NOT NULL, unique_kept = unique_key FROM penstock.job").fetchone()
        assert kept == ((False, None) if drop_key else (True, True))
    (second,) = client.enqueue([unique(until="start")])
    assert second != first


async def test_a_redriven_job_frees_its_key_when_it_starts(client, store, db):
    """The next may wait while it runs."""
    (first,) = client.enqueue([unique(until="start")])
    worker, job = await claim_one(store, db)
    await store.jobs.ack(worker.id, [Finished(job=job, state=OutcomeState.FAILED)])
    await store.jobs.redrive([first])
    assert client.enqueue([unique(until="start")]) == [first]
    worker, job = await claim_one(store, db)
    assert client.enqueue([unique(until="start")]) != [first]


@pytest.mark.parametrize("way", ["snooze", "rescue"])
async def test_a_job_that_may_have_started_does_not_take_its_key_back(way, client, store, db):
    """Snoozed and rescued jobs have given their key up for good, as retried ones have."""
    (first,) = client.enqueue([unique(until="start")])
    desk.lead_for_long(db)
    worker, job = await claim_one(store, db)
    if way == "snooze":
        await store.jobs.ack(worker.id, [Finished(job=job, state=OutcomeState.SNOOZE)])
    else:
        desk.lapse(db, worker)
        assert (await store.leadership.rescue("leader", desk.QUIET_LEASE)).rescued == 1
    assert await store.jobs.retry_now([first]) == 1
    worker, job = await claim_one(store, db)
    await store.jobs.release(worker.id, [job])
    assert db.execute("SELECT unique_key, unique_kept FROM penstock.job").fetchone() == (None, None)
    assert client.enqueue([unique(until="start")]) != [first]
