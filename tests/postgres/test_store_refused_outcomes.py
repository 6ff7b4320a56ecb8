"""Outcomes that the database refuses: the one is found in its batch and becomes a failure, the others are kept."""

from __future__ import annotations

import random
from typing import Any, cast

import pytest

from penstock.events import Hooks
from penstock.job import Finished, OutcomeState
from penstock.runtime.acknowledger import Acknowledger
from penstock.runtime.announce import Announcer
from penstock.runtime.forensics import Forensics
from penstock.runtime.held import Held
from penstock.runtime.metrics import WorkerMetrics
from penstock.store import Witness
from penstock.tasks import Registry
from tests.postgres import desk

UNSTORABLE = '"\\u0000"'
"""JSON that Postgres cannot keep."""


class Scene:
    """A worker that has just run nine jobs; the results of some cannot be stored."""

    def __init__(self, store: Witness, held: Held, worker: desk.Worker) -> None:
        self.store, self.held, self.worker = store, held, worker
        self.accepted: list[int] = []

    async def acknowledge(self, db: Any, unstorable: set[int]) -> list[int]:
        """The whole batch through a worker's acknowledger; the jobs' ids."""
        ids = desk.enqueue(db, 9)
        jobs = await desk.claim_some(self.store, self.worker)
        self.held.add(jobs)
        metrics = WorkerMetrics(queue="q", tasks=Registry(), version="0")
        forensics = Forensics(
            store=self.store, queue=lambda: (self.worker.queue, "q"), facts=dict, announcer=Announcer(Hooks()),
            metrics=metrics, tasks=[], holder="x",
        )  # fmt: skip
        acknowledger = Acknowledger(
            name="acks", store=self.store, held=self.held, accepted=self.accepted.append, chance=random.Random(1),
            metrics=metrics, forensics=forensics,
        )  # fmt: skip
        batch = [
            Finished(job=job, state=OutcomeState.COMPLETED, result=UNSTORABLE if n in unstorable else "1")
            for n, job in enumerate(jobs)
        ]
        await acknowledger.handle_events(batch, cast("Any", None))
        return ids


@pytest.mark.parametrize("unstorable", [{0}, {4, 5}, {8}, set(range(9))], ids=str)
async def test_an_outcome_that_is_refused_becomes_a_failure_and_its_neighbours_are_kept(unstorable, pg_newest, newest):
    """The batch is halved until it is found; the dead letter says what was refused."""
    async with Witness(pg_newest.url, lanes=1) as store:
        scene = Scene(store, Held(), desk.register(newest))
        ids = await scene.acknowledge(newest, unstorable)
    states = [desk.state_of(newest, job) for job in ids]
    assert states == ["dead" if n in unstorable else "completed" for n in range(9)]
    dead = newest.execute("SELECT reason, error ->> 'type', error ->> 'message' FROM penstock.dead").fetchall()
    assert {(reason, kind.rsplit(".", 1)[-1]) for reason, kind, _ in dead} == {
        ("outcome_rejected", "RejectedByDatabase")
    }
    assert all(message.startswith("ack: the database refused the data") for *_, message in dead)
    assert newest.execute("SELECT count(*), count(DISTINCT job_id) FROM penstock.outcome").fetchone() == (9, 9)
    assert (len(scene.held), scene.accepted) == (0, [9])


async def test_a_failure_that_is_refused_too_leaves_the_claim_where_it_is(pg_newest, newest):
    """It cannot be told, so it is not forgotten: the claim ends with the worker, and the job is rescued."""
    newest.execute("ALTER TABLE penstock.dead ADD CONSTRAINT nobody CHECK (false)")
    desk.lead_for_long(newest)
    async with Witness(pg_newest.url, lanes=1) as store:
        scene = Scene(store, Held(), desk.register(newest))
        ids = await scene.acknowledge(newest, {3})
        assert [desk.state_of(newest, job) for job in ids].count("completed") == 8
        assert [job.id for job in scene.held.snapshot()] == [ids[3]]
        newest.execute("SELECT penstock.deregister(%s, %s)", [scene.worker.id, False])
        assert (await store.rescue("leader", desk.QUIET_LEASE)).rescued == 1
    assert desk.state_of(newest, ids[3]) == "scheduled"
