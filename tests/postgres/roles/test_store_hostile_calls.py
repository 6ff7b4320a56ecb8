"""Calls by id and by name with what nobody should send: nothing, or one clear error, and nothing is changed."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from penstock.errors import RejectedByDatabase
from penstock.store import Store, SyncClient
from tests.postgres import desk

SQL = """'); DROP TABLE penstock.job; --"""
IDS = {
    "no array": "NULL",
    "an empty array": "'{}'",
    "an array of nothing": "'{NULL,NULL}'",
    "ids that never were": "'{-1,0,9223372036854775807,-9223372036854775808}'",
    "a hundred thousand of them": "ARRAY(SELECT 1000000 + n FROM generate_series(1, 100000) AS n)",
}
BY_ID = ("redrive({})", "discard({})", "retry_now({})", "cancel_jobs({})", "cordon({}, true)")
IDLE = {
    **{f"{call.format('')} of {what}": call.format(ids) for call in BY_ID for what, ids in IDS.items()},
    "pause of nothing": "pause(NULL, true)",
    "pause that does not say which way": "pause('q', NULL)",
    "pause of a name that is SQL": f"pause({psycopg.sql.quote(SQL)}, true)",
    "cordon that does not say which way": "cordon('{%(worker)s}', NULL)",
    "release by nobody": "release(NULL, '{%(job)s}', '{%(token)s}')",
    "release of nothing": "release(%(worker)s, NULL, NULL)",
    "release_claim without a token": "release_claim(%(worker)s, %(queue)s, NULL)",
    "release_unknown without its claims": "release_unknown(%(worker)s, %(queue)s, NULL, NULL)",
    "complete of nothing": "complete(%(worker)s, NULL, NULL, NULL)",
    "complete by nobody": "complete(NULL, %(job)s, %(token)s, 1)",
    "ack of nothing": "ack(%(worker)s, '{}', '{}')",
    "wait_mark for no time": "wait_mark('{%(queue)s}', NULL, false)",
    "rescue by nobody": "rescue(NULL, NULL)",
    "rescue for no lease": "rescue('leader', NULL)",
    "rescue_overdue for no lease": "rescue_overdue('leader', NULL)",
    "deregister of nobody": "deregister(NULL, true)",
    "redrive that does not say whether with the key": "redrive('{%(kept)s}', NULL)",
}
REFUSED = {
    "cancel with a reason as long as a book": ("cancel_jobs('{%(job)s}', repeat('x', 501))", "the limit is 500"),
    "release of more ids than tokens": ("release(%(worker)s, '{%(job)s,7}', '{%(token)s}')", "as many tokens as ids"),
    "renewal with more tokens than ids": (
        "renew(%(worker)s, 9, '{%(job)s}', '{%(token)s,7}', '{}', '{}', false)",
        "as many tokens as ids",
    ),
    "acknowledgement of an unknown state": ("ack(%(worker)s, '{%(job)s}', '{%(token)s}', '{done}')", None),
    "a limit of nothing": ("set_limit(%(queue)s, 0)", "queue_limit_max_in_flight_check"),
    "a limit below nothing": ("set_limit(%(queue)s, -1)", "queue_limit_max_in_flight_check"),
    "a wait for ever": ("wait_mark('{%(queue)s}', 'Infinity', false)", "out of range"),
    "a promotion of less than nothing": ("promote(-1)", "must not be negative"),
    "a worker of a queue whose name is SQL": (
        f"register({psycopg.sql.quote(SQL)}, 'x', NULL, NULL, '0', 1, 9, '{{}}')",
        "queue_name_check",
    ),
    "a worker without a name": ("register('q', NULL, NULL, NULL, '0', 1, 9, '{}')", "null value"),
    "a leader for no time": ("lead('other', 'x', NULL)", "null value"),
    "a queue without a name": ("declare_queue(NULL, 'x', 1, false, 5::smallint, NULL, 9, 9, '{}')", "null value"),
    "a queue with no attempts": (
        "declare_queue('q', 'x', 9, false, 0::smallint, NULL, 9, 9, '{}')",
        "max_attempts_check",
    ),
    "a retention without an end": (
        "declare_queue('q', 'x', 9, false, 5::smallint, NULL, 9, 'Infinity', '{}')",
        "out of range",
    ),
}
STATE = """SELECT (SELECT jsonb_agg(to_jsonb(j) ORDER BY id) FROM penstock.job AS j),
  (SELECT jsonb_agg(to_jsonb(d) ORDER BY id) FROM penstock.dead AS d), (SELECT count(*) FROM penstock.outcome),
  (SELECT jsonb_agg(to_jsonb(q) ORDER BY id) FROM penstock.queue AS q), (SELECT count(*) FROM penstock.queue_limit),
  (SELECT jsonb_agg(to_jsonb(w) ORDER BY id) FROM penstock.worker AS w),
  (SELECT jsonb_agg(to_jsonb(l)) FROM penstock.leader AS l)"""


