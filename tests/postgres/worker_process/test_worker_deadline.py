"""A task that hangs in a living worker: its attempts are reclaimed at the deadline by that worker's maintenance."""

from __future__ import annotations

from penstock import JobState
from tests.postgres import desk, jobs
from tests.postgres.workers import lines

RETRY = '{"strategy": "constant", "base_seconds": 0.05}'


def test_a_hung_task_loses_its_job_at_the_deadline_and_its_worker_goes_on(start, newest, trace):
    """Two attempts, two errors, a dead letter; the neighbours run, and what the hung ones say at last is refused."""
    hung = jobs.sleep.options(max_attempts=2).enqueue(600)
    newest.execute("UPDATE penstock.queue SET job_deadline = '2 s', retry = %s", [RETRY])
    worker = start(lease_seconds=2, concurrency=3, max_demand=3, drain_timeout_seconds=4)
    desk.until(lambda: hung.status() is JobState.DEAD)
    assert [line.split()[2] for line in lines(trace) if line.startswith("start")] == ["1", "2"]
    info = hung.info()
    assert (info.reason, info.attempt, info.crashes) == ("deadline", 2, 0)
    kinds = [(error["type"], error["attempt"]) for error in info.errors]
    assert kinds == [("DeadlineExceeded", 1), ("DeadlineExceeded", 2)]
    newest.execute("UPDATE penstock.queue SET job_deadline = NULL")  # however slow the machine is
    assert jobs.add.enqueue(1, 2).result(timeout=60) == 3
    desk.until(lambda: worker.metric(newest, "penstock_rescued_total", reason="deadline") == 2)
    code, said = worker.end()
    assert code == 0, said
    assert newest.execute("SELECT count(*) FROM penstock.outcome WHERE job_id = %s", [hung.id]).fetchone() == (0,)
    assert hung.status() is JobState.DEAD
