"""Queues that nobody declared: they cost the others nothing, their number has a limit, and unused ones go again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from penstock import NewJob
from penstock.errors import TooManyQueues
from tests.postgres import desk
from tests.postgres.schema.undeclared import ENQUEUE, PRUNE, declare, make_idle, names, one, prune, set_limit

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES = [f"declared-{n}" for n in range(10)]
MANY = 8_000
"""Eight times what may be: a database as it was before there was a limit."""
CALLS: dict[str, tuple[str, Sequence[Any]]] = {
    "sample": ("SELECT * FROM penstock.sample(%s, 10000, 15)", [NAMES]),
    "declarations": ("SELECT * FROM penstock.declarations()", []),
    "promote": ("SELECT * FROM penstock.promote(5000)", []),
    "publish_marks": ("SELECT penstock.publish_marks(1, 1)", []),
    "rescue_overdue": ("SELECT * FROM penstock.rescue_overdue('leader', 0.001)", []),
    "drop_partitions": ("SELECT penstock.drop_partitions()", []),
    "prune_queues": (PRUNE, []),
    "list_queues": ("SELECT * FROM penstock.list_queues(10000)", []),
    "queue_stats": ("SELECT * FROM penstock.queue_stats(NULL, 60)", []),
    "list_workers": ("SELECT * FROM penstock.list_workers(NULL, 10000)", []),
    "checkup": ("SELECT penstock.checkup()", []),
    "snapshot": ("SELECT * FROM penstock.snapshot(10000, 15)", []),
    "wait_mark": ("SELECT penstock.wait_mark(ARRAY[1, 2, 3], 0.001, true)", []),
}
FLAT = {"sample", "declarations", "rescue_overdue", "drop_partitions", "wait_mark", "list_workers"}
"""What costs the same whether there are none or any number; the others stop at a number of them."""


def flood(db: psycopg.Connection[Any], number: int, *, first: int = 0) -> None:
    """Undeclared queues with a ready and a deferred job each, as if there were no limit."""
    db.execute(
        "INSERT INTO penstock.queue (name) SELECT 'stray-' || n FROM generate_series(%s::int, %s::int) AS n",
        [first, first + number - 1],
    )
    db.execute(
        "INSERT INTO penstock.job (ord, due_at, ready_at, queue, task, args)"
        " SELECT CASE WHEN p.n = 1 THEN nextval('penstock.job_ord_seq') END,"
        " CASE WHEN p.n = 2 THEN now() + interval '1 hour' END, now(), q.id, 't', '{}'"
        " FROM penstock.queue AS q, generate_series(1, 2) AS p (n) WHERE q.name LIKE 'stray-%%' AND q.id NOT IN"
        " (SELECT j.queue FROM penstock.job AS j)"
    )
    db.execute("VACUUM ANALYZE penstock.queue, penstock.job")


def buffers(db: psycopg.Connection[Any], call: str) -> int:
    return touched(db, *CALLS[call])


def touched(db: psycopg.Connection[Any], statement: str, values: Sequence[Any]) -> int:
    """Pages that a statement touches, in the third of three calls: the first ones plan, and mend hints."""
    for _ in range(3):
        with db.transaction(force_rollback=True):
            plan = one(db, f"EXPLAIN (ANALYZE, BUFFERS, TIMING off, FORMAT json) {statement}", values)
    top = plan[0]["Plan"]
    return int(top["Shared Hit Blocks"]) + int(top["Shared Read Blocks"])


def test_what_reads_declared_queues_costs_the_same_with_any_number_of_undeclared_ones(db):
    """Pages touched with 8,000 others are those with none, or for chores over some of the others, with 2,000."""
    for name in NAMES:
        declare(db, name)
        db.execute(ENQUEUE, [name])
    db.execute("VACUUM ANALYZE penstock.queue, penstock.job")
    none = {call: buffers(db, call) for call in FLAT}
    flood(db, 2_000)
    some = {call: buffers(db, call) for call in CALLS}
    flood(db, MANY - 2_000, first=2_000)
    many = {call: buffers(db, call) for call in CALLS}
    assert {call: (none[call], many[call]) for call in FLAT if many[call] > 2 * none[call] + 60} == {}
    assert {call: (some[call], many[call]) for call in CALLS if many[call] > 1.3 * some[call] + 100} == {}


def test_one_more_undeclared_queue_than_the_database_allows_is_refused_by_name(db, client):
    """By every way in; the queues that exist, and those that are declared meanwhile, go on, and nothing is written."""
    set_limit(db, 2)
    for name in ("a", "b", "a"):
        client.enqueue([NewJob(queue=name, task="t", args="{}")])
    many = [NewJob(queue="c", task="t", args="{}")] * 2
    for jobs in (many[:1], many, many * 500):
        with pytest.raises(TooManyQueues, match=r"'c'.*\(2\)"):
            client.enqueue(jobs)
    with pytest.raises(psycopg.Error) as refused:
        db.execute("SELECT penstock.begin_copy(ARRAY['a', 'c'], 1)")
    assert refused.value.sqlstate == "PN003"
    declare(db, "c")
    client.enqueue(many)
    assert names(db) == {"a", "b", "c"}
    assert db.execute("SELECT count(*) FROM penstock.job").fetchone() == (5,)


def test_a_worker_of_an_undeclared_queue_starts_whatever_enqueuers_have_made(db):
    """Its queue counts for nothing, and goes again like any other."""
    set_limit(db, 0)
    worker = desk.register(db)
    desk.enqueue(db, 1)
    db.execute("DELETE FROM penstock.job")
    assert prune(db) == 0
    db.execute("DELETE FROM penstock.worker WHERE id = %s", [worker.id])
    assert prune(db) == 1
    assert db.execute("SELECT count(*) FROM penstock.queue_slot").fetchone() == (0,)


def test_a_raised_limit_admits_more_and_a_lowered_one_leaves_what_is_there(db):
    """What is there above the new limit stays, and gives no room when it goes."""
    set_limit(db, 1)
    db.execute(ENQUEUE, ["a"])
    set_limit(db, 2)
    db.execute(ENQUEUE, ["b"])
    set_limit(db, 1)
    with pytest.raises(psycopg.Error):
        db.execute(ENQUEUE, ["c"])
    db.execute("DELETE FROM penstock.job")
    assert prune(db) == 2
    db.execute(ENQUEUE, ["c"])
    with pytest.raises(psycopg.Error):
        db.execute(ENQUEUE, ["d"])


def test_an_undeclared_queue_that_nobody_uses_goes_and_its_place_is_free_again(db):
    """Those with jobs, dead letters, a worker, a pause or a declaration stay."""
    set_limit(db, 6)
    for name in ("ready", "deferred", "dead", "paused", "empty", "declared"):
        db.execute(ENQUEUE, [name])
    queue = "(SELECT q.id FROM penstock.queue AS q WHERE q.name = 'dead')"
    db.execute(
        "INSERT INTO penstock.dead"
        " SELECT j.id, j.queue, 1, 1, 1, 0, now(), now(), NULL, 'failed', 't', NULL, NULL, NULL,"
        f" NULL, '{{}}' FROM penstock.job AS j WHERE j.queue = {queue}"
    )
    db.execute("DELETE FROM penstock.job AS j USING penstock.queue AS q WHERE q.id = j.queue AND q.name <> 'ready'")
    db.execute("SELECT penstock.enqueue('deferred', 't', p_delay => 3600)")
    db.execute("SELECT penstock.pause('paused', true)")
    declare(db, "declared")
    worker = desk.register(db)
    assert prune(db, idle=False) == 0, "it was empty a moment ago"
    assert prune(db) == 1
    assert names(db) == {"ready", "deferred", "dead", "paused", "declared", "q"}
    free = db.execute("SELECT count(*) FROM penstock.queue_slot WHERE queue IS NULL").fetchone()
    assert free == (2,), "those of the queue that went and of the declared one"
    assert worker.queue not in {
        row[0] for row in db.execute("SELECT id FROM penstock.queue WHERE idle_since IS NOT NULL")
    }


def test_a_queue_in_use_now_and_then_is_not_idle(db):
    """A job that came and went since it was found idle starts its time again."""
    queue = make_idle(db, "now-and-then")
    (job,) = db.execute(ENQUEUE, ["now-and-then"]).fetchone()
    db.execute("DELETE FROM penstock.job WHERE id = %s", [job])
    assert db.execute(PRUNE).fetchone() == (0,)
    assert prune(db, idle=False) == 0
    assert db.execute("SELECT id FROM penstock.queue WHERE name = 'now-and-then'").fetchone() == (queue,)


def test_jobs_put_off_because_nobody_knows_their_task_are_counted_no_further_than_the_cap(db):
    """Ten thousand of them cost a sample what a few do: who may enqueue can make any number."""
    declare(db, "q")
    db.execute(
        "INSERT INTO penstock.job (ord, due_at, ready_at, queue, reason, task, args)"
        " SELECT NULL, now(), NULL, q.id, 'task_unknown', 'nobody' || n, '{}'"
        " FROM penstock.queue AS q, generate_series(1, 10000) AS n"
    )
    db.execute("VACUUM ANALYZE penstock.job")
    sample = "SELECT deferred, due_soon FROM penstock.sample(ARRAY['q'], 100, 15)"
    assert db.execute(sample).fetchone() == (100, 0)
    assert touched(db, sample, []) < 200


def test_a_call_promotes_a_batch_in_all_and_every_queue_has_its_part(db):
    """Fifty queues with a hundred due jobs each: one call makes a batch of them ready, some of each."""
    db.execute(
        "SELECT penstock.enqueue('q' || q, 't', p_delay => 3600)"
        " FROM generate_series(1, 50) AS q, generate_series(1, 20)"
    )
    db.execute("UPDATE penstock.job SET due_at = now()")
    assert db.execute("SELECT promoted, next_due FROM penstock.promote(100)").fetchone() == (100, 0.0)
    assert db.execute(
        "SELECT min(n), max(n) FROM (SELECT count(*) AS n FROM penstock.job WHERE ord IS NOT NULL GROUP BY queue) AS s"
    ).fetchone() == (2, 2)
    assert db.execute("SELECT sum((penstock.promote(100)).promoted) FROM generate_series(1, 9)").fetchone() == (900,)


def test_the_checkup_reports_how_many_undeclared_queues_there_are_the_biggest_and_the_newest(db):
    """And how many more may be."""
    declare(db, "declared")
    set_limit(db, 5)
    for name in ("small", "big", "big", "new"):
        db.execute(ENQUEUE, [name])
    found = db.execute("SELECT penstock.checkup() -> 'undeclared'").fetchone()[0]
    assert found.pop("newest_seconds") >= 0
    assert found == {"number": 3, "most": 5, "free": 2, "newest": "new", "biggest": "big", "biggest_jobs": 2}
