"""A real run as people will see it: the shop under the chart's operator, scraped by Prometheus, asked by dashboards."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml
from tools.monitoring import picture, registry
from tools.monitoring.dashboards import OVERVIEW

from penstock import App
from shop import jobs
from tests.chart.test_monitoring import GROUP, kinds
from tests.monitoring.queries import filled, queries
from tests.support import prometheus
from tests.support.api_client import ApiError
from tests.support.chart import CHART, RELEASE
from tests.support.controlplane import ControlPlane
from tests.support.pod_env import Image
from tests.support.pods import ProcessPods
from tests.support.prometheus import Prometheus, of_pod_monitor, of_service_monitor
from tests.support.waiting import eventually

__all__ = ["kinds"]

ROOT = CHART.parent.parent
JOBQUEUES = ROOT / "examples" / "shop" / "jobqueues.yaml"
QUEUES = {"emails", "images", "analytics", "reports"}
MIX = [
    *(jobs.hello.job(f"Person {number}") for number in range(40)),
    *(jobs.heavy_job.job(ms=20) for _ in range(200)),
    *(jobs.failing_job.job(times=1) for _ in range(4)),
    *(jobs.failing_job.job() for _ in range(2)),
]


@pytest.fixture
def node(own_plane: ControlPlane, restricted: str, pg_url: str, tmp_path: Path) -> Iterator[ProcessPods]:
    """A node that runs the operator and the shop's workers; all have gone before the database goes."""
    env = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"}
    shop = Image(env={**env, "PYTHONPATH": str(ROOT / "examples"), "PENSTOCK_LEASE_SECONDS": "3"}, folder=tmp_path)
    images = {"penstock-operator:0.1.0": Image(env=env), "penstock-shop:latest": shop}
    pods = ProcessPods(control_plane=own_plane, namespace=restricted, images=images, logs=tmp_path / "pods", pace=0.1)
    pods.start()
    try:
        yield pods
    finally:
        pods.stop()


@pytest.fixture
def scraped(
    own_plane: ControlPlane,
    restricted: str,
    kinds: None,
    helm: helm_python.Config,
    node: ProcessPods,
    pg_url: str,
    tmp_path: Path,
) -> Iterator[Prometheus]:
    """A Prometheus that scrapes what the installed chart's monitors say; the shop's queues have work."""
    prometheus.program("prometheus")
    helm.install(CHART, RELEASE, wait="watcher", timeout=200)
    body = {"metadata": {"name": "shop-postgres"}, "stringData": {"url": pg_url}}
    own_plane.request("POST", f"/api/v1/namespaces/{restricted}/secrets", body)
    for document in yaml.safe_load_all(JOBQUEUES.read_text()):
        yearly = {"name": "rarely", "task": "sync_user_data", "cron": "@yearly", "args": {"user_id": 1}}
        document["spec"]["schedules"] = [yearly]
        eventually(lambda document=document: applied(own_plane, restricted, document), "the kind is served")  # type: ignore[misc]
    eventually(lambda: len(pod_monitors(own_plane, restricted)) == len(QUEUES), "all are monitored")
    with (
        prometheus.discovery(lambda: own_plane.request("GET", "/api/v1/pods")["items"]) as pods,
        prometheus.running(
            tmp_path / "prometheus",
            scrape=[*scrapes(own_plane, restricted, pods)],
            rules=the(own_plane, f"apis/{GROUP}/v1", restricted, "prometheusrules")["spec"],
        ) as server,
    ):
        client = App(pg_url)
        try:
            client.enqueue_many(MIX)
        finally:
            client.close()
        yield server


def scrapes(plane: ControlPlane, namespace: str, pods: str) -> Iterator[Any]:
    """What Prometheus would scrape because of the monitors in that namespace."""
    monitoring = f"apis/{GROUP}/v1"
    service = the(plane, "api/v1", namespace, "services")
    yield from of_service_monitor(the(plane, monitoring, namespace, "servicemonitors"), service, pods=pods)
    for monitor in pod_monitors(plane, namespace):
        yield from of_pod_monitor(monitor, pods=pods)


def pod_monitors(plane: ControlPlane, namespace: str) -> list[Any]:
    """What the operator made."""
    return list(plane.request("GET", f"/apis/{GROUP}/v1/namespaces/{namespace}/podmonitors")["items"])


