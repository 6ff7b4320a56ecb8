"""From facts to the reason: a table of all reasons, and the order in which obstacles are reported."""

from __future__ import annotations

import random
from typing import Any

import pytest

from penstock.backoff import Backoff
from penstock.cli.why import Why, explain
from penstock.errors import InvalidArguments
from penstock.job import ClaimedJob
from penstock.runtime.execution.outcomes import OutcomeBuilder

JOB: dict[str, Any] = {
    "id": 42,
    "state": "queued",
    "queue": "q",
    "task": "work",
    "priority": 1,
    "attempt": 0,
    "max_attempts": 5,
    "crashes": 0,
    "reason": None,
    "worker": None,
    "error": None,
    "waits": 1.0,
    "runs": None,
    "due_in": None,
    "due_at": None,
    "ended": None,
    "finished_at": None,
    "cancel": False,
    "deadline_in": None,
}
QUEUE: dict[str, Any] = {
    "name": "q",
    "declared": True,
    "paused_at": None,
    "paused_by": None,
    "by_declarer": False,
    "limited": False,
    "max_in_flight": None,
    "in_flight": None,
}
WORKER: dict[str, Any] = {
    "id": 7,
    "identity": "pod-1:1",
    "pod": "pod-1",
    "state": "running",
    "concurrency": 5,
    "lease_left": 9.0,
    "in_flight": 0,
    "serves": True,
}
LEADER = {"holder": "pod-1:1", "lease_left": 9.0}
FACTS: dict[str, Any] = {
    "job": JOB,
    "queue": QUEUE,
    "workers": [WORKER],
    "higher": 0,
    "earlier": 0,
    "running": 0,
    "suspect": None,
    "key_holder": None,
    "leader": LEADER,
}
DEFERRED = {"state": "scheduled", "due_in": 30.0, "due_at": "T"}
RUNNING = {"state": "running", "worker": 7, "runs": 3.0, "attempt": 1}
HOLDER = {"pid": 4711, "name": "psql", "state": "idle in transaction", "prepared": None, "seconds": 60.0}
PREPARED = {"pid": None, "name": None, "state": None, "prepared": "lunch", "seconds": 60.0}
PAUSED = {"paused_at": "T", "paused_by": "bob"}
LIMITED = {"limited": True, "max_in_flight": 3, "in_flight": 3}


def facts(*, job: Any = (), queue: Any = (), worker: Any = (), **changes: Any) -> dict[str, Any]:
    return {
        **FACTS,
        "job": {**JOB, **dict(job)},
        "queue": {**QUEUE, **dict(queue)},
        "workers": [{**WORKER, **dict(worker)}],
        **changes,
    }


