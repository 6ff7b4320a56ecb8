"""The operator under the chart's rights, on a real API server and a real database, with real worker processes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.kube.jobqueue.conftest import JobQueues, OperatorProcess
from tests.support.pod_env import Image
from tests.support.pods import ProcessPods
from tests.support.waiting import eventually
from tests.unit.scaling.examples import REPOSITORY

Start = Callable[[], OperatorProcess]
BIN = Path(sys.executable).parent
WORKER = Image(
    env={"PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY), "PENSTOCK_LEASE_SECONDS": "3"},
    folder=REPOSITORY,
)
QUICK: dict[str, Any] = {
    "worker__app": "tests.kube.jobqueue.application:app",
    "worker__drainTimeoutSeconds": 60,
    "scaling__scaleDown": {"stabilizationWindowSeconds": 1, "cooldownSeconds": 1},
    "scaling__activation": {"pollPeriodSeconds": 5},
}


@pytest.fixture
def database(pg_url: str) -> Iterator[psycopg.Connection[Any]]:
    """An administrator's connection to this test's database."""
    with psycopg.connect(pg_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def pods(process_pods: Callable[..., ProcessPods]) -> ProcessPods:
    """Pods of the image `shop:1` are real workers; probes run five times as often as a kubelet's."""
    return process_pods({"shop:1": WORKER}, pace=0.2)


def enqueue(database: psycopg.Connection[Any], count: int, seconds: float, queue: str = "emails") -> None:
    database.execute(
        "SELECT penstock.enqueue(%s, 'work', jsonb_build_object('seconds', %s::float8)) FROM generate_series(1, %s)",
        [queue, seconds, count],
    )


def counts(database: psycopg.Connection[Any]) -> tuple[int, int, int]:
    """Live jobs, completed jobs, attempts beyond the first."""
    row = database.execute(
        "SELECT (SELECT count(*) FROM penstock.job), "
        "(SELECT count(*) FROM penstock.outcome WHERE state = 'completed' AND final), "
        "(SELECT count(*) FROM penstock.outcome WHERE attempt > 1 OR crashes > 0)"
    ).fetchone()
    assert row is not None
    return row[0], row[1], row[2]


def test_a_new_jobqueue_gets_its_deployment_without_a_pod_and_all_its_conditions(
    jobqueues: JobQueues, operator: Start, pg_url: str
):
    """At rest at zero: no pod was ever made, and the status says so."""
    jobqueues.secret(pg_url)
    jobqueues.create(**QUICK)
    operator()
    eventually(lambda: jobqueues.conditions().get("Listening", "?")[0] == "True", "wake-ups arrive")
    assert jobqueues.conditions() == {
        "Ready": ("True", "Ready"),
        "DatabaseReachable": ("True", "Connected"),
        "Listening": ("True", "Subscribed"),
        "WorkersAvailable": ("True", "NoneNeeded"),
        "ScalingActive": ("True", "Scaling"),
        "ScalingLimited": ("False", "NotLimited"),
        "LatencyTargetMet": ("True", "Met"),
        "Draining": ("False", "None"),
    }
    found = jobqueues.get()
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
    assert found["status"]["decision"]["bound"] == "Idle"
    assert "finalizers" not in found["metadata"]
    assert not found["metadata"].get("annotations")
    deployment = jobqueues.deployment()
    assert deployment["spec"]["replicas"] == 0
    assert deployment["status"].get("observedGeneration")
    managers = {one["manager"] for one in deployment["metadata"]["managedFields"]}
    assert {"penstock-template", "penstock-scale"} <= managers
    assert not jobqueues.pods()


def test_jobs_bring_pods_and_an_empty_queue_takes_them_away(
    jobqueues: JobQueues, operator: Start, pods: ProcessPods, pg_url: str, database: psycopg.Connection[Any]
):
    """0 -> N -> 0, every job done once, and the events tell it."""
    jobqueues.secret(pg_url)
    jobqueues.create(**QUICK)
    operator()
    eventually(lambda: jobqueues.conditions().get("Ready") == ("True", "Ready"), "the queue is ready")
    enqueue(database, 12, 1.0)
    began = time.monotonic()
    eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 3, "three replicas of five slots")
    print(f"scaled after {time.monotonic() - began:.3f} s")
    eventually(lambda: counts(database)[1] == 12, "every job is completed", seconds=60)
    eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 0, "back to zero", seconds=60)
    eventually(lambda: not jobqueues.pods(), "no pod is left")
    assert counts(database) == (0, 12, 0)
    reasons = {event["reason"] for event in jobqueues.events()}
    assert {"Activated", "ScaledToZero"} <= reasons
    assert {each.code for each in pods.exits()} == {0}
