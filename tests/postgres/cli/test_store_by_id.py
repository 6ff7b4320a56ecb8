"""Cancel, retry now, redrive, discard, pause: alone, and against what runs at the same time."""

from __future__ import annotations

import psycopg

from penstock.job import Finished, NewJob, OutcomeState, UniqueKey
from penstock.store import Store
from tests.postgres import desk


def unique(key: str = "k", queue: str = "q", **values) -> NewJob:
    return NewJob(task="work", args="{}", queue=queue, unique=UniqueKey(key=key, **values))


async def claim_one(store: Store, db: psycopg.Connection):
    worker = desk.register(db)
    (job,) = await store.jobs.claim(worker.id, worker.queue, "q", 1, desk.token())
    return worker, job


# -- cancel -------------------------------------------------------------------------------------------------------


async def test_cancelling_ends_what_waits_and_flags_what_runs(client, store, db):
    """A job that is over is left out of the answer."""
    waiting, later, running = client.enqueue(
        [unique("a"), NewJob(task="work", args="{}", queue="q", delay=60), unique("b")]
    )
    worker = desk.register(db)
    jobs = await store.jobs.claim(worker.id, worker.queue, "q", 2, desk.token())
    await store.jobs.release(worker.id, [job for job in jobs if job.id == waiting])
    assert client.cancel_jobs([waiting, later, running, 999]) == {
        waiting: "cancelled",
        later: "cancelled",
        running: "cancelling",
    }
    assert [desk.state_of(db, job) for job in (waiting, later, running)] == ["cancelled", "cancelled", "running"]
    assert client.cancel_jobs([waiting]) == {}
    (job,) = [job for job in jobs if job.id == running]
    assert await store.jobs.ack(worker.id, [Finished(job=job, state=OutcomeState.COMPLETED)]) == [
        (running, job.token, "cancelled")
    ]


def test_a_cancel_that_meets_a_claim_flags_the_claimed_job(play, db):
    """It waits for the claim's row and then sees it running."""
    worker, (job,) = desk.register(db), desk.enqueue(db, 1)
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction()
    desk.claim(a, worker, 1, desk.token()).finish()
    step = b.start("SELECT id, verdict FROM penstock.cancel_jobs(%s)", [[job]])
    step.blocks_on(a)
    a.commit()
    assert step.finish() == [(job, "cancelling")]


def test_a_claim_that_meets_a_cancel_steps_over_the_job(play, db):
    """The other order: the job ends as cancelled and nobody runs it."""
    worker, (job,) = desk.register(db), desk.enqueue(db, 1)
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction()
    assert a.run("SELECT id, verdict FROM penstock.cancel_jobs(%s)", [[job]]) == [(job, "cancelled")]
    assert desk.claim(b, worker, 1, desk.token()).finish() == []
    a.commit()
    assert desk.claim(b, worker, 1, desk.token()).finish() == []
    assert desk.state_of(db, job) == "cancelled"


def test_a_cancel_that_meets_an_acknowledgement_changes_nothing(play, db):
    """The job was over first."""
    a, b = play.connection("a"), play.connection("b")
    worker, job, token = desk.claim_one(db, a)
    a.start_transaction()
    desk.ack(a, worker, [job], token).finish()
    step = b.start("SELECT id, verdict FROM penstock.cancel_jobs(%s)", [[job]])
    step.blocks_on(a)
    a.commit()
    assert step.finish() == []
    assert desk.state_of(db, job) == "completed"


async def test_a_release_and_a_rescue_end_a_flagged_job(client, store, db):
    """It never becomes ready again."""
    ids = client.enqueue([unique("a"), unique("b")])
    desk.lead_for_long(db)
    worker = desk.register(db)
    jobs = await store.jobs.claim(worker.id, worker.queue, "q", 2, desk.token())
    client.cancel_jobs(ids)
    await store.jobs.release(worker.id, jobs[:1])
    desk.lapse(db, worker)
    await store.leadership.rescue("leader", desk.QUIET_LEASE)
    assert [desk.state_of(db, job) for job in ids] == ["cancelled", "cancelled"]


# -- retry now, redrive, discard, pause ---------------------------------------------------------------------------


async def test_a_deferred_job_can_be_made_ready_at_once(client, store, db):
    """What is ready, running or over is not touched."""
    ready, later = client.enqueue([unique("a"), NewJob(task="work", args="{}", queue="q", delay=3600)])
    assert await store.jobs.retry_now([ready, later, 999]) == 1
    assert desk.state_of(db, later) == "queued"


