"""JobQueues in real pods: from no pod to as many as the work needs, and back to none."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from tests.cluster.conftest import Release, upgrade_command
from tests.cluster.manifests import secret_manifest
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


def test_a_backlog_gets_several_pods_and_none_afterwards(
    cluster: Cluster, installed_chart: Release, jobqueue: Callable[..., str], database: LedgerDatabase
):
    """0 -> N -> 0: each pod runs some of the jobs, no attempt is interrupted, and both accounts agree on every job."""
    queue = jobqueue("burst")
    namespace = installed_chart.namespace
    ids = database.enqueue(queue, "ledger_jobs:nap", [json.dumps({"seconds": 2})] * 60)
    cluster.wait_for(lambda: len(pods(cluster, namespace, queue)) >= 3, "three pods", namespace=namespace)
    cluster.wait_for(lambda: database.states(queue) == {"completed": 60}, "all have run", namespace=namespace)
    database.check_account(ids)
    cluster.wait_for(lambda: not pods(cluster, namespace, queue), "no pod is left", namespace=namespace)
    assert len(database.rows("SELECT DISTINCT pod FROM public.ledger")) >= 3


def test_helm_test_passes_with_a_secret_of_the_operators_login(
    cluster: Cluster, images: Mapping[str, str], installed_chart: Release, database: LedgerDatabase
):
    """`helm test` runs `penstock doctor` in a pod of the worker's image, under Pod Security `restricted`."""
    namespace = installed_chart.namespace
    secret = secret_manifest("doctor-postgres", {"url": database.operator})
    cluster.apply(secret, namespace=namespace)
    upgrade = upgrade_command(installed_chart, images)
    try:
        cluster.helm(*upgrade, "--set=doctor.secretRef.name=doctor-postgres", "--set=doctor.role=operator")
        said = cluster.helm("test", installed_chart.name, "--namespace", namespace, "--timeout=180s")
        assert "Phase:          Succeeded" in said, said
    finally:
        cluster.helm(*upgrade)
        cluster.kubectl("--namespace", namespace, "delete", "secret", "doctor-postgres")


def pods(cluster: Cluster, namespace: str, queue: str) -> list[Any]:
    """The pods of a queue's workers."""
    return cluster.pods(namespace, f"penstock.dev/jobqueue={queue}")
