"""Exact limits: never more of a queue at once than its limit, whatever claims, crashes, or is turned on meanwhile."""

from __future__ import annotations

import random
import threading

import psycopg

from tests.postgres import desk

IN_FLIGHT = "SELECT in_flight FROM penstock.queue_limit"
RUNNING = "SELECT count(*) FROM penstock.job WHERE token IS NOT NULL"
COUNT = "SELECT penstock.count_limits()"
COMPLETE = "SELECT penstock.complete(%s, %s, %s, 0.1)"


def limit(db: psycopg.Connection, worker: desk.Worker, maximum: int) -> None:
    """A limit that is counted already."""
    db.execute("SELECT penstock.set_limit(%s, %s)", [worker.queue, maximum])
    desk.until(lambda: db.execute(COUNT).fetchone() == (0,))


def test_claims_stop_at_the_limit_and_go_on_when_jobs_end(play, db):
    """Every way out of running returns room: completed, retried, snoozed, released, failed."""
    worker = desk.register(db)
    desk.enqueue(db, 20)
    limit(db, worker, 3)
    a = play.connection("a")
    for state in ("completed", "retry", "snooze", "failed", "cancelled"):
        token = desk.token()
        ids = [row[0] for row in desk.claim(a, worker, 10, token).finish()]
        assert len(ids) == 3
        assert desk.claim(a, worker, 10, desk.token()).finish() == []
        assert db.execute(IN_FLIGHT).fetchone() == (3,)
        assert desk.ack(a, worker, ids[:2], token, state).finish() == []
        assert a.run(desk.RELEASE, [worker.id, ids[2:], [token]]) == [(1,)]
        assert db.execute(IN_FLIGHT).fetchone() == (0,)


def test_two_claimers_at_once_do_not_both_see_the_room(play, db):
    """The second waits for the first's commit and gets what is left; after a rollback it gets all."""
    worker = desk.register(db)
    desk.enqueue(db, 20)
    limit(db, worker, 5)
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction()
    assert len(desk.claim(a, worker, 3, desk.token()).finish()) == 3
    step = desk.claim(b, worker, 10, desk.token())
    step.blocks_on(a)
    a.commit()
    assert len(step.finish()) == 2
    assert db.execute(IN_FLIGHT).fetchone() == db.execute(RUNNING).fetchone() == (5,)


def test_a_claim_that_crashes_before_its_commit_takes_no_room(play, db):
    """The limit's row rolls back with the jobs'."""
    worker = desk.register(db)
    desk.enqueue(db, 20)
    limit(db, worker, 5)
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction()
    desk.claim(a, worker, 5, desk.token()).finish()
    a.die()
    assert len(desk.claim(b, worker, 10, desk.token()).finish()) == 5


def test_a_worker_that_is_lost_returns_its_room_with_its_jobs(play, db):
    """Rescue returns exactly what it took back."""
    worker, other = desk.register(db), desk.register(db)
    desk.enqueue(db, 20)
    limit(db, worker, 4)
    desk.lead_for_long(db)
    a = play.connection("a")
    desk.claim(a, worker, 3, desk.token()).finish()
    desk.claim(a, other, 1, desk.token()).finish()
    desk.lapse(db, worker)
    assert a.run(desk.RESCUE, ["leader", desk.QUIET_LEASE]) == [(1, 3, 0)]
    assert db.execute(IN_FLIGHT).fetchone() == (1,)
    assert len(desk.claim(a, other, 10, desk.token()).finish()) == 3


def test_a_limit_that_is_not_counted_yet_lets_nothing_through(play, db):
    """While jobs claimed before it may be running uncounted, claims wait."""
    worker = desk.register(db)
    desk.enqueue(db, 5)
    db.execute("SELECT penstock.set_limit(%s, 3)", [worker.queue])
    a = play.connection("a")
    assert desk.claim(a, worker, 5, desk.token()).finish() == []


def test_a_claim_that_did_not_see_the_limit_is_counted_by_it(play, db):
    """It was open when the limit was turned on: counting waits until it is over."""
    worker = desk.register(db)
    desk.enqueue(db, 10)
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction()
    assert len(desk.claim(a, worker, 4, desk.token()).finish()) == 4
    db.execute("SELECT penstock.set_limit(%s, 5)", [worker.queue])
    assert b.run(COUNT) == b.run(COUNT) == [(1,)]
    assert desk.claim(b, worker, 10, desk.token()).finish() == []
    a.commit()
    desk.until(lambda: db.execute(COUNT).fetchone() == (0,))
    assert db.execute(IN_FLIGHT).fetchone() == (4,)
    assert len(desk.claim(b, worker, 10, desk.token()).finish()) == 1


def test_an_acknowledgement_that_is_open_while_the_limit_is_counted_is_subtracted(play, db):
    """Counting does not wait for it: its job is counted as running, and subtracted with the commit."""
    worker = desk.register(db)
    (job, *_) = desk.enqueue(db, 4)
    token = desk.token()
    a, b = play.connection("a"), play.connection("b")
    desk.claim(a, worker, 2, token).finish()
    db.execute("SELECT penstock.set_limit(%s, 2)", [worker.queue])
    a.start_transaction()
    desk.ack(a, worker, [job], token).finish()
    step = b.start(COUNT)  # it holds the limit's row for as long as it is open, which count_limits waits for
    assert step.finish() == [(1,)]
    a.rollback()
    assert b.run(COUNT) == [(0,)]
    a.start_transaction()
    b.start_transaction()
    b.run("SELECT FROM penstock.queue_limit FOR UPDATE")
    desk.ack(a, worker, [job], token).finish()
    b.rollback()
    a.commit()
    assert len(desk.claim(b, worker, 10, desk.token()).finish()) == 1
    assert db.execute(IN_FLIGHT).fetchone() == db.execute(RUNNING).fetchone() == (2,)