async def test_a_dead_letter_comes_back_under_its_id_with_its_history(client, store, db):
    """Attempts and crashes start at zero; the errors are kept; it can die again."""
    (dead,) = client.enqueue([unique()])
    worker, job = await claim_one(store, db)
    await store.jobs.ack(
        worker.id, [Finished(job=job, state=OutcomeState.FAILED, reason="exhausted", error='{"n": 1}')]
    )
    assert await store.jobs.redrive([dead, 999]) == {dead: None}
    info = client.info(dead)
    assert info is not None
    assert (info.state.value, info.attempt, info.crashes, info.errors) == ("queued", 0, 0, [{"n": 1}])
    worker, job = await claim_one(store, db)
    await store.jobs.ack(worker.id, [Finished(job=job, state=OutcomeState.COMPLETED)])
    assert desk.state_of(db, dead) == "completed"
    assert await store.jobs.redrive([dead]) == {}


async def test_a_dead_letter_whose_key_is_taken_stays_and_names_the_holder(client, store, db):
    """Until it must come back without the key."""
    (dead,) = client.enqueue([unique()])
    worker, job = await claim_one(store, db)
    await store.jobs.ack(worker.id, [Finished(job=job, state=OutcomeState.FAILED)])
    (holder,) = client.enqueue([unique()])
    assert await store.jobs.redrive([dead]) == {dead: holder}
    assert desk.state_of(db, dead) == "dead"
    assert await store.jobs.redrive([dead], drop_key=True) == {dead: None}
    assert desk.state_of(db, dead) == "queued"


def test_two_redrives_at_once_bring_it_back_once(play, db, pg):
    """The second waits and finds nothing."""
    (job,) = desk.enqueue(db, 1)
    worker, token = desk.register(db), desk.token()
    a, b = play.connection("a"), play.connection("b")
    desk.claim(a, worker, 1, token).finish()
    desk.ack(a, worker, [job], token, "failed").finish()
    a.start_transaction()
    assert a.run("SELECT id, holder FROM penstock.redrive(%s)", [[job]]) == [(job, None)]
    step = b.start("SELECT id, holder FROM penstock.redrive(%s)", [[job]])
    step.blocks_on(a)
    a.commit()
    assert step.finish() == []
    assert db.execute("SELECT count(*) FROM penstock.job").fetchone() == (1,)


async def test_a_discarded_dead_letter_is_gone(client, store, db):
    """And only a dead letter can be."""
    dead, alive = client.enqueue([unique("a"), unique("b")])
    worker, job = await claim_one(store, db)
    assert job.id == dead
    await store.jobs.ack(worker.id, [Finished(job=job, state=OutcomeState.FAILED)])
    assert await store.jobs.discard([dead, alive]) == 1
    assert [desk.state_of(db, job) for job in (dead, alive)] == ["gone", "queued"]


async def test_pausing_a_queue_that_nobody_knows_says_so(store, client):
    """False instead of a new row."""
    client.enqueue([unique()])
    assert await store.queues.pause("q")
    assert await store.queues.pause("q", paused=False)
    assert not await store.queues.pause("never")


def test_an_id_that_a_copy_took_again_stops_neither_redrive_nor_rescue(play, db):
    """A login that may COPY may reuse a dead letter's id: both stay, both are listed, neither delays others."""
    worker, token = desk.register(db), desk.token()
    first, other = desk.enqueue(db, 2)
    a = play.connection("a")
    desk.claim(a, worker, 2, token).finish()
    assert desk.ack(a, worker, [first, other], token, "failed").finish() == []
    db.execute("INSERT INTO penstock.job (id, queue, task, args) VALUES (%s, %s, 'work', '{}')", [first, worker.queue])
    redriven = dict(a.run("SELECT id, holder FROM penstock.redrive(%s)", [[first, other]]))
    assert redriven == {first: first, other: None}
    db.execute("UPDATE penstock.job SET crashes = 2")
    assert len(desk.claim(a, worker, 2, desk.token()).finish()) == 2
    assert a.run("SELECT rescued, poisoned FROM penstock.reclaim(%s)", [[worker.id]]) == [(1, 1)]
    db.execute("UPDATE penstock.job SET ord = 10, due_at = NULL, ready_at = created_at, attempt = 8")
    assert len(desk.claim(a, worker, 2, desk.token()).finish()) == 1
    db.execute("UPDATE penstock.job SET deadline = created_at")
    db.execute("UPDATE penstock.queue SET job_deadline = '1 s'")
    desk.lead_for_long(db)
    assert a.run(desk.OVERDUE, ["leader", desk.QUIET_LEASE]) == [(1, 0)]
