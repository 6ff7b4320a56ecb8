"""The waiting protocol: no enqueue is missed by somebody who goes to sleep, and nobody is woken for nothing."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from penstock.cancellation import cancel_and_wait
from penstock.store import WORK, Listener
from tests.postgres import desk

OPEN_XID = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"


def notes(connection: psycopg.Connection, seconds: float) -> list[tuple[str, str]]:
    """Notifications that arrive within so many seconds; returns at the first."""
    return [(note.channel, note.payload) for note in connection.notifies(timeout=seconds, stop_after=1)]


async def test_an_enqueue_open_while_a_worker_goes_to_sleep_is_seen_before_it_sleeps(store, play, db):
    """It inserted before the mark and commits after it: no wake-up is sent, the worker's horizon says: not yet."""
    worker = desk.register(db)
    producer = play.connection("producer")
    producer.start_transaction()
    producer.run(desk.ENQUEUE)  # has read the marks: nobody waits
    await store.queues.mark_waiting([worker.queue], 600)
    horizon = await store.queues.take_xid()
    assert await store.queues.oldest_xid() <= horizon
    producer.commit()
    async with asyncio.timeout(60):
        while await store.queues.oldest_xid() <= horizon:  # a vacuum of the server's may be open too
            await asyncio.sleep(0.005)
    jobs = await store.jobs.claim(worker.id, worker.queue, "q", 1, desk.token())
    assert len(jobs) == 1


async def test_an_enqueue_after_the_mark_sends_a_wake_up(store, play, db):
    """The other order: it reads the mark in a statement that starts after it, so it cannot miss it."""
    worker = desk.register(db)
    db.execute("LISTEN penstock_work")
    producer = play.connection("producer")
    producer.start_transaction()
    producer.run("SELECT 1")
    await store.queues.mark_waiting([worker.queue], 600)
    producer.run(desk.ENQUEUE)
    producer.commit()
    assert notes(db, 60) == [("penstock_work", str(worker.queue))]


def test_nobody_waits_so_nothing_is_sent(play, db):
    """An enqueue to busy workers costs no notification."""
    desk.register(db)
    db.execute("LISTEN penstock_work")
    producer = play.connection("producer")
    producer.run(desk.ENQUEUE)
    assert notes(db, 0.3) == []


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_producer_that_cannot_see_the_mark_always_sends(isolation, play, db):
    """Above READ COMMITTED the mark may be invisible; a needless wake-up is better than a missed one."""
    worker = desk.register(db)
    db.execute("LISTEN penstock_work")
    producer = play.connection("producer")
    producer.start_transaction(isolation)
    producer.run("SELECT count(*) FROM penstock.job")
    producer.run(desk.ENQUEUE)
    producer.commit()
    assert notes(db, 60) == [("penstock_work", str(worker.queue))]


def test_a_rolled_back_enqueue_leaves_nothing_and_wakes_nobody(play, db):
    """The caller's transaction decides: no job, no notification."""
    worker = desk.register(db)
    db.execute("SELECT penstock.wait_mark(%s, 600, false)", [[worker.queue]])
    db.execute("LISTEN penstock_work")
    producer = play.connection("producer")
    producer.start_transaction()
    producer.run(desk.ENQUEUE)
    producer.rollback()
    assert notes(db, 0.3) == []
    assert db.execute("SELECT count(*) FROM penstock.job").fetchone() == (0,)


async def test_a_mark_is_renewed_only_when_half_of_it_is_over(store, db):
    """Many waiters cost one write: the second announcement within half the time changes no row."""
    worker = desk.register(db)
    first = await store.queues.mark_waiting([worker.queue], 600)
    before = db.execute("SELECT xmin::text FROM penstock.queue").fetchone()
    second = await store.queues.mark_waiting([worker.queue], 600)
    assert db.execute("SELECT xmin::text FROM penstock.queue").fetchone() == before
    assert first == pytest.approx(600, abs=60)
    assert 300 < second <= first


def test_release_and_promotion_wake_a_waiting_worker(play, db):
    """Every way into ready wakes waiters, not enqueue alone."""
    a = play.connection("a")
    worker, job, token = desk.claim_one(db, a)
    db.execute("SELECT penstock.wait_mark(%s, 600, false)", [[worker.queue]])
    db.execute("LISTEN penstock_work")
    a.run(desk.RELEASE, [worker.id, [job], [token]])
    assert len(notes(db, 60)) == 1
    desk.enqueue(db, 1, p_delays=[0.001])
    desk.until(lambda: a.run(desk.PROMOTE) == [(1,)])
    assert len(notes(db, 60)) == 1


def test_the_operator_and_the_workers_wait_separately(play, db):
    """A mark of one does not wake the other."""
    worker = desk.register(db)
    db.execute("SELECT penstock.wait_mark(%s, 600, true)", [[worker.queue]])
    db.execute("LISTEN penstock_work")
    db.execute("LISTEN penstock_depth")
    play.connection("producer").run(desk.ENQUEUE)
    assert notes(db, 60) == [("penstock_depth", str(worker.queue))]
    assert notes(db, 0.2) == []


async def test_a_listener_whose_connection_is_cut_listens_again_and_wakes(pg, play):
    """What was sent meanwhile is gone, so the reconnect itself counts as a wake-up."""
    heard: asyncio.Queue[str | None] = asyncio.Queue()
    listener = Listener(pg.url, (WORK,), lambda channel, _: heard.put_nowait(channel), name="cut me")
    task = asyncio.create_task(listener.run(), name="listen")
    try:
        assert await asyncio.wait_for(heard.get(), 60) is None
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cut me'"
        play.query(cut)
        assert await asyncio.wait_for(heard.get(), 60) is None
        play.query("SELECT pg_notify('penstock_work', '1')")
        assert await asyncio.wait_for(heard.get(), 60) == WORK
        assert listener.listening
    finally:
        await cancel_and_wait([task])
