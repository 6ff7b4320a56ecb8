"""Busy pods carry the annotations that node autoscalers heed."""

from __future__ import annotations

from typing import Any

import psycopg

from penstock_operator.resource import PROTECTED
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