def the(plane: ControlPlane, api: str, namespace: str, plural: str) -> Any:
    """The only object of that kind in the namespace."""
    (found,) = plane.request("GET", f"/{api}/namespaces/{namespace}/{plural}")["items"]
    return found


def applied(plane: ControlPlane, namespace: str, document: Any) -> bool:
    path = f"/apis/penstock.dev/v1alpha1/namespaces/{namespace}/jobqueues/{document['metadata']['name']}"
    try:
        plane.client().apply(path, document)
    except ApiError as error:
        if error.status == 404:
            return False
        raise
    return True


def until_all_have_data(found: Callable[[str], bool], *, seconds: float) -> list[str]:
    """Ask until no query is without data or the time is over; where those are that still are."""
    open_ends = [(where, expression) for where, expression, _ in queries()]
    ends = time.monotonic() + seconds
    while open_ends and time.monotonic() < ends:
        open_ends = [(where, expression) for where, expression in open_ends if not found(expression)]
        time.sleep(0.05)
    return [f"{where}: {expression}" for where, expression in open_ends]


def not_well(server: Prometheus) -> dict[str, str]:
    """The rules that were not evaluated yet; an AssertionError names those that had an error."""
    (group,) = server.ask("rules")["groups"]
    found = {rule["name"]: rule.get("lastError", "") for rule in group["rules"] if rule["health"] != "ok"}
    assert not any(found.values()), found
    return found


def picture_of(server: Prometheus, namespace: str, *, start: float, end: float) -> str:
    """The overview as it was between two times, the namespace under a name for people."""
    answers = {}
    for panel in OVERVIEW.panels:
        for query in panel.queries:
            found = server.over(filled(query.expression), start=start, end=end)
            named = json.loads(json.dumps(found).replace(namespace, "shop"))
            answers[query.expression] = picture.series_of(named, query.legend)
    return picture.draw(OVERVIEW, answers, start=start, end=end)


def test_every_panel_of_every_dashboard_has_data_from_a_real_run(scraped: Prometheus, restricted: str):
    """A number, not only a series, with the labels that monitors give; and every rule is evaluated without error."""
    start = time.time() - 1

    def found(expression: str) -> bool:
        series = scraped.over(expression, start=start, end=time.time())
        return any(math.isfinite(float(value)) for one in series for _, value in one["values"])

    assert until_all_have_data(found, seconds=150) == []
    eventually(lambda: not not_well(scraped), "every rule is evaluated without error")

    known = registry.reading()
    for labels in scraped.ask("series", **{"match[]": '{__name__=~"penstock_.+",__name__!~".+_created"}'}):
        name = labels.pop("__name__")
        assert name in known
        assert labels.keys() <= known[name] | {"service"}, name
        assert labels.keys() >= registry.TARGET, name

    def named() -> set[str]:
        return {one["metric"]["jobqueue"] for one in scraped.now("penstock_stage_demand or penstock_queue_ready")}

    # An operator that misses a renewal of its lease on a busy machine exports nothing about queues for a scrape.
    eventually(lambda: named() >= {"emails", "analytics", "reports"}, "every JobQueue has its series")
    drawn = picture_of(scraped, restricted, start=start, end=time.time())
    assert drawn.count("<g ") == len(OVERVIEW.panels)
    assert "no data" not in drawn


@pytest.mark.skipif("PENSTOCK_PICTURE" not in os.environ, reason="draws docs/images/dashboard.svg; `make picture`")
def test_the_picture_of_the_documents_is_drawn(scraped: Prometheus, restricted: str, node: ProcessPods, pg_url: str):
    """Two waves, all workers gone in between, and a moment within the second."""
    start = time.time() - 2
    workers = lambda: [name for name in node.processes() if not name.startswith(RELEASE)]  # noqa: E731
    eventually(workers, "workers come")
    eventually(lambda: not workers(), "and go", seconds=120)
    client = App(pg_url)
    try:
        client.enqueue_many(MIX)
    finally:
        client.close()
    seen = time.time() + 12
    eventually(lambda: time.time() > seen, "some of it is done")
    drawn = picture_of(scraped, restricted, start=start, end=time.time())
    Path(os.environ["PENSTOCK_PICTURE"]).write_text(drawn)
