"""Several namespaces are watched: a failure in one is no failure in another."""

from __future__ import annotations

from typing import Any

import psycopg

from tests.kube.jobqueue.conftest import QUICK, JobQueues, Start, enqueue, started
from tests.support.waiting import eventually


def test_a_namespace_without_rights_keeps_no_other_from_being_served(
    jobqueues: JobQueues, operator: Start, pg_url: str, database: psycopg.Connection[Any]
):
    """As after somebody deleted it, its roles with it: the log names it, the lists of the others go on."""
    both = f"absent,{jobqueues.namespace}"
    running = started(jobqueues, operator, pg_url, PENSTOCK_WATCH_NAMESPACES=both, PENSTOCK_RELIST_SECONDS="2")
    enqueue(database, 1, 0.0)
    eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 1, "it scales")
    jobqueues.create("letters", **QUICK)
    eventually(lambda: jobqueues.conditions("letters").get("Ready") == ("True", "Ready"), "one that comes later")
    assert "absent" in running.text
    assert running.page("/readyz")[0] == 200
    assert running.process.poll() is None
