"""Outcomes that the database refuses: the one is found in its batch and becomes a failure, the others are kept."""

from __future__ import annotations

import random
from typing import Any, cast

import pytest

from penstock.app.task import TaskRegistry
from penstock.events import Hooks
from penstock.job import Finished, OutcomeState
from penstock.runtime.claims.acknowledger import JobAcknowledger
from penstock.runtime.claims.held_claims import HeldClaims
from penstock.runtime.middleware.hooks import HookDispatcher
from penstock.runtime.observe.forensics import Forensics
from penstock.runtime.observe.metrics import WorkerMetrics
from penstock.store import WorkerStore
from tests.postgres import desk

UNSTORABLE = '"\\u0000"'
"""JSON that Postgres cannot keep."""


class Scene:
    """A worker that has just run nine jobs; the results of some cannot be stored."""

    def __init__(self, store: WorkerStore, held_claims: HeldClaims, worker: desk.Worker) -> None:
        self.store, self.held_claims, self.worker = store, held_claims, worker
        self.accepted: list[int] = []

    async def acknowledge(self, db: Any, unstorable: set[int]) -> list[int]:
        """The whole batch through a worker's acknowledger; the jobs' ids."""
        ids = desk.enqueue(db, 9)
        jobs = await desk.claim_some(self.store, self.worker)
        self.held_claims.add(jobs)
        metrics = WorkerMetrics(queue="q", tasks=TaskRegistry(), version="0")
        forensics = Forensics(
            store=self.store,
            queue=lambda: (self.worker.queue, "q"),
            facts=dict,
            hooks=HookDispatcher(Hooks()),
            metrics=metrics,
            tasks=[],
            holder="x",
        )
        acknowledger = JobAcknowledger(
            name="acks",
            store=self.store,
            held_claims=self.held_claims,
            accepted=self.accepted.append,
            rng=random.Random(1),
            metrics=metrics,
            forensics=forensics,
        )
        batch = [
            Finished(job=job, state=OutcomeState.COMPLETED, result=UNSTORABLE if n in unstorable else "1")
            for n, job in enumerate(jobs)
        ]
        await acknowledger.handle_events(batch, cast("Any", None))
        return ids


@pytest.mark.parametrize("unstorable", [{0}, {4, 5}, {8}, set(range(9))], ids=str)
async def test_an_outcome_that_is_refused_becomes_a_failure_and_its_neighbours_are_kept(unstorable, pg_newest, newest):
    """The batch is halved until it is found; the dead letter says what was refused."""
    async with WorkerStore(pg_newest.url, lanes=1) as store:
        scene = Scene(store, HeldClaims(), desk.register(newest))
        ids = await scene.acknowledge(newest, unstorable)
    states = [desk.state_of(newest, job) for job in ids]
    assert states == ["dead" if n in unstorable else "completed" for n in range(9)]
    dead = newest.execute("SELECT reason, error ->> 'type', error ->> 'message' FROM penstock.dead").fetchall()
    assert {(reason, kind.rsplit(".", 1)[-1]) for reason, kind, _ in dead} == {
        ("outcome_rejected", "RejectedByDatabase")
    }
    assert all(message.startswith("ack: the database refused the data") for *_, message in dead)
    assert newest.execute("SELECT count(*), count(DISTINCT job_id) FROM penstock.outcome").fetchone() == (9, 9)
    assert (len(scene.held_claims), scene.accepted) == (0, [9])


REFUSALS = {
    "a constraint": "ALTER TABLE penstock.dead ADD CONSTRAINT nobody CHECK (false)",
    "a trigger": """CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
        CREATE TRIGGER no BEFORE INSERT ON penstock.dead FOR EACH ROW EXECUTE FUNCTION no()""",
    "a dead letter of its id": """INSERT INTO penstock.dead (id, queue, priority, attempt, max_attempts, crashes,
        created_at, died_at, reason, task, args) VALUES (4, 1, 1, 1, 1, 0, now(), now(), 'old', 'work', '{}')""",
}
"""What keeps every dead letter out; a copy of a database gives ids again."""


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_an_outcome_that_can_never_be_stored_ends_its_claim_and_counts_the_attempt(refusal, pg_newest, newest):
    """The job is deferred with the refusal in its history; the worker holds nothing, and a limit's room comes back."""
    newest.execute(REFUSALS[refusal])
    async with WorkerStore(pg_newest.url, lanes=1) as store:
        scene = Scene(store, HeldClaims(), desk.register(newest))
        newest.execute("SELECT penstock.set_limit(%s, 9)", [scene.worker.queue])
        desk.until(lambda: newest.execute("SELECT penstock.count_limits()").fetchone() == (0,))
        ids = await scene.acknowledge(newest, {3})
        assert (
            len(ids)
            == 1 + newest.execute("SELECT count(*) FROM penstock.outcome WHERE state = 'completed'").fetchone()[0]
        )
        assert (len(scene.held_claims), scene.accepted) == (0, [9])
        query = "SELECT token, attempt, reason, errors -> -1 ->> 'type', due_at < now() + '1 h' FROM penstock.job"
        kind = f"penstock.errors.{'StoreError' if refusal == 'a trigger' else 'RejectedByDatabase'}"
        assert newest.execute(query).fetchall() == [(None, 1, "outcome_rejected", kind, True)]
        assert newest.execute("SELECT in_flight FROM penstock.queue_limit").fetchone() == (0,)


async def test_after_its_last_attempt_such_a_job_waits_for_people(pg_newest, newest):
    """It must not run once more, so it is due in ten years; `jobs retry` runs it and `jobs cancel` ends it."""
    newest.execute(REFUSALS["a constraint"])
    async with WorkerStore(pg_newest.url, lanes=1) as store:
        worker = desk.register(newest)
        (job,) = desk.enqueue(newest, p_max_attempts=[1])
        (claimed,) = await desk.claim_some(store, worker)
        due = await store.jobs.end_refused(worker.id, claimed, "{}")
        assert due is not None
        assert due > 9 * 365 * 86400
        assert await store.jobs.end_refused(worker.id, claimed, "{}") is None
        assert await store.jobs.retry_now([job]) == 1
    assert newest.execute("SELECT verdict FROM penstock.cancel_jobs(%s)", [[job]]).fetchall() == [("cancelled",)]


async def test_an_unreadable_job_that_no_table_takes_stops_no_claim(pg_newest, newest):
    """Its claim ends as well, and its neighbors are handed out."""
    newest.execute(REFUSALS["a constraint"])
    worker = desk.register(newest)
    desk.enqueue(newest, 2)
    newest.execute("UPDATE penstock.job SET args = to_jsonb(repeat('x', 400000)) WHERE id = 1")
    async with WorkerStore(pg_newest.url, lanes=1) as store:
        assert [job.id for job in await desk.claim_some(store, worker)] == [2]
    assert newest.execute("SELECT reason, attempt FROM penstock.job WHERE id = 1").fetchone() == ("outcome_rejected", 1)
