"""JobQueues in real pods: from no pod to as many as the work needs, and back to none."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.cluster.conftest import Release
from tests.support.cluster.cluster import Cluster
from tests.support.cluster.database import LedgerDatabase


def test_one_job_is_run_by_a_real_pod(
    cluster: Cluster, installed_chart: Release, jobqueue: Callable[..., str], database: LedgerDatabase
):
    """From zero: the operator starts a pod, the pod runs the job, and both accounts of it agree."""
    queue = jobqueue("single")
    ids = database.enqueue(queue, "ledger_jobs:nap", [json.dumps({"seconds": 0.1})])
    namespace = installed_chart.namespace
    cluster.wait_for(lambda: database.states(queue) == {"completed": 1}, "the job has run", namespace=namespace)
    database.check_account(ids)
    cluster.wait_for(lambda: not pods(cluster, namespace, queue), "no pod is left", namespace=namespace)


def pods(cluster: Cluster, namespace: str, queue: str) -> list[Any]:
    """The pods of a queue's workers."""
    return cluster.pods(namespace, f"penstock.dev/jobqueue={queue}")
