"""Rows and tables that another transaction locks: every wait for them is bounded, and the rest goes on."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

import penstock
from penstock.cancellation import cancel_and_wait
from penstock.events import Hooks
from penstock.job import Finished, OutcomeState
from penstock.runtime.claims.acknowledger import JobAcknowledger
from penstock.runtime.claims.held_claims import HeldClaims, release
from penstock.runtime.middleware.hooks import HookDispatcher
from penstock.runtime.observe.forensics import Forensics
from penstock.runtime.observe.metrics import WorkerMetrics
from penstock.store import Maintenance, Store, WorkerStore, roles
from penstock.store.acknowledge.unlocked import LOCKED, ack_unlocked
from penstock.store.connect import connect
from penstock.store.schema.roles import executable
from tests.postgres import desk
from tests.postgres.interleave import Interleaving
from tests.postgres.interleavings.test_pair_interleavings import STATEMENTS, Scene, outcome

TABLES = ("job", "worker", "queue", "queue_slot", "queue_limit", "leader", "dead")
ROWS = [f"SELECT FROM penstock.{name} FOR UPDATE" for name in TABLES]
WHOLE = ["LOCK TABLE penstock.outcome, " + ", ".join(f"penstock.{name}" for name in TABLES)]
OTHERS = {
    "wait_mark": "SELECT penstock.wait_mark('{1}', 15, false)",
    "wait_mark of the operator": "SELECT penstock.wait_mark('{1}', 15, true)",
    "lead": "SELECT penstock.lead('maintenance', 'leader', 15)",
    "publish_marks": "SELECT penstock.publish_marks(0, 0)",
    "count_limits": "SELECT penstock.count_limits()",
    "prune_workers": "SELECT penstock.prune_workers()",
    "prune_queues": "SELECT penstock.prune_queues()",
    "make_partitions": "SELECT penstock.make_partitions(30)",
    "drop_partitions": "SELECT penstock.drop_partitions()",
    "declare_queue": "SELECT penstock.declare_queue('q', 'me', 1, false, 5::smallint, NULL, NULL, 86400, '{}')",
    "pause": "SELECT penstock.pause('q', true)",
    "register": "SELECT penstock.register('q', 'x', NULL, NULL, '0', 1, 60, '{}')",
    "note_end": "SELECT penstock.note_end(1, 'pod', now(), 'killed')",
    "shorten_grace": "SELECT penstock.shorten_grace(1, 'pod', 5)",
    "tell_dead": "SELECT penstock.tell_dead('x', 10)",
    "bury_unreadable": "SELECT penstock.bury_unreadable(1, 10)",
    "ack_unlocked": "SELECT state FROM penstock.ack_unlocked(%(lost)s, '{2,3,4}', '{7001,7001,7001}')",
    "release_unlocked": "SELECT penstock.release_unlocked(%(lost)s, '{3,4}', '{7001,7001}')",
    "sample": "SELECT penstock.sample(NULL, 100, 15)",
    "why_job": "SELECT penstock.why_job(1)",
    "checkup": "SELECT penstock.checkup()",
}
UNBOUNDED = {"enqueue with the key"}
"""In a transaction of the application, whose own lock_timeout counts."""
STEPS_OVER = {
    "rescue",
    "rescue_overdue",
    "promote",
    "publish_marks",
    "prune_workers",
    "prune_queues",
    "make_partitions",
    "drop_partitions",
    "tell_dead",
    "bury_unreadable",
    "ack_unlocked",
    "release_unlocked",
    "cordon",
    "call back",
    "wait_mark of the operator",
    "count_limits",
}
"""What steps over rows that others hold, and so does not fail for them."""


@pytest.mark.parametrize("locked", [ROWS, WHOLE], ids=["every row", "every table"])
def test_no_statement_waits_without_a_bound_for_what_others_hold(locked, pg_newest):
    """All at once, while one transaction holds everything: each ends by itself, most with `lock_not_available`."""
    with pg_newest.connect() as db, Interleaving(pg_newest.url) as play:
        values = Scene(db).set()
        holder = play.connection("holder")
        holder.start_transaction()
        for lock in locked:
            holder.run(lock)
        statements = {name: text for name, text in {**STATEMENTS, **OTHERS}.items() if name not in UNBOUNDED}
        steps = {name: play.connection(name).start(text % values) for name, text in statements.items()}
        ended = {name: outcome(step) for name, step in steps.items()}
        holder.rollback()
    assert {name for name, state in ended.items() if state not in {None, "55P03", "PN001"}} == set()
    if locked is ROWS:
        assert {name for name in STEPS_OVER if ended[name] is not None} == set()


def test_every_function_of_a_role_has_a_bound_of_its_own_for_locks(pg_newest):
    """Those that run in transactions of applications have the caller's."""
    callers = {"enqueue", "enqueue_many", "enqueue_quietly", "begin_copy", "open_copy", "close_copy", "wake"}
    names = {name for role in roles() for name in executable(role)}
    query = "SELECT proname FROM pg_proc WHERE pronamespace = 'penstock'::regnamespace AND 'lock_timeout' = ANY "
    query += "(SELECT split_part(unnest(proconfig), '=', 1))"
    with pg_newest.connect() as db:
        bounded = {name for (name,) in db.execute(query.encode())}
    assert names - bounded == callers


