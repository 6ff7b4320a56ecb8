"""Busy pods carry the annotations that node autoscalers heed."""

from __future__ import annotations

from typing import Any

import psycopg

from penstock_operator.resources.resource import PROTECTED
from tests.kube.jobqueue.conftest import Gate, JobQueues, Start, started
from tests.support.pods import ProcessPods
from tests.support.waiting import eventually


def test_the_busy_pod_is_protected_the_idle_one_is_not_and_the_field_turns_it_off(
    jobqueues: JobQueues, operator: Start, pods: ProcessPods, pg_url: str, database: psycopg.Connection[Any], gate: Gate
):
    """With the chart's rights; the pods stay the same throughout."""
    started(jobqueues, operator, pg_url, scaling__minReplicas=2)
    eventually(lambda: jobqueues.get()["status"].get("readyReplicas") == 2, "two ready workers")
    names = {pod["metadata"]["name"] for pod in jobqueues.pods()}
    gate.enqueue(database, 1)
    eventually(lambda: len(protected(jobqueues)) == 1, "the busy one is protected")
    jobqueues.patch({"spec": {"worker": {"disruptionPolicy": "None"}}})
    eventually(lambda: not protected(jobqueues), "and is not any more")
    assert {pod["metadata"]["name"] for pod in jobqueues.pods()} == names
    gate.open()


def protected(jobqueues: JobQueues) -> list[str]:
    """Names of the pods with both annotations."""
    return [
        pod["metadata"]["name"]
        for pod in jobqueues.pods()
        if PROTECTED.items() <= pod["metadata"].get("annotations", {}).items()
    ]


def test_a_pod_that_is_deleted_with_a_short_grace_releases_its_job_within_it(
    jobqueues: JobQueues, operator: Start, pods: ProcessPods, pg_url: str, database: psycopg.Connection[Any], gate: Gate
):
    """As a spot handler does: the job is not lost with the process, and runs elsewhere, no crash counted."""
    started(jobqueues, operator, pg_url, scaling__minReplicas=1, worker__drainTimeoutSeconds=3600)
    gate.enqueue(database, 1)
    eventually(lambda: running(database), "the job runs")
    (pod,) = jobqueues.pods()
    path = f"/api/v1/namespaces/{jobqueues.namespace}/pods/{pod['metadata']['name']}"
    jobqueues.api.request("DELETE", path, {"gracePeriodSeconds": 40})
    lost = "SELECT crashes FROM penstock.job"
    eventually(lambda: running(database) not in {None, pod["metadata"]["name"]}, "it runs elsewhere", seconds=180)
    assert database.execute(lost).fetchone() == (0,)
    gate.open()


def running(database: psycopg.Connection[Any]) -> str | None:
    """The pod that the job runs in."""
    query = "SELECT w.pod FROM penstock.job AS j JOIN penstock.worker AS w ON w.id = j.worker WHERE j.token IS NOT NULL"
    found = database.execute(query).fetchone()
    return None if found is None else str(found[0])
