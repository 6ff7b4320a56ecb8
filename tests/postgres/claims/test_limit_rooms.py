"""Room under a limit: it returns without a wait and wakes waiting workers, and an open snapshot adds no cost."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.postgres import desk
from tests.postgres.claims.test_store_limits import COMPLETE, COUNT, IN_FLIGHT, RUNNING, limit
from tests.support.postgres import Database


@pytest.fixture
def pg(pg_newest: Database) -> Database:
    """The newest server alone."""
    return pg_newest


WAITING = "UPDATE penstock.queue SET workers_waiting_until = clock_timestamp() + interval '1 h'"


@pytest.mark.parametrize("way", ["ack", "retry", "release", "complete", "rescue", "deadline", "more", "no limit"])
def test_room_that_comes_back_wakes_who_waits_for_it(way, play, db):
    """Whatever ends the running of a job, and a limit that is raised or lifted."""
    worker, other = desk.register(db), desk.register(db)
    ids = desk.enqueue(db, 3)
    limit(db, worker, 2)
    token = desk.token()
    a = play.connection("a")
    desk.claim(a, worker, 2, token).finish()
    assert desk.claim(a, other, 1, desk.token()).finish() == []
    desk.lead_for_long(db)
    db.execute(WAITING)
    with psycopg.connect(play.url, autocommit=True) as listens:
        listens.execute("LISTEN penstock_work")
        match way:
            case "ack":
                desk.ack(a, worker, ids[:1], token).finish()
            case "retry":
                desk.ack(a, worker, ids[:1], token, "retry").finish()
            case "release":
                a.run(desk.RELEASE, [worker.id, ids[:1], [token]])
            case "complete":
                assert a.run(COMPLETE, [worker.id, ids[0], token]) == [(True,)]
            case "rescue":
                desk.lapse(db, worker)
                assert a.run(desk.RESCUE, ["leader", desk.QUIET_LEASE]) == [(1, 2, 0)]
            case "deadline":
                db.execute("UPDATE penstock.queue SET job_deadline = '1 h'")
                db.execute("UPDATE penstock.job SET deadline = now() - interval '1 s' WHERE id = %s", ids[:1])
                assert a.run(desk.OVERDUE, ["leader", desk.QUIET_LEASE]) == [(1, 0)]
            case _:
                db.execute("SELECT penstock.set_limit(%s, %s)", [worker.queue, 3 if way == "more" else None])
        assert [note.payload for note in listens.notifies(timeout=60, stop_after=1)] == [str(worker.queue)]
    assert len(desk.claim(a, other, 1, desk.token()).finish()) == 1


def test_below_its_limit_a_queue_wakes_nobody_for_room(play, db):
    """A waiter then waits for jobs: a NOTIFY per acknowledgement would cost every commit."""
    worker = desk.register(db)
    ids = desk.enqueue(db, 2)
    limit(db, worker, 5)
    token = desk.token()
    a = play.connection("a")
    desk.claim(a, worker, 2, token).finish()
    db.execute(WAITING)
    with psycopg.connect(play.url, autocommit=True) as listens:
        listens.execute("LISTEN penstock_work")
        desk.ack(a, worker, ids, token).finish()
        db.execute("SELECT pg_notify('penstock_work', 'end')")
        assert [note.payload for note in listens.notifies(timeout=60, stop_after=1)] == ["end"]


def test_room_comes_back_although_somebody_holds_the_limits_row(play, db):
    """Acknowledged, released and rescued without a wait; the next claim finds all of it, once."""
    worker, lost = desk.register(db), desk.register(db)
    ids = desk.enqueue(db, 8)
    limit(db, worker, 4)
    token = desk.token()
    a, person = play.connection("a"), play.connection("person")
    desk.claim(a, worker, 3, token).finish()
    desk.claim(a, lost, 1, token).finish()
    desk.lapse_under_a_leader(db, lost)
    person.start_transaction()
    person.run("SELECT FROM penstock.queue_limit FOR UPDATE")
    assert desk.ack(a, worker, ids[:2], token).finish() == []
    assert a.run(desk.RELEASE, [worker.id, ids[2:3], [token]]) == [(1,)]
    assert a.run(desk.RESCUE, ["leader", desk.QUIET_LEASE]) == [(1, 1, 0)]
    person.rollback()
    assert len(desk.claim(a, worker, 10, desk.token()).finish()) == 4
    assert db.execute(IN_FLIGHT).fetchone() == db.execute(RUNNING).fetchone() == (4,)


def test_a_return_that_commits_late_is_found_among_those_that_were_folded(play, db):
    """It was open when others were folded: found by its transaction, and subtracted once."""
    worker, token = desk.register(db), desk.token()
    ids = desk.enqueue(db, 12)
    limit(db, worker, 4)
    late, early, a = play.connection("late"), play.connection("early"), play.connection("a")
    desk.claim(a, worker, 4, token).finish()
    late.start_transaction()
    late.run(COMPLETE, [worker.id, ids[0], token])
    early.run(COMPLETE, [worker.id, ids[1], token])
    second = desk.token()
    assert len(desk.claim(a, worker, 9, second).finish()) == 1
    early.run(COMPLETE, [worker.id, ids[2], token])
    assert len(desk.claim(a, worker, 9, desk.token()).finish()) == 1
    late.commit()
    assert len(desk.claim(a, worker, 9, desk.token()).finish()) == 1
    assert desk.claim(a, worker, 9, desk.token()).finish() == []
    assert db.execute(IN_FLIGHT).fetchone() == db.execute(RUNNING).fetchone() == (4,)


def test_a_fold_of_another_cluster_hides_no_return(play, db):
    """A restored copy starts with low transaction ids: what was seen elsewhere is not believed."""
    worker, token = desk.register(db), desk.token()
    ids = desk.enqueue(db, 3)
    limit(db, worker, 1)
    a = play.connection("a")
    desk.claim(a, worker, 1, token).finish()
    db.execute("UPDATE penstock.queue_limit SET folded = '9000000000:9000000000:'")
    a.run(COMPLETE, [worker.id, ids[0], token])
    assert len(desk.claim(a, worker, 9, desk.token()).finish()) == 1


def test_a_limit_waits_for_claims_in_flight_and_for_no_other_transaction(play, pg, db):
    """Writers of this database and of another one, and a prepared transaction where the server has those."""
    worker = desk.register(db)
    desk.enqueue(db, 3)
    writer = play.connection("writer")
    writer.start_transaction()
    writer.run(desk.ENQUEUE)
    claims = play.connection("claims")
    claims.start_transaction()
    assert len(desk.claim(claims, worker, 1, desk.token()).finish()) == 1
    db.execute("SELECT penstock.set_limit(%s, 2)", [worker.queue])
    assert db.execute(COUNT).fetchone() == (1,)
    claims.commit()
    assert db.execute(COUNT).fetchone() == (0,)
    assert db.execute(IN_FLIGHT).fetchone() == (1,)
    writer.commit()


def test_a_limit_is_not_counted_in_the_transaction_that_turns_it_on(play, db):
    """A claim that has not seen it would not be waited for."""
    worker = desk.register(db)
    a = play.connection("a")
    a.start_transaction()
    a.run("SELECT penstock.set_limit(%s, 2)", [worker.queue])
    assert a.run(COUNT) == [(1,)]
    a.commit()
    assert a.run(COUNT) == [(0,)]


CLAIMED = "ARRAY(SELECT id FROM penstock.job WHERE token = 7), '{7}'"
CALLS = {
    "claim": "SELECT id FROM penstock.claim(%(worker)s, %(queue)s, 1, 8)",
    "ack": f"SELECT id FROM penstock.ack(%(worker)s, {CLAIMED})",
    "release": f"SELECT penstock.release(%(worker)s, {CLAIMED})",
    "complete": "SELECT penstock.complete(%(worker)s, (SELECT min(id) FROM penstock.job WHERE token = 7), 7, 1)",
    "enqueue": "SELECT penstock.enqueue('q', 'work')",
    "renew": "SELECT penstock.renew(%(worker)s, 60, '{}', '{}', '{}', '{}', false)",
    "lead": "SELECT penstock.lead('maintenance', 'leader', 15)",
}
"""What finds a row of a limit, a queue, a worker or the leader."""
MOVES = """DO $$ BEGIN FOR n IN 1..1000 LOOP
  PERFORM penstock.limit_room(1), penstock.limit_take(1, 2), penstock.limit_give_back('{1}');
  INSERT INTO penstock.limit_return (queue, amount) VALUES (1, 1);
  COMMIT; END LOOP; END $$"""
"""As many movements of a limit's row as four thousand batches bring, with room that was returned by a row."""
BUFFERS = 100
"""That a call may touch more than without dead versions: there are thousands, on more pages than that."""


