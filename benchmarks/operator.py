"""From the commit of an enqueue to the pod objects, on a real API server, with the operator as its own process.

Twenty JobQueues at zero on one database; one after the other gets a job, and a watch tells when its first pod object
is there. Then three of a hundred replicas get a thousand jobs each. Beside it the floor: a bare PATCH of /scale on a
Deployment of its own, by the client that watches. `python -m benchmarks operator`; PENSTOCK_BENCH_QUEUES changes the
number of queues (20). Nothing runs in the pods: what is measured ends with their objects.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import yaml
from tests.support.controlplane import ControlPlane, free_ports
from tests.support.controlplane_build import commands
from tests.support.kube_api import APPLY, MERGE, KubeApi

from benchmarks._contract import Report
from penstock.local.postgres import EmbeddedPostgres
from penstock.store import migrate

QUEUES = int(os.environ.get("PENSTOCK_BENCH_QUEUES", "20"))
BURSTS = 3
BURST_PODS = 100
IDLE_SECONDS = 20.0
CRD = Path(__file__).parent.parent / "crds" / "jobqueue.yaml"
NAMESPACE = "/namespaces/default"
POD = {"containers": [{"name": "worker", "image": "nothing:1"}]}


class Watch:
    """Times of the first and the hundredth pod object by owner label."""

    def __init__(self) -> None:
        self.seen: dict[str, dict[str, float]] = {}
        self.changed = asyncio.Event()

    async def follow(self, api: KubeApi) -> None:
        async for kind, found in api.follow(f"/api/v1{NAMESPACE}/pods"):
            for pod in found if kind == "LISTED" else [found]:
                labels = pod["metadata"].get("labels", {})
                name = labels.get("penstock.dev/jobqueue") or labels.get("floor", "?")
                self.seen.setdefault(name, {}).setdefault(pod["metadata"]["name"], time.perf_counter())
            self.changed.set()

    async def until(self, name: str, count: int) -> float:
        """When so many were there."""
        async with asyncio.timeout(60):
            while len(self.seen.get(name, {})) < count:
                self.changed.clear()
                await self.changed.wait()
        return sorted(self.seen[name].values())[count - 1]


def jobqueue(name: str, replicas: int) -> dict[str, Any]:
    return {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "JobQueue",
        "metadata": {"name": name},
        "spec": {
            "databaseRef": {"secretRef": {"name": "db"}},
            "worker": {"app": "a:app", "template": {"spec": POD}},
            "scaling": {"maxReplicas": replicas, "target": {"jobsPerSlot": 2}},
        },
    }


async def ready(api: KubeApi, names: list[str]) -> None:
    async with asyncio.timeout(120):
        while True:
            listed = await api.request("GET", f"/apis/penstock.dev/v1alpha1{NAMESPACE}/jobqueues")
            well = {
                one["metadata"]["name"]
                for one in listed["items"]
                for condition in one.get("status", {}).get("conditions", ())
                if (condition["type"], condition["status"]) == ("Ready", "True")
            }
            if set(names) <= well:
                return
            await asyncio.sleep(0.2)


@contextlib.asynccontextmanager
async def operating(plane: ControlPlane) -> AsyncIterator[subprocess.Popen[bytes]]:
    (port,) = free_ports(1)
    env = {**os.environ, "KUBECONFIG": str(plane.admin_kubeconfig), "PENSTOCK_HTTP_PORT": str(port)}
    command = [sys.executable, "-m", "penstock_operator"]
    process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)  # noqa: ASYNC220 - started once
    try:
        yield process
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 20)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def floor(api: KubeApi, watch: Watch, report: Report) -> None:
    """A Deployment that this client scales itself."""
    path = f"/apis/apps/v1{NAMESPACE}/deployments"
    for number in range(QUEUES):
        labels = {"floor": f"floor-{number}"}
        template = {"metadata": {"labels": labels}, "spec": POD}
        spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
        await api.request("POST", path, {"metadata": {"name": f"floor-{number}"}, "spec": spec})
    await asyncio.sleep(2)
    for number in range(QUEUES):
        began = time.perf_counter()
        scale = {"spec": {"replicas": 1}}
        await api.request("PATCH", f"{path}/floor-{number}/scale", scale, content_type=MERGE)
        at = await watch.until(f"floor-{number}", 1)
        report.add("floor_first_pod_ms", (at - began) * 1000, "ms", better="lower")
        await asyncio.sleep(0.2)


def enqueue(database: psycopg.Connection[Any], queue: str, count: int) -> float:
    """When the commit had returned."""
    database.execute("SELECT penstock.enqueue(%s, 'work') FROM generate_series(1, %s)", [queue, count])
    return time.perf_counter()


async def measure(api: KubeApi, plane: ControlPlane, url: str, report: Report) -> None:
    watch = Watch()
    following = asyncio.create_task(watch.follow(api), name="watch")
    crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/jobqueues.penstock.dev"
    query = {"fieldManager": "benchmark"}
    await api.request("PATCH", crd, yaml.safe_load(CRD.read_text()), params=query, content_type=APPLY)
    secret = {"metadata": {"name": "db"}, "data": {"url": base64.b64encode(url.encode()).decode()}}
    await api.request("POST", f"/api/v1{NAMESPACE}/secrets", secret)
    await asyncio.sleep(2)
    await floor(api, watch, report)
    names = [f"one-{number}" for number in range(QUEUES)]
    bursts = [f"burst-{number}" for number in range(BURSTS)]
    for name in (*names, *bursts):
        made = jobqueue(name, BURST_PODS if name in bursts else 1)
        await api.request("POST", f"/apis/penstock.dev/v1alpha1{NAMESPACE}/jobqueues", made)
    with psycopg.connect(url, autocommit=True) as database:
        async with operating(plane) as process:
            await ready(api, [*names, *bursts])
            await asyncio.sleep(3)
            used = cpu_seconds(process.pid)
            await asyncio.sleep(IDLE_SECONDS)
            report.add(
                "idle_cpu_percent", (cpu_seconds(process.pid) - used) / IDLE_SECONDS * 100, "%", better="lower", bar=1
            )
            for name in names:
                began = enqueue(database, name, 1)
                at = await watch.until(name, 1)
                report.add("first_pod_ms", (at - began) * 1000, "ms", better="lower", bar=50)
                await asyncio.sleep(0.3)
            for name in bursts:
                await asyncio.sleep(10)  # the controller manager's own burst of requests recovers meanwhile
                began = enqueue(database, name, 1000)
                at = await watch.until(name, BURST_PODS)
                report.add("hundredth_pod_ms", (at - began) * 1000, "ms", better="lower", bar=4500)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def run(report: Report) -> None:
    plane, server = ControlPlane(commands=commands()), EmbeddedPostgres()
    plane.start()
    try:
        server.start()
        migrate(server.url)
        async with KubeApi(url=plane.url, token=plane.admin_token, ca_file=plane.ca_file) as api:
            await measure(api, plane, server.url, report)
    finally:
        server.close()
        plane.stop()


def main() -> None:
    """Print the table and write `benchmarks/out/operator.json`."""
    report = Report("operator")
    asyncio.run(run(report))
    report.finish()


if __name__ == "__main__":
    main()
