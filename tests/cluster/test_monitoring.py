"""Prometheus, on this machine, scrapes real pods by what the chart and the operator write."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.chart.test_monitoring import DEFINITIONS, GROUP, KINDS, definition
from tests.cluster.conftest import Release, upgrade_command
from tests.support import prometheus
from tests.support.cluster.cluster import Cluster
from tests.support.cluster.database import LedgerDatabase
from tests.support.prometheus import of_pod_monitor, of_service_monitor

RENDERED = ("serviceMonitor", "podMonitor", "prometheusRule", "dashboards")


@pytest.fixture
def monitored(cluster: Cluster, images: Mapping[str, str], installed_chart: Release) -> Iterator[str]:
    """The release's namespace, after the cluster has learned the Prometheus operator's kinds and Helm has upgraded."""
    for plural, one in KINDS.items():
        cluster.request("POST", DEFINITIONS, definition(plural, one["kind"], one["spec"]))
    upgrade = upgrade_command(installed_chart, images)
    try:
        cluster.wait_for(lambda: all(cluster.get(f"/apis/{GROUP}/v1/{plural}") for plural in KINDS), "kinds are served")
        cluster.helm(*upgrade)
        yield installed_chart.namespace
    finally:
        cluster.helm(*upgrade, *(f"--set={name}.render=never" for name in RENDERED))  # while Helm knows their kinds
        for plural in KINDS:
            cluster.request("DELETE", f"{DEFINITIONS}/{plural}.{GROUP}")
        cluster.wait_for(lambda: cluster.get(f"/apis/{GROUP}") is None, "the kinds are gone")
        cluster.helm(*upgrade)


def test_operator_and_workers_are_scraped_by_what_the_chart_writes(
    cluster: Cluster, monitored: str, jobqueue: Callable[..., str], database: LedgerDatabase, tmp_path: Path
):
    """The ServiceMonitor leads to both operators, the PodMonitor to a worker; their counters say what has happened."""
    if cluster.node is None:
        pytest.skip("this machine reaches only pods of its own node")
    prometheus.program("prometheus")
    queue = jobqueue("scraped", scaling={"minReplicas": 1})
    monitors = f"/apis/{GROUP}/v1/namespaces/{monitored}/podmonitors"
    cluster.wait_for(lambda: cluster.request("GET", monitors)["items"], "the PodMonitor is made", namespace=monitored)
    with (
        prometheus.discovery(lambda: cluster.pods(monitored)) as pods,
        prometheus.running(tmp_path / "prometheus", scrape=[*scrapes(cluster, monitored, pods)]) as server,
    ):
        ids = database.enqueue(queue, "ledger_jobs:nap", [json.dumps({"seconds": 0.1})] * 20)
        completed = f'sum(penstock_jobs_total{{outcome="completed",queue="{queue}"}})'
        cluster.wait_for(lambda: value(server.now(completed)) == 20, "20 jobs are counted", namespace=monitored)
        database.check_account(ids)
        operators = f'up{{namespace="{monitored}",service=~".*metrics"}} == 1'
        cluster.wait_for(lambda: len(server.now(operators)) == 2, "both operators are scraped", namespace=monitored)
        leading = "sum(penstock_operator_leader)"
        cluster.wait_for(lambda: value(server.now(leading)) == 1, "one operator leads", namespace=monitored)


def scrapes(cluster: Cluster, namespace: str, pods: str) -> Iterator[Any]:
    """What the Prometheus operator would make of the monitors in that namespace."""
    (service,) = cluster.request("GET", f"/api/v1/namespaces/{namespace}/services")["items"]
    (operators,) = cluster.request("GET", f"/apis/{GROUP}/v1/namespaces/{namespace}/servicemonitors")["items"]
    yield from of_service_monitor(operators, service, pods=pods)
    for monitor in cluster.request("GET", f"/apis/{GROUP}/v1/namespaces/{namespace}/podmonitors")["items"]:
        yield from of_pod_monitor(monitor, pods=pods)


def value(series: list[Any]) -> float | None:
    """The value of a query's only series."""
    return float(series[0]["value"][1]) if series else None
