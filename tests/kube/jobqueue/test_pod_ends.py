"""How a worker's pod exited is shown with the job that it ran."""

from __future__ import annotations

import json
from typing import Any

import psycopg

from tests.kube.jobqueue.conftest import Gate, JobQueues, Start, started
from tests.support.pods import ProcessPods
from tests.support.waiting import eventually


def test_a_kill_for_memory_is_in_the_history_of_the_dead_letter(
    jobqueues: JobQueues, operator: Start, pods: ProcessPods, pg_url: str, database: psycopg.Connection[Any], gate: Gate
):
    """From the container's status to the last of three losses, with the name of the pod."""
    started(jobqueues, operator, pg_url, scaling__minReplicas=1)
    eventually(lambda: jobqueues.get()["status"].get("readyReplicas") == 1, "a ready worker")
    gate.enqueue(database, 1)
    query = "SELECT w.pod FROM penstock.job AS j JOIN penstock.worker AS w ON w.id = j.worker WHERE j.token IS NOT NULL"
    ((pod,),) = eventually(lambda: database.execute(query).fetchall(), "the job runs")
    database.execute("UPDATE penstock.job SET crashes = 2")
    pods.kill_for_memory(pod)
    dead = "SELECT reason, errors FROM penstock.dead"
    ((reason, errors),) = eventually(lambda: database.execute(dead).fetchall(), "it is a dead letter")
    assert reason == "poison"
    said = json.dumps(errors)
    assert "OOMKilled, exit code 137 (SIGKILL)" in said
    assert pod in said