def test_a_limit_turned_on_while_another_is_counted_waits_for_claims_of_its_own(play, db):
    """Each has its own horizon, taken when it is seen: what was open when another was turned on says nothing of it."""
    worker = desk.register(db)
    desk.enqueue(db, 6)
    db.execute("SELECT penstock.set_limit(0, 1)")
    a = play.connection("a")
    db.execute(COUNT)
    a.start_transaction()
    assert len(desk.claim(a, worker, 3, desk.token()).finish()) == 3
    db.execute("SELECT penstock.set_limit(%s, 1)", [worker.queue])
    for _ in range(3):
        db.execute(COUNT)
    a.commit()
    desk.until(lambda: db.execute(COUNT).fetchone() == (0,))
    assert desk.claim(a, worker, 3, desk.token()).finish() == []
    assert db.execute(IN_FLIGHT + " WHERE queue = %s", [worker.queue]).fetchone() == (3,)


def test_room_returned_before_a_limit_is_counted_is_not_returned_again(play, db):
    """A transactional acknowledgement sees the limit, so it returns room; its job is gone when others are counted."""
    worker, token = desk.register(db), desk.token()
    (job, *_) = desk.enqueue(db, 6)
    a = play.connection("a")
    desk.claim(a, worker, 2, token).finish()
    db.execute("SELECT penstock.set_limit(%s, 2)", [worker.queue])
    assert a.run(COMPLETE, [worker.id, job, token]) == [(True,)]
    desk.until(lambda: db.execute(COUNT).fetchone() == (0,))
    assert len(desk.claim(a, worker, 6, desk.token()).finish()) == 1
    assert db.execute(RUNNING).fetchone() == (2,)


def test_a_completion_that_cannot_see_the_limit_returns_its_room(play, db):
    """A REPEATABLE READ transaction older than the limit: its job was counted, so its room must come back."""
    worker, token = desk.register(db), desk.token()
    (job, *_) = desk.enqueue(db, 2)
    a = play.connection("a")
    desk.claim(a, worker, 1, token).finish()
    a.start_transaction("REPEATABLE READ")
    a.run("SELECT 1 FROM penstock.job")
    limit(db, worker, 1)
    assert a.run(COMPLETE, [worker.id, job, token]) == [(True,)]
    a.commit()
    assert len(desk.claim(a, worker, 1, desk.token()).finish()) == 1


def test_room_returned_to_a_queue_without_a_limit_is_forgotten(play, db):
    """Such a transaction cannot know that there is no limit either; maintenance drops what it left."""
    worker, token = desk.register(db), desk.token()
    (job,) = desk.enqueue(db)
    a = play.connection("a")
    desk.claim(a, worker, 1, token).finish()
    a.start_transaction("REPEATABLE READ")
    a.run(COMPLETE, [worker.id, job, token])
    a.commit()
    assert db.execute("SELECT count(*) FROM penstock.limit_return").fetchone() == (1,)
    db.execute("SELECT penstock.prune_workers()")
    assert db.execute("SELECT count(*) FROM penstock.limit_return").fetchone() == (0,)


def test_lifting_and_changing_a_limit_take_effect_at_the_next_claim(play, db):
    """A changed one keeps its count; without one everything goes."""
    worker = desk.register(db)
    desk.enqueue(db, 20)
    limit(db, worker, 2)
    a = play.connection("a")
    assert len(desk.claim(a, worker, 10, desk.token()).finish()) == 2
    db.execute("SELECT penstock.set_limit(%s, 5)", [worker.queue])
    assert len(desk.claim(a, worker, 10, desk.token()).finish()) == 3
    db.execute("SELECT penstock.set_limit(%s, NULL)", [worker.queue])
    assert len(desk.claim(a, worker, 10, desk.token()).finish()) == 10


async def test_the_store_counts_limits_that_were_turned_on(store, db):
    """What maintenance calls until nothing is left to count."""
    worker = desk.register(db)
    desk.enqueue(db, 3)
    await store.queues.set_limit(worker.queue, 2)
    while not await store.leadership.count_limits():
        pass
    assert len(await store.jobs.claim(worker.id, worker.queue, "q", 10, desk.token())) == 2


def test_six_claimers_with_random_batches_never_exceed_the_limit(pg, db):
    """Claims, acknowledgements and releases at random: sampled all along, and the count is right at the end."""
    worker = desk.register(db)
    total, maximum = 400, 5
    desk.enqueue(db, total)
    limit(db, worker, maximum)
    seen, stop = [], threading.Event()

    def work(seed: int) -> None:
        rng = random.Random(seed)
        with pg.connect() as connection:
            while not stop.is_set():
                token = desk.token() * 100 + seed
                claim = [worker.id, worker.queue, rng.randint(1, 4), token]
                ids = [row[0] for row in connection.execute(desk.CLAIM.encode(), claim)]
                if ids and rng.random() < 0.2:
                    connection.execute(desk.RELEASE.encode(), [worker.id, ids, [token] * len(ids)])
                elif ids:
                    done = [worker.id, ids, [token] * len(ids), ["completed"] * len(ids)]
                    connection.execute(desk.ACK.encode(), done)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    try:
        done = "SELECT count(*) FROM penstock.outcome"
        while db.execute(done).fetchone() != (total,):
            seen.append(db.execute(RUNNING).fetchone()[0])
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert max(seen) <= maximum
    assert db.execute(IN_FLIGHT).fetchone() == (0,)
    assert db.execute("SELECT count(DISTINCT job_id) FROM penstock.outcome").fetchone() == (total,)
