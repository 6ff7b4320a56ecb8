"""Workers are there before a deferred job is due, and not long before."""

from __future__ import annotations

import re
from typing import Any

import psycopg

from tests.kube.jobqueue.conftest import JobQueues, Start, started
from tests.support.pods import ProcessPods
from tests.support.waiting import eventually

DEFERRED = "SELECT count(*) FROM penstock.job WHERE due_at > clock_timestamp()"
SOON = "UPDATE penstock.job SET due_at = clock_timestamp() + interval '6 seconds' RETURNING due_at"
"""Within what a pod is taken to need before one was seen to start."""


SEEN = re.compile(r'^penstock_queue_deferred\{[^}]*jobqueue="emails"[^}]*\} 1\.0$', re.MULTILINE)
ATTEMPTS = 5
"""A machine that stalls for seconds has another try."""


def deferred(database: psycopg.Connection[Any]) -> None:
    """One job, due in an hour."""
    database.execute("SELECT penstock.enqueue('emails', 'work', '{\"seconds\": 0}', p_delay => 3600)")


def there_in_time(jobqueues: JobQueues, database: psycopg.Connection[Any]) -> bool:
    """Whether a pod's object is there while the job is not yet due; waits for the one or the other."""

    def either() -> str:
        found = bool(jobqueues.pods())
        row = database.execute(DEFERRED).fetchone()
        waiting = row == (1,)  # asked after the pods: a pod that was found was there before
        return "in time" if found and waiting else "" if waiting else "too late"

    return eventually(either, "a pod, or the job's time") == "in time"


def test_a_deferred_job_has_its_pod_before_it_is_due(
    jobqueues: JobQueues, operator: Start, pods: ProcessPods, pg_url: str, database: psycopg.Connection[Any]
):
    """None while it is far away; in time when it is near; it runs once it is due, and the pod goes again."""
    running = started(jobqueues, operator, pg_url)

    def once() -> bool:
        deferred(database)
        eventually(lambda: SEEN.search(running.page("/metrics")[1]), "the operator sees it")
        assert jobqueues.deployment()["spec"]["replicas"] == 0
        row = database.execute(SOON).fetchone()
        assert row is not None
        in_time = there_in_time(jobqueues, database)
        eventually(lambda: database.execute("SELECT count(*) FROM penstock.job").fetchone() == (0,), "it has run")
        outcome = "SELECT claimed_at >= %s FROM penstock.outcome WHERE final ORDER BY finished_at DESC LIMIT 1"
        assert database.execute(outcome, row).fetchone() == (True,)
        eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 0, "zero again")
        return in_time

    assert any(once() for _ in range(ATTEMPTS))