TABLE: list[tuple[Why, dict[str, Any], str]] = [
    (Why.NO_SUCH_JOB, facts() | {"job": None}, "there is no job 42"),
    (
        Why.COMPLETED,
        facts(job={"state": "completed", "ended": 61.0, "finished_at": "T", "worker": 7}),
        "1m 1s ago, at T",
    ),
    (Why.CANCELLED, facts(job={"state": "cancelled", "ended": 61.0, "finished_at": "T", "reason": "asked"}), ": asked"),
    (
        Why.DEAD,
        facts(job={"state": "dead", "ended": 61.0, "reason": "exhausted", "error": "ValueError", "attempt": 5}),
        "(exhausted, ValueError, attempt 5 of 5)",
    ),
    (
        Why.KEY_TAKEN,
        facts(job={"state": "dead", "ended": 1.0, "reason": "exhausted"}, key_holder=50),
        "belongs to job 50",
    ),
    (Why.RUNNING, facts(job=RUNNING), "for 3s, attempt 1 of 5, on pod-1:1 (worker 7, lease expires in 9s)"),
    (Why.CANCELLING, facts(job={**RUNNING, "cancel": True}), "asked to stop"),
    (Why.WORKER_GONE, facts(job=RUNNING, worker={"lease_left": -1.0}), "(pod-1:1), whose lease has expired"),
    (Why.WORKER_GONE, facts(job=RUNNING, worker={"state": "lost"}), "(pod-1:1), whose lease has expired"),
    (Why.WORKER_GONE, facts(job=RUNNING, workers=[]), "by worker 7, whose lease has expired"),
    (
        Why.SCHEDULED,
        facts(job={**DEFERRED, "reason": "scheduled"}),
        "for another 30s, until T: it was enqueued for that time",
    ),
    (Why.RETRY, facts(job={**DEFERRED, "reason": "error", "attempt": 2, "error": "E"}), "attempt 2 of 5 failed with E"),
    (Why.RETRY, facts(job={**DEFERRED, "reason": "timeout", "attempt": 2}), "timed out"),
    (Why.REQUESTED, facts(job={**DEFERRED, "reason": "rate {id} limit"}), "asked for it (rate {id} limit)"),
    (Why.TASK_UNKNOWN, facts(job={**DEFERRED, "reason": "task_unknown"}), "has the task work"),
    (
        Why.INCOMPATIBLE_ARGUMENTS,
        facts(job={**DEFERRED, "reason": "incompatible_arguments", "incompatible": 90.0}),
        "accepts its arguments for task work, for 1m 30s",
    ),
    (Why.BREAKER_OPEN, facts(job={**DEFERRED, "reason": "breaker"}), "breaker of task work is open"),
    (Why.CRASH, facts(job={**DEFERRED, "reason": "worker_lost", "crashes": 2}), "(2 times"),
    (Why.CRASH, facts(job={**DEFERRED, "reason": "crash", "attempt": 1}), "crashed its child"),
    (Why.CRASH, facts(job={**DEFERRED, "reason": "no_child"}), "no child process"),
    (Why.CRASH, facts(job={**DEFERRED, "reason": "lease_lost"}), "it is exclusive, and its worker did not renew"),
    (
        Why.OUTCOME_REJECTED,
        facts(job={**DEFERRED, "reason": "outcome_rejected", "attempt": 1}),
        "the outcome of attempt 1 of 5",
    ),
    (Why.OUTCOME_REJECTED, facts(job={**DEFERRED, "reason": "no_partition"}), "no partition for its outcome"),
    (Why.DEADLINE, facts(job={**DEFERRED, "reason": "deadline", "attempt": 1}), "past the queue's job deadline"),
    (
        Why.NOT_PROMOTED,
        facts(job={**DEFERRED, "due_in": -60.0}, leader=None),
        "due for 1m and was not promoted: maintenance has no leader",
    ),
    (Why.NOT_PROMOTED, facts(job={**DEFERRED, "due_in": -60.0}), "the maintenance leader, pod-1:1, is late"),
    (Why.PAUSED, facts(queue=PAUSED), "queue q has been paused since T by bob"),
    (Why.PAUSED, facts(queue={**PAUSED, "by_declarer": True}), "by its JobQueue (spec.stopPolicy)"),
    (Why.LIMIT_COUNTED, facts(queue={**LIMITED, "in_flight": None}), "still being counted"),
    (Why.AT_LIMIT, facts(queue=LIMITED), "queue q has 3 jobs in flight"),
    (Why.UNDECLARED, facts(queue={"declared": False}, workers=[]), "no JobQueue declares it"),
    (Why.NO_WORKER, facts(workers=[]), "no live worker serves queue q"),
    (Why.NO_WORKER, facts(worker={"lease_left": -1.0}), "no live worker"),
    (Why.NO_WORKER, facts(worker={"serves": False}), "no live worker"),
    (Why.CORDONED, facts(worker={"state": "cordoned"}), "pod-1:1 cordoned"),
    (Why.CORDONED, facts(worker={"state": "drained"}), "pod-1:1 drained"),
    (Why.BELOW_MARK, {**facts(), "below_mark": True}, "below the mark where claims of its queue start"),
    (Why.NEEDS_ISOLATION, facts(job={"crashes": 2}), "run it alone"),
    (Why.ISOLATED_JOB, facts(suspect=50, running=1), "the only worker runs job 50 alone"),
    (
        Why.BUSY,
        facts(running=5, earlier=2),
        "all 5 slots of 1 worker are busy (5 running); jobs that run first: 0 with a higher priority",
    ),
    (
        Why.JOBS_AHEAD,
        facts(higher=10_000, earlier=3),
        "jobs that run first: 10,000+ with a higher priority and 3 enqueued earlier",
    ),
    (Why.NEXT, facts(running=2), "3 slots are free"),
    (Why.LOCKED, facts(locks={"job": HOLDER}), "pid 4711 (psql, idle in transaction) for 1m locks its row"),
    (Why.LOCKED, facts(locks={"limit": PREPARED}), "prepared transaction lunch for 1m locks the limit of its queue"),
    (
        Why.LOCKED,
        facts(job={**DEFERRED, "due_in": -60.0}, locks={"leader": {**HOLDER, "name": None, "state": None}}),
        "pid 4711 for 1m locks the row of the maintenance leader",
    ),
]


