"""Every pair of statements about one set of jobs, the first in an open transaction when the second starts.

Whatever waits for whom: in the end the tables are as if one had come after the other. What steps over locked rows (the
maintenance, a claim) may leave them for its next call, which must then bring the same.
"""

from __future__ import annotations

from typing import Any

import psycopg

from tests.postgres import desk
from tests.postgres.interleave import Connection, Interleaving, Step

CLAIMED, CLAIMING = 7001, 7002
STATEMENTS = {
    "claim": "SELECT id FROM penstock.claim(%(alive)s, 1, 10, 7002)",
    "claim of the lost": "SELECT id FROM penstock.claim(%(lost)s, 1, 10, 7003)",
    "ack": "SELECT state FROM penstock.ack(%(lost)s, '{2,3,4}', '{7001,7001,7001}', '{completed,failed,retry}')",
    "ack all": "SELECT state FROM penstock.ack(%(lost)s, '{4,2}', '{7001,7001}')",
    "ack snooze": "SELECT id FROM penstock.ack(%(lost)s, '{4,3,2}', '{7001,7001,7001}', '{snooze,snooze,cancelled}')",
    "complete": "SELECT penstock.complete(%(lost)s, 2, 7001, 1)",
    "release": "SELECT penstock.release(%(lost)s, '{4,3}', '{7001,7001}')",
    "release_claim": "SELECT penstock.release_claim(%(lost)s, 1, 7001)",
    "release_unknown": "SELECT penstock.release_unknown(%(lost)s, 1, '{4}', '{7001}')",
    "renew": "SELECT penstock.renew(%(lost)s, 60, '{2,3}', '{7001,7001}', '{}', '{}', false)",
    "deregister": "SELECT penstock.deregister(%(lost)s, false)",
    "cordon": "SELECT penstock.cordon('{%(alive)s,%(lost)s}', true)",
    "call back": "SELECT penstock.cordon('{%(alive)s,%(lost)s}', false)",
    "begin_drain": "SELECT penstock.begin_drain(%(alive)s)",
    "begin_drain of the lost": "SELECT penstock.begin_drain(%(lost)s)",
    "rescue": "SELECT lost FROM penstock.rescue('leader', 0.05)",
    "rescue_overdue": "SELECT retried FROM penstock.rescue_overdue('leader', 0.05)",
    "promote": "SELECT promoted FROM penstock.promote(10)",
    "retry_now": "SELECT penstock.retry_now('{7,6,2}')",
    "cancel": "SELECT id, verdict FROM penstock.cancel_jobs('{8,7,5,3,1}')",
    "redrive": "SELECT id, holder FROM penstock.redrive('{1}')",
    "discard": "SELECT penstock.discard('{1}')",
    "enqueue with the key": "SELECT penstock.enqueue_many('{q}', '{work}', '{\"{}\"}', p_unique_keys => '{k}')",
    "set_limit": "SELECT penstock.set_limit(1, 4)",
}
STATE = """SELECT  -- of a worker's id the number of the sequence: the rest is random
  ARRAY(SELECT ROW(j.id, j.ord IS NULL, j.token, j.worker / 1000000000, j.attempt, j.crashes, j.cancel, j.reason,
                   j.unique_key, j.unique_kept)::text FROM penstock.job AS j ORDER BY j.id),
  ARRAY(SELECT ROW(o.job_id, o.token, o.worker / 1000000000, o.state, o.final)::text FROM penstock.outcome AS o
        ORDER BY 1),
  ARRAY(SELECT ROW(d.id, d.attempt, d.reason, d.unique_key)::text FROM penstock.dead AS d ORDER BY d.id),
  ARRAY(SELECT ROW(w.id / 1000000000, w.state, w.swept, w.revoked)::text FROM penstock.worker AS w ORDER BY w.id),
  (SELECT l.max_in_flight FROM penstock.queue_limit AS l),
  (SELECT l.in_flight - (SELECT count(*) FROM penstock.limit_return) FROM penstock.queue_limit AS l)
"""
RUNNING = "SELECT count(*) FROM penstock.job WHERE token IS NOT NULL"
EMPTY = """DO $$ BEGIN
  DELETE FROM penstock.job; DELETE FROM penstock.outcome; DELETE FROM penstock.dead; DELETE FROM penstock.worker;
  DELETE FROM penstock.leader; DELETE FROM penstock.limit_return;
  PERFORM setval('penstock.job_id_seq', 1, false), setval('penstock.worker_id_seq', 1, false);
  UPDATE penstock.queue_limit SET max_in_flight = 8, in_flight = 0;
END $$"""