def test_what_waits_for_a_row_finds_it_by_a_column_that_nobody_changes():
    """The lock of a row that was waited for and then does not match is kept: so a wait has no other condition."""
    waiting = re.compile(
        r"(SELECT|PERFORM)(?:(?!SELECT|PERFORM|;).)*?FOR (?:NO KEY UPDATE|KEY SHARE|UPDATE)(?! SKIP| OF \w SKIP)",
        re.DOTALL,
    )
    where = re.compile(r"WHERE (.*?)\s*(?:ORDER|FOR|LIMIT)", re.DOTALL)
    key = re.compile(r"\w\.(id|name|queue) = (ANY \(\w+\)|\w+)")
    known = {
        "claim": "refused if it does not match, which ends the transaction",
        "keep_queue": "a slot that was pruned is stepped over by everybody",
        "ack_deferred": "its caller has locked the rows",
    }
    folder = Path(penstock.__file__).parent / "store" / "functions"
    for path in sorted(folder.glob("*.sql")):
        text = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("--"))
        for found in waiting.finditer(text):
            condition = where.search(found[0])
            assert path.stem in known or (condition and key.fullmatch(condition[1].strip())), (path.stem, found[0])


def test_one_frozen_completion_keeps_no_other_job_from_its_rescue(play, db):
    """Two workers are lost, one between `complete` and its commit: that job alone waits, and is not forgotten."""
    frozen, gone = desk.register(db), desk.register(db)
    ids = desk.enqueue(db, 4)
    token, other = desk.token(), desk.token()
    a, b, rescuer = play.connection("frozen"), play.connection("gone"), play.connection("rescuer")
    desk.claim(a, frozen, 2, token).finish()
    desk.claim(b, gone, 2, other).finish()
    desk.lead_for_long(db)
    a.start_transaction()
    a.run("SELECT penstock.complete(%s, %s, %s, 1)", [frozen.id, ids[0], token])
    desk.lapse(db, frozen)
    desk.lapse(db, gone)
    assert rescuer.run(desk.RESCUE, ["leader", desk.QUIET_LEASE]) == [(2, 3, 0)]
    swept = "SELECT id FROM penstock.worker WHERE swept ORDER BY id"
    assert db.execute(swept).fetchall() == [(gone.id,)]
    assert rescuer.run(desk.RESCUE, ["leader", desk.QUIET_LEASE]) == [(0, 0, 0)]
    a.die()
    assert rescuer.run(desk.RESCUE, ["leader", desk.QUIET_LEASE]) == [(0, 1, 0)]
    assert db.execute(swept).fetchall() == [(frozen.id,), (gone.id,)]
    assert [desk.state_of(db, job) for job in ids] == ["scheduled"] * 4


def an_acknowledger(
    store: WorkerStore,
    worker: desk.Worker,
    held_claims: HeldClaims,
    accepted: Callable[[int], None],
    metrics: WorkerMetrics,
) -> JobAcknowledger:
    """That of a worker of queue q."""
    forensics = Forensics(
        store=store,
        queue=lambda: (worker.queue, "q"),
        facts=dict,
        hooks=HookDispatcher(Hooks()),
        metrics=metrics,
        tasks=[],
        holder="x",
    )
    return JobAcknowledger(
        name="acks",
        store=store,
        held_claims=held_claims,
        accepted=accepted,
        rng=random.Random(1),
        metrics=metrics,
        forensics=forensics,
    )


@pytest.mark.parametrize("ends", ["commit", "rollback"])
async def test_an_outcome_whose_row_is_locked_is_stored_once_the_lock_is_gone(ends, pg_newest, newest):
    """The other outcomes of its batch are stored at once, whatever the job's fate is; people are notified."""
    worker, held_claims, accepted = desk.register(newest), HeldClaims(), list[int]()
    ids = desk.enqueue(newest, 5)
    metrics = WorkerMetrics(queue="q", tasks=["work"], version="0")
    async with WorkerStore(pg_newest.url, lanes=1) as store:
        jobs = await desk.claim_some(store, worker)
        held_claims.add(jobs)
        acknowledger = an_acknowledger(store, worker, held_claims, accepted.append, metrics)
        await acknowledger.start()
        with Interleaving(pg_newest.url) as play:
            person = play.connection("person")
            person.start_transaction()
            person.run("SELECT FROM penstock.cancel_jobs(%s)", [[ids[1]]])
            batch = [Finished(job=job, state=OutcomeState.COMPLETED, result="1") for job in jobs]
            await acknowledger.handle_events(batch, cast("Any", None))
            states = [desk.state_of(newest, job) for job in ids]
            assert states == ["completed", "running", "completed", "completed", "completed"]
            assert (accepted, len(held_claims), metrics.unstored, metrics.postponed) == ([4], 1, 1, 1)
            getattr(person, ends)()
            async with asyncio.timeout(60):
                while metrics.unstored:
                    await asyncio.sleep(0.01)
        await acknowledger.stop(timeout=60)
    assert desk.state_of(newest, ids[1]) == ("cancelled" if ends == "commit" else "completed")
    assert (sum(accepted), len(held_claims), metrics.postponed) == (5, 0, 1)
    assert newest.execute("SELECT count(*) FROM penstock.outcome WHERE token IS NOT NULL").fetchone() == (5,)