@pytest.mark.parametrize(("why", "given", "named"), TABLE, ids=[f"{row[0]}-{n}" for n, row in enumerate(TABLE)])
def test_facts_have_their_reason(why: Why, given: dict[str, Any], named: str):
    """One word for programs, one sentence with the facts for people."""
    reason, _ = explain(42, given)
    assert reason.why is why
    assert named in reason.message
    assert "\n" not in reason.message + reason.hint


def test_every_reason_is_in_the_table():
    """No reason is unreachable."""
    assert {why for why, _, _ in TABLE} == set(Why)


def test_the_reasons_that_a_worker_writes_are_known():
    """A retry by the worker is not reported as a request of the task."""
    outcomes = OutcomeBuilder(backoff=Backoff(), rng=random.Random(1))
    job = ClaimedJob(
        id=42, token=1, worker=7, attempt=1, max_attempts=5, crashes=0, queue="q", priority=1, task="work", args="{}"
    )
    for finished, why in (
        (outcomes.for_unknown_task(job), Why.TASK_UNKNOWN),
        (outcomes.for_open_circuit(job), Why.BREAKER_OPEN),
        (outcomes.for_invalid_arguments(job, InvalidArguments("no")), Why.INCOMPATIBLE_ARGUMENTS),
    ):
        assert explain(42, facts(job={**DEFERRED, "reason": finished.reason}))[0].why is why


def test_obstacles_are_reported_in_the_order_in_which_a_claim_meets_them():
    """The first is the reason, the others follow."""
    given = facts(job={"crashes": 2}, queue={**PAUSED, **LIMITED}, worker={"state": "cordoned"}, earlier=3, running=1)
    reason, also = explain(42, given)
    assert [reason.why, *(one.why for one in also)] == [
        Why.PAUSED,
        Why.AT_LIMIT,
        Why.CORDONED,
        Why.NEEDS_ISOLATION,
        Why.JOBS_AHEAD,
    ]


def test_a_deferred_job_reports_the_obstacles_that_it_will_meet_when_due():
    """But not the jobs that run first: they will be other jobs by then."""
    reason, also = explain(42, facts(job={**DEFERRED, "reason": "error"}, queue=PAUSED, workers=[], earlier=9))
    assert [reason.why, *(one.why for one in also)] == [Why.RETRY, Why.PAUSED, Why.NO_WORKER]


def test_next_is_reported_only_without_an_obstacle():
    """It is never an addition."""
    reason, also = explain(42, facts(queue=PAUSED))
    assert (reason.why, also) == (Why.PAUSED, [])


def test_a_hostile_task_rewrites_no_terminal():
    """Its name, its reason, its worker's name."""
    evil = "x\x1b[2J\n"
    for changes in ({"reason": evil}, {"reason": "task_unknown", "task": evil}, {"reason": "error", "error": evil}):
        reason, _ = explain(42, facts(job={**DEFERRED, **changes}))
        assert "\x1b" not in reason.message + reason.hint
        assert "x\\x1b[2J\\n" in reason.message
    reason, _ = explain(42, facts(job=RUNNING, worker={"identity": evil}))
    assert "\x1b" not in reason.message


def test_a_running_job_reports_who_locks_its_row_or_worker():
    """It runs, but its outcome waits for the lock. The leader's row does not matter to a queued job."""
    reason, also = explain(42, facts(job=RUNNING, locks={"job": HOLDER, "worker": PREPARED}))
    assert (reason.why, [one.why for one in also]) == (Why.RUNNING, [Why.LOCKED, Why.LOCKED])
    assert also[0].hint == "end the transaction, or SELECT pg_terminate_backend(4711)"
    assert "pg_prepared_xacts" in also[1].hint
    assert explain(42, facts(locks={"leader": HOLDER}))[0].why is Why.NEXT