class Scene:
    """Job 1 is dead, with key `k`; 2 to 4 run past their deadline with a worker past its lease; 5 is ready; 6 and 7 are
    deferred, 7 is due; 8 has the key `l` until its start. Another worker lives; the limit is eight.
    """

    def __init__(self, db: psycopg.Connection[Any]) -> None:
        self.db = db
        lost = desk.register(db)
        db.execute("UPDATE penstock.queue SET job_deadline = '1 h'")
        db.execute("SELECT penstock.set_limit(%s, 8)", [lost.queue])
        desk.until(lambda: db.execute("SELECT penstock.count_limits()").fetchone() == (0,))
        self.queue = lost.queue

    def set(self) -> dict[str, int]:
        self.db.execute(EMPTY)
        desk.lead_for_long(self.db)
        alive, lost = desk.register(self.db), desk.register(self.db)
        desk.enqueue(
            self.db,
            8,
            p_delays=[None] * 5 + [3600, 3600, None],
            p_unique_keys=["k", *[None] * 6, "l"],
            p_until_start=[False] * 7 + [True],
        )
        self.db.execute(desk.CLAIM, [alive.id, 1, 1, 7000])
        self.db.execute(desk.ACK, [alive.id, [1], [7000], ["failed"]])
        self.db.execute(desk.CLAIM, [lost.id, 1, 3, CLAIMED])
        self.db.execute("UPDATE penstock.job SET deadline = now() - interval '1 s' WHERE token IS NOT NULL")
        self.db.execute("UPDATE penstock.job SET due_at = now() - interval '1 s' WHERE id = 7")
        desk.lapse(self.db, lost)
        return {"alive": alive.id, "lost": lost.id}

    def state(self) -> Any:
        (seen,) = self.db.execute(STATE).fetchall()
        assert self.db.execute(RUNNING).fetchone() == (seen[-1],), "the limit counts what runs"
        return seen


def outcome(step: Step) -> str | None:
    """The SQLSTATE of what it raised."""
    try:
        step.finish()
    except psycopg.Error as error:
        return error.sqlstate
    return None


def run(connection: Connection, statement: str, values: dict[str, int]) -> str | None:
    return outcome(connection.start(statement % values))


def test_any_two_statements_at_once_leave_what_one_after_the_other_would(pg_newest):
    """Four hundred pairs, each with a commit and with a rollback of the first."""
    with pg_newest.connect() as db, Interleaving(pg_newest.url) as play:
        scene, a, b = Scene(db), play.connection("a"), play.connection("b")
        after: dict[tuple[str, ...], Any] = {}
        for first in STATEMENTS:
            for order in ((first,), *((first, second) for second in STATEMENTS)):
                values = scene.set()
                for name in order:
                    run(a, STATEMENTS[name], values)
                after[order] = scene.state()
        wrong = [
            f"{first} {'committed' if commits else 'rolled back'}, {second}"
            for first in STATEMENTS
            for second in STATEMENTS
            for commits in (True, False)
            if not as_if_in_order(scene, a, b, (first, second), commits, after)
        ]
    assert wrong == []


def as_if_in_order(
    scene: Scene, a: Connection, b: Connection, names: tuple[str, str], commits: bool, after: dict[tuple[str, ...], Any]
) -> bool:
    """Run the second while the first is open; whether the end is one that an order could have."""
    values = scene.set()
    a.start_transaction()
    failed = run(a, STATEMENTS[names[0]], values)
    step = b.start(STATEMENTS[names[1]] % values)
    desk.until(lambda: step.ended or b.play.blockers(b))
    if commits and failed is None:
        a.commit()
    else:
        a.rollback()
    allowed = [after[names], after[names[::-1]]] if commits and failed is None else [after[names[1:]]]
    assert outcome(step) in {None, "PN001"}, f"{names}: a claim may be refused, nothing else may fail"
    if (seen := scene.state()) in allowed:
        return True
    run(b, STATEMENTS[names[1]], values)
    return scene.state() in allowed and seen != scene.state()
