"""Every statement whose reply was lost after its commit is sent again: the second time changes nothing.

Not among them: an enqueue of its own without a key (there are two jobs then, docs/explanation/delivery.md), a claim
(its token finds it) and a registration (the first one's lease runs out).
"""

from __future__ import annotations

import itertools
from typing import Any

import psycopg
import pytest

from tests.postgres import desk
from tests.postgres.interleave import ConnectionDied, Interleaving

DEAD, RUN, OTHER, READY, LATER, KEYED = range(6)
"""Places in the scene's list of jobs: dead, claimed twice, ready, deferred and due, ready with a key."""
STATEMENTS = {
    **{
        f"ack {state}": f"SELECT * FROM penstock.ack(%(worker)s, %(claimed)s, %(tokens)s, '{{{state},{state}}}')"
        for state in ("completed", "retry", "snooze", "failed", "cancelled")
    },
    "complete": "SELECT penstock.complete(%(worker)s, %(run)s, %(token)s, 0.5)",
    "release": "SELECT penstock.release(%(worker)s, %(claimed)s, %(tokens)s)",
    "release_claim": "SELECT penstock.release_claim(%(worker)s, %(queue)s, %(token)s)",
    "release_unknown": "SELECT penstock.release_unknown(%(worker)s, %(queue)s, '{}', '{}')",
    "renew": "SELECT penstock.renew(%(worker)s, 60, %(claimed)s, %(tokens)s, '{}', '{}', false)",
    "deregister": "SELECT penstock.deregister(%(worker)s, false)",
    "cordon": "SELECT penstock.cordon(%(workers)s, true)",
    "begin_drain": "SELECT penstock.begin_drain(%(worker)s)",
    "cancel": "SELECT penstock.cancel_jobs(%(jobs)s)",
    "retry now": "SELECT penstock.retry_now(%(jobs)s)",
    "redrive": "SELECT penstock.redrive(%(jobs)s)",
    "discard": "SELECT penstock.discard(%(jobs)s)",
    "set_limit": "SELECT penstock.set_limit(%(queue)s, 7)",
    "wait_mark": "SELECT penstock.wait_mark(ARRAY[%(queue)s::integer], 60, false)",
    "lead": "SELECT penstock.lead('maintenance', 'leader', 60)",
    "promote": "SELECT penstock.promote(100)",
    "rescue": "SELECT penstock.rescue('leader', 0.05)",
    "rescue_overdue": "SELECT penstock.rescue_overdue('leader', 0.05)",
    "enqueue with a key": "SELECT penstock.enqueue_many('{q}', '{work}', '{\"{}\"}', p_unique_keys => '{k}')",
    "prune_workers": "SELECT penstock.prune_workers()",
    "make_partitions": "SELECT penstock.make_partitions(20)",
    "drop_partitions": "SELECT penstock.drop_partitions()",
}
STATE = """SELECT
  (SELECT jsonb_agg(j - 'due_at' ORDER BY j -> 'id') FROM (SELECT to_jsonb(j) AS j FROM penstock.job AS j) AS x),
  (SELECT jsonb_agg(to_jsonb(o) ORDER BY o.job_id, o.token) FROM penstock.outcome AS o),
  (SELECT jsonb_agg(to_jsonb(d) ORDER BY d.id) FROM penstock.dead AS d),
  (SELECT jsonb_agg(jsonb_build_array(w.id, w.state, w.swept, w.revoked) ORDER BY w.id) FROM penstock.worker AS w),
  (SELECT jsonb_agg(ARRAY[l.queue, l.max_in_flight, l.in_flight]) FROM penstock.queue_limit AS l),
  (SELECT jsonb_agg(l.holder) FROM penstock.leader AS l),
  (SELECT count(*) FROM pg_inherits WHERE inhparent = 'penstock.outcome'::regclass)"""