def touched(db: psycopg.Connection[Any], text: str, worker: desk.Worker) -> int:
    """Buffers that a call touches with one claimed job, undone; the first call of a plan reads the catalog too."""
    values = {"worker": worker.id, "queue": worker.queue}
    with db.transaction(force_rollback=True):
        assert len(db.execute(desk.CLAIM.encode(), [worker.id, worker.queue, 1, 7]).fetchall()) == 1
        for _ in range(2):
            with db.transaction(force_rollback=True):
                row = db.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {text % values}".encode()).fetchone()
    assert row is not None
    top = row[0][0]["Plan"]
    return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])


def test_under_an_open_snapshot_a_moving_limit_costs_the_same(db, play):
    """Thousands of dead versions of its row and of its returns: no call reads them, by the buffers that it touches."""
    worker = desk.register(db)
    desk.enqueue(db, 20)
    limit(db, worker, 5)
    desk.lead_for_long(db)
    clean = {name: touched(db, text, worker) for name, text in CALLS.items()}
    reader = play.connection("reader")
    reader.start_transaction("REPEATABLE READ")
    reader.run("SELECT count(*) FROM penstock.job")
    db.execute(MOVES)
    costs = {name: touched(db, text, worker) for name, text in CALLS.items()}
    reader.commit()
    assert {name: (clean[name], cost) for name, cost in costs.items() if cost > clean[name] + BUFFERS} == {}
