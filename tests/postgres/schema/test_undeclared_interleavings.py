"""An undeclared queue that is made, used, declared, served or pruned by two at once: no job without its queue."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from penstock.errors import RowLocked
from penstock.jobqueue.declaration import QueueDeclaration
from tests.postgres import desk
from tests.postgres.schema.undeclared import ENQUEUE, PRUNE, declare, make_idle, names, orphans, prune, set_limit


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
def test_a_prune_steps_over_a_queue_that_an_open_enqueue_uses(play, db, isolation):
    """It was found idle, somebody enqueues and has not committed: the queue stays, and its job is seen."""
    make_idle(db, "old")
    enqueuer, pruner = play.connection("enqueuer"), play.connection("pruner")
    enqueuer.start_transaction(isolation)
    enqueuer.run(ENQUEUE, ["old"])
    assert pruner.run(PRUNE) == [(0,)]
    enqueuer.commit()
    assert prune(db) == 0
    assert orphans(db) == 0


def test_an_enqueue_that_meets_a_prune_makes_the_queue_again(play, db):
    """It waits for the prune, finds the queue gone and makes another of that name."""
    old = make_idle(db, "old")
    pruner, enqueuer = play.connection("pruner"), play.connection("enqueuer")
    pruner.start_transaction()
    assert pruner.run(PRUNE) == [(1,)]
    step = enqueuer.start(ENQUEUE, ["old"])
    step.blocks_on(pruner)
    pruner.commit()
    step.finish()
    assert db.execute("SELECT id <> %s FROM penstock.queue WHERE name = 'old'", [old]).fetchone() == (True,)
    assert orphans(db) == 0


def test_an_enqueue_that_meets_a_prune_that_rolls_back_uses_the_queue_that_is_there(play, db):
    """One queue, one job."""
    old = make_idle(db, "old")
    pruner, enqueuer = play.connection("pruner"), play.connection("enqueuer")
    pruner.start_transaction()
    pruner.run(PRUNE)
    step = enqueuer.start(
        "SELECT penstock.enqueue_many(ARRAY['old', 'old'], ARRAY['t', 't'], ARRAY['{}', '{}']::jsonb[])"
    )
    step.blocks_on(pruner)
    pruner.rollback()
    step.finish()
    assert db.execute("SELECT queue, count(*) FROM penstock.job GROUP BY 1").fetchone() == (old, 2)


def test_a_snapshot_from_before_a_prune_makes_no_job_of_a_queue_that_is_gone(play, db):
    """A transaction above READ COMMITTED still sees the queue; it must try again."""
    make_idle(db, "old")
    enqueuer = play.connection("enqueuer")
    enqueuer.start_transaction("REPEATABLE READ")
    enqueuer.run("SELECT count(*) FROM penstock.queue")
    assert db.execute(PRUNE).fetchone() == (1,)
    with pytest.raises(psycopg.errors.SerializationFailure):
        enqueuer.run(ENQUEUE, ["old"])
    assert orphans(db) == 0


def test_no_queue_goes_while_a_transaction_is_open_that_may_not_see_it_idle(play, db):
    """An enqueue took its transaction id before the queue was found idle: it is waited for, however long."""
    (job,) = db.execute(ENQUEUE, ["old"]).fetchone()
    db.execute("DELETE FROM penstock.job WHERE id = %s", [job])
    enqueuer = play.connection("enqueuer")
    enqueuer.start_transaction()
    enqueuer.run("SELECT pg_current_xact_id()")
    assert prune(db) == 0
    enqueuer.run(ENQUEUE, ["old"])
    assert prune(db) == 0
    enqueuer.commit()
    assert prune(db) == 0
    assert orphans(db) == 0


def test_two_enqueues_that_make_one_queue_take_one_place(play, db):
    """The second waits for the first and uses its queue, even where it was the last place."""
    set_limit(db, 2)
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction()
    a.run(ENQUEUE, ["new"])
    step = b.start(ENQUEUE, ["new"])
    step.blocks_on(a)
    a.commit()
    step.finish()
    db.execute(ENQUEUE, ["another"])
    with pytest.raises(psycopg.Error):
        db.execute(ENQUEUE, ["third"])


def test_open_transactions_keep_their_places_and_stop_nobody(play, db):
    """Enqueues of other names step over places that are taken and not committed; rolled back, they are free."""
    set_limit(db, 2)
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction()
    a.run(ENQUEUE, ["one"])
    b.run(ENQUEUE, ["two"])
    with pytest.raises(psycopg.Error) as refused:
        b.run(ENQUEUE, ["three"])
    assert refused.value.sqlstate == "PN003"
    a.rollback()
    b.run(ENQUEUE, ["three"])
    assert names(db) == {"two", "three"}


@pytest.mark.parametrize("first", ["declare", "prune"])
def test_a_declaration_that_meets_a_prune_leaves_one_declared_queue(play, db, first):
    """In either order, each waiting at most for the other's statement."""
    make_idle(db, "old")
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction()
    if first == "declare":
        declare_on(a)
        assert b.run(PRUNE) == [(0,)]
        a.commit()
    else:
        a.run(PRUNE)
        step = b.call(lambda sql: declare(sql, "old") and [], description="declare")
        step.blocks_on(a)
        a.commit()
        step.finish()
    assert db.execute("SELECT declared_by FROM penstock.queue WHERE name = 'old'").fetchall() == [("uid",)]
    assert prune(db) == 0


def declare_on(connection: Any) -> None:
    connection.call(lambda sql: declare(sql, "old") and [], description="declare").finish()


@pytest.mark.parametrize("first", ["register", "prune"])
def test_a_worker_that_registers_for_a_queue_that_goes_has_a_queue(play, db, first):
    """In either order its row names a queue that exists."""
    make_idle(db, "q")
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction()
    if first == "register":
        a.call(lambda sql: [desk.register(sql)], description="register").finish()
        assert b.run(PRUNE) == [(0,)]
        a.commit()
    else:
        a.run(PRUNE)
        step = b.call(lambda sql: [desk.register(sql)], description="register")
        step.blocks_on(a)
        a.commit()
        step.finish()
    found = db.execute("SELECT count(*) FROM penstock.worker AS w JOIN penstock.queue AS q ON q.id = ANY (w.queues)")
    assert found.fetchone() == (1,)
    assert prune(db) == 0


async def test_a_queue_whose_first_enqueue_never_commits_stops_no_declarer(play, store):
    """The declaration gives up within moments, with an error of its own; the others of the database go on."""
    enqueuer = play.connection("enqueuer")
    enqueuer.start_transaction()
    enqueuer.run(ENQUEUE, ["locked"])
    with pytest.raises(RowLocked, match="another transaction"):
        await store.queues.declare("locked", QueueDeclaration(declared_by="uid"))
    await store.queues.declare("other", QueueDeclaration(declared_by="uid"))
    enqueuer.rollback()
    await store.queues.declare("locked", QueueDeclaration(declared_by="uid"))


def test_two_prunes_at_once_remove_a_queue_once(play, db):
    """The second steps over what the first has locked."""
    make_idle(db, "old")
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction()
    assert a.run(PRUNE) == [(1,)]
    assert b.run(PRUNE) == [(0,)]
    a.commit()
    assert b.run(PRUNE) == [(0,)]