def scene(db: psycopg.Connection) -> dict[str, Any]:
    """A job that runs, one that is due, two dead letters, one of which has lost its key to a third job."""
    worker, token = desk.register(db), desk.token()
    desk.lead_for_long(db)
    db.execute("UPDATE penstock.leader SET held_since = clock_timestamp()")
    desk.enqueue(db, p_delays=[0.001])
    kept, running = desk.enqueue(db, p_unique_keys=["k"]) + desk.enqueue(db)
    db.execute(desk.CLAIM, [worker.id, worker.queue, 1, token])
    db.execute(desk.ACK, [worker.id, [kept], [token], ["failed"]])
    db.execute(desk.CLAIM, [worker.id, worker.queue, 1, token])
    desk.enqueue(db, p_unique_keys=["k"])
    due = "SELECT bool_and(due_at < clock_timestamp()) FROM penstock.job WHERE due_at IS NOT NULL"
    desk.until(lambda: db.execute(due).fetchone() == (True,))
    return {"worker": worker.id, "queue": worker.queue, "job": running, "kept": kept, "token": token}


def test_calls_without_sense_change_nothing(pg_newest):
    """No row, no flag, no queue, no worker; what is not there is simply not there."""
    with pg_newest.connect() as db:
        values = scene(db)
        before = db.execute(STATE).fetchone()
        for what, call in IDLE.items():
            db.execute(("SELECT penstock." + call % values).encode())
            assert db.execute(STATE).fetchone() == before, what


def test_calls_that_break_a_rule_are_one_error_and_change_nothing(pg_newest):
    """It is an error of the data, in one line, which the store's users see as refused."""
    with pg_newest.connect() as db:
        values = scene(db)
        before = db.execute(STATE).fetchone()
        for what, (call, says) in REFUSED.items():
            if says is None:  # a word that is no state is no outcome: reported as fenced
                assert db.execute(("SELECT state FROM penstock." + call % values).encode()).fetchall() == [(None,)]
            else:
                with pytest.raises(psycopg.Error, match=says) as refused:
                    db.execute(("SELECT penstock." + call % values).encode())
                assert refused.value.sqlstate is not None, what
                assert refused.value.sqlstate[:2] in {"22", "23", "54"}, what
            assert db.execute(STATE).fetchone() == before, what


async def test_the_stores_users_get_one_line(pg_newest, newest):
    """Texts that no Postgres takes, and one that is too long."""
    client = SyncClient(pg_newest.url)
    with pytest.raises(RejectedByDatabase, match=r"^cancel: .*the limit is 500") as refused:
        client.cancel_jobs([1], "x" * 100_000)
    assert len(str(refused.value)) < 200
    client.close()
    async with Store(pg_newest.url, lanes=1) as store:
        for name in ("a\0b", "\ud800"):
            with pytest.raises(RejectedByDatabase, match=r"^pause: \S"):
                await store.queues.pause(name)
        assert not await store.queues.pause(SQL)
        assert await store.jobs.discard([2**63 - 1, -(2**63)]) == 0
    assert newest.execute("SELECT count(*) FROM penstock.queue").fetchone() == (0,)


ODD = ('{"q": "x"}', '{"q": 1.5}', '{"q": -1}', '{"q": 1e300}', '{"q": [1]}', "[1]", "3")


@pytest.mark.parametrize("odd", ODD)
def test_what_a_worker_reports_of_itself_blinds_nobody(odd, newest):
    """Counts that are no counts and a report of another shape are dropped; its lease goes on."""
    worker = desk.register(newest)
    (job,) = desk.enqueue(newest)
    report = f'{{"jobs": {odd}}}'
    query = "SELECT state FROM penstock.renew(%s, 60, '{}', '{}', %s, %s, false, %s)"
    assert newest.execute(query, [worker.id, odd, odd, report]).fetchone() == ("running",)
    kept = "SELECT in_flight, done, report FROM penstock.worker"
    assert newest.execute(kept).fetchone() == ({}, {}, {})
    assert newest.execute("SELECT ready, in_flight FROM penstock.snapshot(10, 15)").fetchone() == (1, 0)
    assert newest.execute("SELECT in_flight, done FROM penstock.list_workers(NULL, 10)").fetchone() == (0, 0)
    assert newest.execute("SELECT penstock.why_job(%s) -> 'job' ->> 'state'", [job]).fetchone() == ("queued",)
    sane = '{"jobs": [{"id": 1}]}'
    newest.execute(query, [worker.id, '{"q": 2}', '{"q": 3000000000}', sane])
    assert newest.execute(kept).fetchone() == ({"q": 2}, {"q": 3_000_000_000}, {"jobs": [{"id": 1}]})
