"""What the operator asks with its snapshot: exact holders, waits of the newest outcomes, which database this is."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit, urlunsplit

import pytest

from penstock.job import Finished, OutcomeState
from penstock.store import Store, migrate
from penstock.store.operator_queries import (
    claims_by_worker,
    database_identity,
    lost_workers,
    note_end,
    recent_waits,
    shorten_grace,
)
from tests.postgres import desk


async def test_who_holds_how_many_is_exact_before_any_worker_reports(store, client, db):
    """At once after the claim, and after the acknowledgement; who holds nothing is not there."""
    client.enqueue([desk.new() for _ in range(5)])
    one, other, idle = (desk.register(db) for _ in range(3))
    await desk.claim_some(store, one, 3)
    (job,) = await desk.claim_some(store, other, 1)
    queue = one.queue
    assert await claims_by_worker(store, queue) == {one.id: 3, other.id: 1}
    assert idle.id not in await claims_by_worker(store, queue)
    await store.jobs.ack(other.id, [Finished(job=job, state=OutcomeState.COMPLETED)])
    assert await claims_by_worker(store, queue) == {one.id: 3}
    assert await claims_by_worker(store, queue + 1000) == {}


async def test_a_dead_letter_by_lost_workers_names_pod_node_and_how_each_ended(store, client, db):
    """Of each loss, in the job's errors; a note from before the worker's start is another worker's."""
    (job,) = client.enqueue([desk.new()])
    desk.lead_for_long(db)
    for crash, how in enumerate(["OOMKilled, exit code 137 (SIGKILL)", "Evicted (low memory)", None], start=1):
        worker = desk.register(db)
        db.execute("UPDATE penstock.worker SET pod = %s, node = 'n1' WHERE id = %s", [f"pod-{crash}", worker.id])
        assert len(await desk.claim_some(store, worker, 1)) == 1
        at = db.execute("SELECT clock_timestamp()::text").fetchone()
        if how is not None and at is not None:
            await note_end(store, worker.queue, pod=f"pod-{crash}", at=at[0], how=how)
        await note_end(store, worker.queue, pod=f"pod-{crash}", at="2020-01-01T00:00:00Z", how="of another")
        desk.lapse(db, worker)
        await store.leadership.rescue("leader", desk.QUIET_LEASE)
        db.execute("UPDATE penstock.job SET due_at = clock_timestamp() WHERE due_at IS NOT NULL")
        await store.leadership.promote()
    found = db.execute("SELECT error ->> 'message', errors FROM penstock.dead WHERE id = %s", [job]).fetchone()
    assert found is not None
    assert [(one["attempt"], one["type"]) for one in found[1]] == [(n, "WorkerLost") for n in (1, 2, 3)]
    said = [one["message"] for one in found[1]]
    for crash, words in enumerate(
        ["ended with OOMKilled, exit code 137", "Evicted (low memory)", "is not known"], start=1
    ):
        assert f"pod pod-{crash} on node n1 last renewed its lease at" in said[crash - 1]
        assert words in said[crash - 1]
    assert found[0] == f"the worker was lost three times while it had claimed this job: {said[2]}"


async def test_a_lost_worker_is_named_with_its_node_until_its_pod_has_a_living_one(store, db):
    """The youngest lost row of each pod; a pod whose container was started again is not among them."""
    rows = {}
    for pod, node in (("back", "n1"), ("gone", "n1"), ("gone", "n2"), ("well", "n2"), (None, "n3")):
        worker = desk.register(db)
        change = "UPDATE penstock.worker SET pod = %s, node = %s, renewed_at = now() - interval '30 s' WHERE id = %s"
        db.execute(change, [pod, node, worker.id])
        rows[pod] = worker
    assert await lost_workers(store, rows["gone"].queue) == {}
    db.execute("UPDATE penstock.worker SET state = 'lost' WHERE pod IS DISTINCT FROM 'well'")
    again = desk.register(db)
    db.execute("UPDATE penstock.worker SET pod = 'back' WHERE id = %s", [again.id])
    found = await lost_workers(store, again.queue)
    assert {pod: one.node for pod, one in found.items()} == {"gone": "n2"}
    assert found["gone"].silent >= 30
    assert await lost_workers(store, again.queue + 1000) == {}