async def test_what_holds_the_row_may_end_the_job_itself(play, store, db):
    """The holder was an acknowledgement of the same attempt: what it stored is found."""
    worker, (first, second) = desk.register(db), desk.enqueue(db, 2)
    jobs = await desk.claim_some(store, worker)
    a = play.connection("a")
    a.start_transaction()
    desk.ack(a, worker, [second], jobs[0].token, "failed").finish()
    batch = [Finished(job=job, state=OutcomeState.COMPLETED) for job in jobs]
    assert await ack_unlocked(store, worker.id, batch) == [(second, jobs[0].token, LOCKED)]
    assert desk.state_of(db, first) == "completed"
    a.commit()
    assert await ack_unlocked(store, worker.id, batch) == [(second, jobs[0].token, "failed")]


async def test_a_release_steps_over_locked_rows_and_open_producers_of_its_key(play, store, db):
    """What is free is released at once; a producer that has the key in an open transaction counts as having it."""
    worker = desk.register(db)
    ids = desk.enqueue(db, 3, p_unique_keys=["k", None, None], p_until_start=[True, False, False])
    jobs = await desk.claim_some(store, worker)
    held_claims = HeldClaims()
    held_claims.add(jobs)
    producer, person = play.connection("producer"), play.connection("person")
    producer.start_transaction()
    producer.run("SELECT penstock.enqueue_many('{q}', '{work}', '{\"{}\"}', p_unique_keys => '{k}')")
    person.start_transaction()
    person.run("UPDATE penstock.job SET cancel = cancel WHERE id = %s", [ids[1]])
    assert await release(store, held_claims, jobs) == 2
    assert [job.id for job in held_claims.snapshot()] == [ids[1]]
    assert [desk.state_of(db, job) for job in ids] == ["queued", "running", "queued"]
    person.rollback()
    producer.rollback()
    assert await release(store, held_claims, held_claims.still(jobs)) == 1
    assert len(held_claims) == 0


async def test_maintenance_goes_on_while_others_lock_rows(pg_newest, newest):
    """The leader's row, a queue's and a due job's are locked: other jobs are promoted and rescued all the same."""
    lost = desk.register(newest)
    ids = desk.enqueue(newest, 3, p_delays=[None, 3600, 3600])
    newest.execute(desk.CLAIM.encode(), [lost.id, lost.queue, 1, desk.token()])
    newest.execute("UPDATE penstock.job SET due_at = now() - interval '1 s' WHERE due_at IS NOT NULL")
    desk.lapse(newest, lost)
    desk.lead_for_long(newest, "holder")
    async with Store(pg_newest.url, lanes=1) as store:
        maintenance = Maintenance(store=store, holder="holder", lease=3600.0, clock=time.monotonic)
        await maintenance._lead()
        maintenance.lease = desk.QUIET_LEASE
        with Interleaving(pg_newest.url) as play:
            person = play.connection("person")
            person.start_transaction()
            for table in ("leader", "queue", "queue_slot"):
                person.run(f"SELECT FROM penstock.{table} FOR UPDATE")
            person.run("UPDATE penstock.job SET cancel = cancel WHERE id = %s", [ids[1]])
            running = asyncio.create_task(maintenance.run(), name="maintenance")
            try:
                async with asyncio.timeout(60):
                    done = maintenance.stats
                    while not (done.promoted and done.rescued and "lead:" in (done.last_error or "")):
                        await asyncio.sleep(0.01)
                    assert done.leading
                    assert [desk.state_of(newest, job) for job in ids] == ["scheduled", "scheduled", "queued"]
                    person.rollback()
                    while done.promoted < 2 or done.last_error is not None:
                        await asyncio.sleep(0.01)
            finally:
                await cancel_and_wait([running])
    assert desk.state_of(newest, ids[1]) == "queued"


def test_a_cordon_changes_the_workers_whose_rows_are_free(play, db):
    """One row that somebody holds keeps no other worker from being cordoned."""
    locked, free = desk.register(db), desk.register(db)
    person = play.connection("person")
    person.start_transaction()
    person.run("UPDATE penstock.worker SET info = info WHERE id = %s", [locked.id])
    query = "SELECT penstock.cordon(%s, true)"
    assert db.execute(query, [[locked.id, free.id]]).fetchall() == [(free.id,)]
    person.rollback()
    assert db.execute(query, [[locked.id, free.id]]).fetchall() == [(locked.id,)]


def test_whatever_else_is_sent_on_a_connection_of_our_own_has_a_bound_too(pg_newest):
    """Enqueues and samples are no function with a limit of its own; the server's default is none."""
    with connect(pg_newest.url, name="test") as ours:
        assert ours.execute("SHOW lock_timeout").fetchone() == ("10s",)
