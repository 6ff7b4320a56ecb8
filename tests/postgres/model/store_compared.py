"""What holds after every step of the state machine: the tables, the view and the model say the same; and what is drawn.

Only reads; the calls are in test_store_machine.py.
"""

from __future__ import annotations

from typing import Any

import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

from tests.postgres import desk
from tests.postgres.model.store_model import Model
from tests.postgres.model.store_values import LIVE, Spec

TABLES = "job, outcome, dead, worker, queue, queue_limit, limit_return, leader"


QUEUES = st.sampled_from(["a", "a", "b"])
SPECS = st.builds(
    Spec,
    queue=QUEUES,
    priority=st.integers(0, 3),
    deferred=st.booleans(),
    key=st.sampled_from([None, "k1", "k2"]),
    until_start=st.booleans(),
    expired=st.sampled_from([False, False, True]),
    refuse=st.booleans(),
)
STATES = st.sampled_from(["completed", "retry", "snooze", "failed", "cancelled"])


class Compared(RuleBasedStateMachine):
    """A model and an emptied database with the queues `a` and `b`."""

    def __init__(self, db: psycopg.Connection[Any]) -> None:
        super().__init__()
        self.db, self.model, self.last_ord = db, Model(), 0
        db.execute(f"TRUNCATE {', '.join('penstock.' + name for name in TABLES.split(', '))}".encode())
        desk.lead_for_long(db)
        db.execute("SELECT setseed(0.5)")  # the floors of a claim, and jitter: an example can be repeated
        declare = "SELECT penstock.declare_queue(%s, 'test', 1, false, 5::smallint, NULL, 3600, 86400, '{}')"
        self.queues = {name: self.one(declare, name) for name in ("a", "b")}

    def one(self, query: str, *values: Any) -> Any:
        row = self.db.execute(query.encode(), values or None).fetchone()
        return None if row is None else row[0]

    def rows(self, query: str, *values: Any) -> list[Any]:
        return self.db.execute(query.encode(), values or None).fetchall()

    @invariant()
    def every_job_is_in_exactly_one_place_and_the_view_says_which(self) -> None:
        shown = self.rows("SELECT id, state, queue, priority, attempt, crashes FROM penstock.jobs ORDER BY id")
        assert shown == [
            (job.id, job.place, job.spec.queue, job.spec.priority, job.attempt, job.crashes)
            for job in sorted(self.model.jobs.values(), key=lambda job: job.id)
            if job.place != "discarded"
        ]

    @invariant()
    def claims_flags_and_keys_are_as_they_should_be(self) -> None:
        rows = self.rows("SELECT id, token, worker, cancel, unique_key, unique_kept FROM penstock.job ORDER BY id")
        scope = self.queues
        assert rows == [
            (
                job.id,
                job.claim and job.claim.token,
                job.claim and job.claim.worker,
                job.cancel,
                job.key and f"{scope[job.spec.queue]}:{job.key}",
                job.kept and f"{scope[job.spec.queue]}:{job.kept}",
            )
            for job in sorted(self.model.jobs.values(), key=lambda job: job.id)
            if job.place in LIVE
        ]

    @invariant()
    def every_entry_draws_a_fresh_place_in_the_order(self) -> None:
        highest = self.last_ord
        for number, ordered in self.rows("SELECT id, ord FROM penstock.job WHERE ord IS NOT NULL"):
            job = self.model.jobs[number]
            if job.ord is None:
                assert ordered > self.last_ord
                job.ord = ordered
                highest = max(highest, ordered)
            assert ordered == job.ord
        self.last_ord = highest

    @invariant()
    def every_attempt_has_at_most_one_outcome(self) -> None:
        rows = self.rows("SELECT job_id, token, state FROM penstock.outcome WHERE token IS NOT NULL")
        assert sorted(rows) == sorted((*name, state) for name, state in self.model.stored.items())
        ended = "SELECT job_id FROM penstock.outcome WHERE final AND state <> 'failed' GROUP BY 1 HAVING count(*) > 1"
        assert self.rows(ended) == []

    @invariant()
    def a_limit_counts_what_runs(self) -> None:
        rows = self.rows("SELECT queue, max_in_flight, in_flight FROM penstock.queue_limit ORDER BY queue")
        assert rows == [
            (self.queues[queue], maximum, self.model.running(queue) if queue in self.model.counted else None)
            for queue, maximum in sorted(self.model.limits.items())
        ]

    @invariant()
    def workers_are_in_the_state_that_was_reported(self) -> None:
        rows = self.rows("SELECT id, state, swept FROM penstock.worker ORDER BY id")
        assert rows == [(one, known.state, known.swept) for one, known in sorted(self.model.workers.items())]