async def test_the_wait_that_95_of_100_had_at_most_is_that_of_the_newest_outcomes(store, client, db):
    """One job in twenty waited longer than nine seconds."""
    assert await recent_waits(store) == {}
    client.enqueue([desk.new() for _ in range(21)])
    worker = desk.register(db)
    jobs = await desk.claim_some(store, worker, 21)
    await store.jobs.ack(worker.id, [Finished(job=job, state=OutcomeState.COMPLETED) for job in jobs])
    waits = "UPDATE penstock.outcome SET ready_at = claimed_at - make_interval(secs => %s) WHERE job_id = ANY (%s)"
    db.execute(waits, [2.0, [job.id for job in jobs]])
    db.execute(waits, [9.0, [jobs[3].id]])
    assert await recent_waits(store) == pytest.approx({worker.queue: 2.0})
    db.execute(waits, [9.0, [job.id for job in jobs[:3]]])
    assert await recent_waits(store) == pytest.approx({worker.queue: 9.0})
    past = "DELETE FROM penstock.outcome WHERE job_id <> %s"
    db.execute(past, [jobs[20].id])
    assert await recent_waits(store) == pytest.approx({worker.queue: 2.0})


async def test_what_jobs_waited_lately_is_read_from_the_last_blocks_alone(store, db):
    """Of thirty thousand outcomes of this minute only the newest count: an old long wait among them is not seen."""
    outcomes = (
        "INSERT INTO penstock.outcome (job_id, created_at, ready_at, claimed_at, finished_at, queue, attempt, "
        "max_attempts, crashes, priority, final, state, task) "
        "SELECT n, now(), now() - make_interval(secs => %s), now(), now(), 1, 1, 5, 0, 1, true, 'completed', 'work' "
        "FROM generate_series(1, %s) AS n"
    )
    db.execute(outcomes, [600.0, 20_000])
    db.execute(outcomes, [1.0, 30_000])
    assert await recent_waits(store) == pytest.approx({1: 1.0})


async def test_two_ways_to_write_one_databases_url_give_one_identity(store, pg, pg_blank):
    """Another host's name and other parameters lead to the same; another database of the same server does not."""
    parts = urlsplit(pg.url)
    other = urlunsplit(parts._replace(netloc=parts.netloc.replace("127.0.0.1", "localhost"), query="connect_timeout=7"))
    assert other != pg.url
    await asyncio.to_thread(migrate, pg_blank.url)
    async with Store(other, lanes=1) as again, Store(pg_blank.url, lanes=1) as blank:
        assert await database_identity(again) == await database_identity(store)
        assert await database_identity(blank) != await database_identity(store)


async def test_what_any_login_of_the_server_can_read_does_not_make_an_identity(store, db):
    """Server and database are the same; when the schema was made is known to those alone who have rights in it."""
    before = await database_identity(store)
    db.execute("UPDATE penstock.schema_version SET applied_at = applied_at + interval '1 microsecond'")
    assert await database_identity(store) != before


async def test_a_worker_whose_pod_is_killed_early_learns_how_long_it_has(store, db):
    """The latest word counts; another pod's workers, other queues and lost workers are not reported."""
    worker, other = desk.register(db), desk.register(db)
    db.execute("UPDATE penstock.worker SET pod = CASE id WHEN %s THEN 'spot' ELSE 'other' END", [worker.id])
    left = "SELECT penstock.grace_left(%s)"
    assert db.execute(left, [worker.id]).fetchone() == (None,)
    await shorten_grace(store, worker.queue, pod="spot", seconds=100)
    await shorten_grace(store, worker.queue, pod="spot", seconds=50)
    await shorten_grace(store, worker.queue + 1000, pod="other", seconds=50)
    found = db.execute(left, [worker.id]).fetchone()
    assert found is not None
    assert 0 < found[0] <= 50
    assert db.execute(left, [other.id]).fetchone() == (None,)
    db.execute("UPDATE penstock.worker SET state = 'lost'")
    await shorten_grace(store, worker.queue, pod="other", seconds=50)
    assert db.execute(left, [other.id]).fetchone() == (None,)
