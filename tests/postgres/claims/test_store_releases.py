"""Jobs whose arguments no worker of this release accepts: deferred, and for how long, on the database's clock."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from psycopg.types.json import Jsonb

from penstock.job import ClaimedJob, Finished, OutcomeState
from tests.postgres import desk
from tests.postgres.interleave import ConnectionDied

ACK = "SELECT id, token, state FROM penstock.ack(%s, %s, %s, %s, %s, %s, %s, %s)"


def refusal(job: ClaimedJob, wait: float = 3600.0) -> Finished:
    """As a worker acknowledges it."""
    error = json.dumps({"attempt": job.attempt, "type": "E", "message": "no", "wait_seconds": wait})
    return Finished(job=job, state=OutcomeState.SNOOZE, delay=30, reason="incompatible_arguments", error=error)


async def refused(store, db, worker, **given) -> list:
    """One claim of the only job and its refusal; what differed from what was sent."""
    db.execute("SELECT penstock.retry_now(array(SELECT id FROM penstock.job))")
    [job] = await desk.claim_some(store, worker)
    return [found.state for found in await store.jobs.ack(worker.id, [refusal(job, **given)])]


def age(db, hours: float) -> None:
    db.execute("UPDATE penstock.job SET incompatible_since = incompatible_since - %s", [timedelta(hours=hours)])


async def test_a_refused_job_waits_with_its_attempt_and_one_error(store, client, db):
    """However often it is refused: the history has room for five errors."""
    client.enqueue([desk.new()])
    worker = desk.register(db)
    for _ in range(3):
        assert await refused(store, db, worker) == []
    attempt, reason, errors = db.execute("SELECT attempt, reason, errors FROM penstock.job").fetchone()
    assert (attempt, reason, len(errors)) == (0, "incompatible_arguments", 1)
    [sample] = await store.queues.snapshot(cap=10, soon=60.0)
    assert (sample.deferred, sample.due_soon) == (1, 0), "it adds no replica"


async def test_a_job_that_is_refused_for_too_long_is_a_dead_letter(store, client, db):
    """The reply says so, and the worker counts it; redriven, it may wait as long again."""
    [job_id] = client.enqueue([desk.new()])
    worker = desk.register(db)
    assert await refused(store, db, worker) == []
    age(db, 0.9)
    assert await refused(store, db, worker) == []
    age(db, 0.2)
    assert await refused(store, db, worker) == ["failed"]
    assert db.execute("SELECT reason, attempt, error ->> 'type' FROM penstock.dead").fetchone() == (
        "invalid_arguments",
        1,
        "E",
    )
    assert db.execute("SELECT state, reason, final FROM penstock.outcome").fetchall() == [
        ("failed", "invalid_arguments", True)
    ]
    await store.jobs.redrive([job_id])
    assert await refused(store, db, worker) == []


async def test_a_job_that_waits_for_nothing_is_a_dead_letter_at_once(store, client, db):
    """`wait_seconds` of 0."""
    client.enqueue([desk.new()])
    assert await refused(store, db, desk.register(db), wait=0.0) == ["failed"]
    assert db.execute("SELECT reason FROM penstock.dead").fetchall() == [("invalid_arguments",)]


@pytest.mark.parametrize(
    ("state", "duration", "reason", "goes_on"),
    [
        ("snooze", 0.0, "task_unknown", True),
        ("snooze", 0.0, "breaker", True),
        ("snooze", 0.0, "no_child", True),
        ("snooze", 0.5, "asked", False),
        ("retry", 0.5, "error", False),
    ],
)
async def test_the_wait_counts_from_the_first_refusal_until_an_attempt_runs(
    store, client, db, state, duration, reason, goes_on
):
    """Whatever else puts the job off; else two releases could pass it to one another for ever."""
    client.enqueue([desk.new()])
    worker = desk.register(db)
    await refused(store, db, worker)
    age(db, 2)
    db.execute("SELECT penstock.retry_now(array(SELECT id FROM penstock.job))")
    [job] = await desk.claim_some(store, worker)
    await store.jobs.ack(worker.id, [Finished(job=job, state=OutcomeState(state), duration=duration, reason=reason)])
    assert await refused(store, db, worker) == (["failed"] if goes_on else [])


async def test_a_refusal_with_other_outcomes_changes_none_of_them(store, client, db):
    """One batch: each job ends where its own outcome puts it."""
    client.enqueue([desk.new() for _ in range(4)])
    worker = desk.register(db)
    first, second, third, fourth = await desk.claim_some(store, worker)
    batch = [
        Finished(job=first, state=OutcomeState.COMPLETED, result="1"),
        refusal(second),
        refusal(third, wait=0.0),
        Finished(job=fourth, state=OutcomeState.SNOOZE, delay=9, reason="incompatible_arguments"),
    ]
    assert [(found.id, found.state) for found in await store.jobs.ack(worker.id, batch)] == [(third.id, "failed")]
    found = [desk.state_of(db, job.id) for job in (first, second, third, fourth)]
    assert found == ["completed", "scheduled", "dead", "scheduled"]


def test_a_dead_letter_whose_reply_was_lost_is_reported_again(play, db):
    """The acknowledgement is repeated; the job died once."""
    [job_id] = desk.enqueue(db)
    worker, token, a = desk.register(db), desk.token(), play.connection("a")
    desk.claim(a, worker, 1, token).finish()
    values = [worker.id, [job_id], [token], ["snooze"], [0.0], [30.0], ["incompatible_arguments"]]
    with pytest.raises(ConnectionDied):
        a.lose_reply(ACK, [*values, [Jsonb({"wait_seconds": 0})]])
    b = play.connection("b")
    assert b.run(ACK, [*values, [Jsonb({"wait_seconds": 0})]]) == [(job_id, token, "failed")]
    assert db.execute("SELECT count(*) FROM penstock.dead").fetchone() == (1,)


def test_a_refusal_after_a_rescue_changes_nothing(play, db):
    """Its claim was reclaimed while the worker decided: fenced, dead letter or not."""
    [job_id] = desk.enqueue(db)
    worker, token, a = desk.register(db), desk.token(), play.connection("a")
    desk.claim(a, worker, 1, token).finish()
    a.run("BEGIN")
    db.execute("UPDATE penstock.job SET token = token + 1")  # a later claim
    values = [worker.id, [job_id], [token], ["snooze"], [0.0], [30.0], ["incompatible_arguments"]]
    assert a.run(ACK, [*values, [Jsonb({"wait_seconds": 0})]]) == [(job_id, token, None)]
    a.run("COMMIT")
    assert desk.state_of(db, job_id) == "running"