def scene(db: psycopg.Connection) -> dict[str, Any]:
    """A worker past its lease with two jobs past their deadline, a job in every other place, an old worker."""
    db.execute(
        "TRUNCATE penstock.job, penstock.outcome, penstock.dead, penstock.worker, penstock.leader, penstock.queue_limit"
    )
    worker, old, claim_token, buried = desk.register(db), desk.register(db), desk.token(), desk.token()
    db.execute("UPDATE penstock.queue SET job_deadline = '1 hour'")
    desk.lead_for_long(db)
    delays, keys = [None, None, None, None, 9, None], [None, None, None, None, None, "k"]
    ids = desk.enqueue(db, 6, p_delays=delays, p_unique_keys=keys)
    for maximum, token in ((1, buried), (2, claim_token)):
        db.execute(desk.CLAIM, [worker.id, worker.queue, maximum, token])
    db.execute(desk.ACK, [worker.id, [ids[DEAD]], [buried], ["failed"]])
    db.execute("UPDATE penstock.job SET due_at = now() - interval '1 s' WHERE due_at IS NOT NULL")
    db.execute("UPDATE penstock.job SET deadline = now() - interval '1 s' WHERE token IS NOT NULL")
    desk.lapse(db, worker)
    db.execute(
        "UPDATE penstock.worker SET state = 'lost', swept = true, lease_until = now() - interval '1 day' WHERE id = %s",
        [old.id],
    )
    return {
        "worker": worker.id,
        "queue": worker.queue,
        "workers": [worker.id],
        "jobs": ids,
        "run": ids[RUN],
        "claimed": ids[RUN:READY],
        "token": claim_token,
        "tokens": [claim_token] * 2,
    }


def test_every_statement_may_be_sent_again_when_its_reply_was_lost(play: Interleaving, db: psycopg.Connection) -> None:
    """The tables are compared, but for the times that only say when somebody was last there."""
    again = play.connection("again")
    for name, statement in STATEMENTS.items():
        values = scene(db)
        before = db.execute(STATE).fetchone()
        first = play.connection(name)
        with pytest.raises(ConnectionDied):
            first.lose_reply(statement, values)  # type: ignore[arg-type]  # by name
        once = db.execute(STATE).fetchone()
        again.run(statement, values)  # type: ignore[arg-type]
        assert db.execute(STATE).fetchone() == once, name
        idle = {"renew", "wait_mark", "lead", "enqueue with a key", "drop_partitions"}
        assert (before == once) is (name in idle), name


def test_a_caller_above_read_committed_gets_a_job_or_an_error_and_never_neither(play, db):
    """What was committed after its snapshot it cannot see: a taken key and a new queue are a serialization failure."""
    keyed = "SELECT (penstock.enqueue_many('{q}', '{work}', '{\"{}\"}', p_unique_keys => '{k}'))[1]"
    other = play.connection("other")
    for isolation, statement in itertools.product(("REPEATABLE READ", "SERIALIZABLE"), (keyed, desk.ENQUEUE)):
        db.execute("TRUNCATE penstock.job, penstock.queue")
        if statement == keyed:
            db.execute("INSERT INTO penstock.queue (name) VALUES ('q')")
        caller = play.connection(f"caller, {isolation}")
        caller.start_transaction(isolation)
        caller.run("SELECT count(*) FROM penstock.job")
        other.run(statement)
        with pytest.raises(psycopg.errors.SerializationFailure):
            caller.run(statement)
        caller.rollback()
        assert db.execute("SELECT count(*) FROM penstock.job").fetchone() == (1,)
        caller.start_transaction(isolation)  # as every application does with such an error
        ((job,),) = caller.run(statement)
        caller.commit()
        assert db.execute("SELECT count(*) FROM penstock.job WHERE id = %s", [job]).fetchone() == (1,)


def test_a_claim_is_durable_whatever_its_session_says(play, db):
    """Its commit waits for the disk: after a crash nobody may claim what somebody runs."""
    worker = desk.register(db)
    desk.enqueue(db, 1)
    a = play.connection("a")
    a.start_transaction()
    a.run("SET LOCAL synchronous_commit = off")
    desk.claim(a, worker, 1, desk.token()).finish()
    assert a.run("SHOW synchronous_commit") == [("on",)]
    a.commit()
