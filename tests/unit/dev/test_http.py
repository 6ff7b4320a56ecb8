"""The local run's own endpoint: numbers that Prometheus can read, workers that it can find."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from penstock.dev.http import MetricsServer
from penstock.dev.processes import WorkerProcessState

from .test_view import CRASHED, EMAILS

RUNNING = replace(
    CRASHED, name="emails-2", state=WorkerProcessState.RUNNING, pid=5, metrics_url="http://127.0.0.1:5000/metrics"
)


LABELS = {"namespace": "local", "jobqueue": "emails", "pod": "emails-2"}


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return str(answer.read(), "utf-8")


def test_queues_are_exposed_in_prometheus_text() -> None:
    """Every gauge once per queue; a queue that was not seen has none."""
    queues = [EMAILS, replace(EMAILS, name="images", snapshot=None)]
    with MetricsServer(lambda: queues) as endpoint:
        families = list(text_string_to_metric_families(get(f"{endpoint.url}/metrics")))
    found = {sample.name: sample.value for family in families for sample in family.samples}
    assert found == {
        "penstock_queue_ready": 120.0,
        "penstock_queue_in_flight": 9.0,
        "penstock_queue_deferred": 3.0,
        "penstock_queue_dead": 2.0,
        "penstock_queue_oldest_ready_seconds": 4.25,
        "penstock_queue_desired_replicas": 4.0,
        "penstock_queue_replicas": 4.0,
        "penstock_queue_ready_replicas": 4.0,
        "penstock_queue_draining_replicas": 0.0,
        "penstock_queue_decision_bound": 1.0,
    }
    labels = [sample.labels for family in families for sample in family.samples]
    assert all(one.items() >= {"namespace": "local", "jobqueue": "emails"}.items() for one in labels)
    assert [one["bound"] for one in labels if "bound" in one] == ["Maximum"]


def test_workers_are_listed_for_service_discovery() -> None:
    """Only those that have a process."""
    queue = replace(EMAILS, workers=(CRASHED, RUNNING))
    with MetricsServer(lambda: [queue]) as endpoint:
        found = json.loads(get(f"{endpoint.url}/sd"))
    assert found == [{"targets": ["127.0.0.1:5000"], "labels": LABELS}]


def test_anything_else_is_not_there() -> None:
    """404, and the server goes on."""
    with MetricsServer(list) as endpoint:
        with pytest.raises(urllib.error.HTTPError, match="404") as error:
            get(f"{endpoint.url}/secrets")
        error.value.close()
        assert get(f"{endpoint.url}/sd") == "[]"
