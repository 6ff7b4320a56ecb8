"""An operator that the chart installed, at work: real jobs, real worker processes, and the rights used for them."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import psycopg
import pytest

from penstock import App
from tests.chart import napping
from tests.chart.test_monitoring import kinds
from tests.support.api_client import ApiError
from tests.support.chart import CHART, render
from tests.support.controlplane import ControlPlane
from tests.support.pod_env import Image
from tests.support.pods import ProcessPods
from tests.support.waiting import eventually

__all__ = ["kinds"]

ROOT = CHART.parent.parent
JOBS = 60


@pytest.fixture
def node(own_plane: ControlPlane, restricted: str, tmp_path: Path) -> Iterator[ProcessPods]:
    """A node that runs the operator and the workers of `napping`."""
    env = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"}
    images = {"penstock-operator:0.1.0": Image(env=env), "napping:1": Image(env={**env, "PYTHONPATH": str(ROOT)})}
    pods = ProcessPods(control_plane=own_plane, namespace=restricted, images=images, logs=tmp_path / "pods", pace=0.1)
    pods.start()
    try:
        yield pods
    finally:
        pods.stop()


def test_jobs_run_from_zero_to_zero_with_exactly_the_rights_that_the_chart_grants(
    own_plane: ControlPlane, restricted: str, kinds: None, pg_url: str, helm: helm_python.Config, node: ProcessPods
):
    """0 -> N -> 0, every job done; no verb goes unused, and neither roles nor the admission policy refuse anything."""
    values = {"replicas": 1, "admissionPolicy": {"enabled": True}}
    helm.install(CHART, "penstock", values, wait="watcher", timeout=200)
    core = f"/api/v1/namespaces/{restricted}"
    own_plane.request("POST", f"{core}/secrets", {"metadata": {"name": "naps-db"}, "stringData": {"url": pg_url}})
    queues = f"/apis/penstock.dev/v1alpha1/namespaces/{restricted}/jobqueues"
    eventually(lambda: created(own_plane, queues), "the new kind is served")
    # Nothing is given out until several workers are wanted, so that none is too quick for it.
    eventually(lambda: pause(pg_url, paused=True), "the queue is known")
    client = App(pg_url)
    try:
        client.enqueue_many(napping.nap.job(0.2) for _ in range(JOBS))
    finally:
        client.close()

    def desired() -> int:
        return int(own_plane.request("GET", f"{queues}/naps").get("status", {}).get("desiredReplicas", 0))

    eventually(lambda: desired() > 1, "several workers are wanted")
    assert pause(pg_url, paused=False)
    eventually(lambda: done(pg_url) == JOBS, "every job is done")
    eventually(lambda: set(node.processes()) == operators(node), "the workers are gone")

    account = f"system:serviceaccount:{restricted}:penstock"
    granted = {
        (verb, group, resource)
        for each in render(namespace=restricted)
        if each["kind"] == "Role"
        for rule in each["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        if group != "monitoring.coreos.com"  # a kind that this cluster does not know; tests/kube has one that does
        for resource in rule["resources"]
    }
    eventually(lambda: granted <= own_plane.used_by(account), f"all is used of {sorted(granted)}")
    assert own_plane.refused_to(account) == set()
    assert [each for each in own_plane.audit() if each["user"]["username"] == account and judged(each)] == []


def judged(event: Any) -> bool:
    """Whether the admission policy objected."""
    return event.get("responseStatus", {}).get("code") == 422 or any(
        key.startswith("validation.policy.admission.k8s.io/") for key in event.get("annotations", {})
    )


def created(plane: ControlPlane, queues: str) -> bool:
    try:
        plane.request("POST", queues, job_queue())
    except ApiError as error:
        if error.status == 404:
            return False
        raise
    return True


def job_queue() -> dict[str, Any]:
    container = {"name": "worker", "image": "napping:1"}
    return {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "JobQueue",
        "metadata": {"name": "naps"},
        "spec": {
            "databaseRef": {"secretRef": {"name": "naps-db", "key": "url"}},
            "worker": {
                "app": "tests.chart.napping:app",
                "concurrency": 5,
                "drainTimeoutSeconds": 10,
                "template": {"spec": {"containers": [container]}},
            },
            "scaling": {
                "maxReplicas": 3,
                "target": {"queueLatencySeconds": 1, "jobsPerSlot": 2},
                "scaleDown": {"stabilizationWindowSeconds": 1, "cooldownSeconds": 1},
                "activation": {"pollPeriodSeconds": 1},
            },
        },
    }


def done(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT count(*) FROM penstock.jobs WHERE state = 'completed'").fetchone()
    assert row is not None
    return int(row[0])


def pause(url: str, *, paused: bool) -> bool:
    """Whether there is the queue."""
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute("SELECT penstock.pause('naps', %s)", [paused]).fetchone() == (True,)


def operators(node: ProcessPods) -> set[str]:
    return {name for name in node.processes() if name.startswith("penstock-")}
