"""Where the operator's benchmark happens: a real API server, a real Postgres, operators as processes, and gauges.

Owns starting and stopping, the JobQueues that it makes, watches that record when an object appeared, and the gauges:
CPU and memory from /proc, requests from the API server's own counters, connections and transactions from Postgres.
Measures nothing by itself. No pod ever runs here: what is measured ends with their objects.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import yaml
from tests.support.controlplane import ControlPlane, free_ports
from tests.support.controlplane_build import commands
from tests.support.kube_api import APPLY, KubeApi

from penstock.dev.postgres.server import EmbeddedPostgres
from penstock.store import migrate

CRD = Path(__file__).parent.parent / "crds" / "jobqueue.yaml"
NAMESPACE = "/namespaces/default"
JOBQUEUES = f"/apis/penstock.dev/v1alpha1{NAMESPACE}/jobqueues"
LEASE = f"/apis/coordination.k8s.io/v1{NAMESPACE}/leases/penstock"
POD = {"containers": [{"name": "worker", "image": "nothing:1"}]}
LABEL = "bench"
"""Label of pods that are recorded under its value."""
SETTLED_SECONDS = 20.0
SETTLED_REQUESTS = 20
"""In five seconds, and no more: an API server alone has some, an operator's list of everything has a few."""
_REQUESTS = re.compile(r'^apiserver_request_total\{[^}]*verb="(?!WATCH)[A-Z]+"[^}]*\} ([0-9.e+]+)$', re.MULTILINE)


@dataclass(slots=True)
class Seen:
    """When objects were first seen, by the name that they belong to; `changes` counts each object's modifications."""

    at: dict[str, dict[str, float]] = field(default_factory=dict)
    gone: dict[str, dict[str, float]] = field(default_factory=dict)
    """When they were deleted."""
    changes: Counter[str] = field(default_factory=Counter)
    matters: Callable[[Any], bool] = lambda _: True
    """What is not of interest is as if it were not there."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def follow(self, api: KubeApi, path: str) -> None:
        """Watch for ever."""
        async for kind, found in api.follow(path):
            for one in found if kind == "LISTED" else [found]:
                self.changes[one["metadata"]["name"]] += kind == "MODIFIED"
                if not self.matters(one):
                    continue
                labels = one["metadata"].get("labels", {})
                name = labels.get(LABEL) or labels.get("penstock.dev/jobqueue") or labels.get("floor", "?")
                record = self.gone if kind == "DELETED" else self.at
                record.setdefault(name, {}).setdefault(one["metadata"]["name"], time.perf_counter())
            self._changed.set()

    async def until(self, name: str, count: int, *, seconds: float = 120) -> float:
        """When so many were there; waits for them for at most so many seconds."""
        async with asyncio.timeout(seconds):
            while len(self.at.get(name, {})) < count:
                self._changed.clear()
                await self._changed.wait()
        return sorted(self.at[name].values())[count - 1]

    def here(self, name: str) -> int:
        """How many are there now."""
        return len(self.at.get(name, {})) - len(self.gone.get(name, {}))

    async def until_none(self, name: str, *, seconds: float) -> float:
        """When the last of them was gone; waits for at most so many seconds."""
        async with asyncio.timeout(seconds):
            while self.here(name) or name not in self.at:
                self._changed.clear()
                await self._changed.wait()
        return max(self.gone[name].values())


@dataclass(slots=True)
class Operator:
    """One operator's process."""

    name: str
    process: subprocess.Popen[bytes]

    def pids(self) -> list[int]:
        """The operator and the processes of its databases."""
        pid = self.process.pid
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]

    def cpu_seconds(self) -> float:
        """User and system time so far, of all of them."""
        fields = [Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in self.pids()]
        return sum(int(one[11]) + int(one[12]) for one in fields) / os.sysconf("SC_CLK_TCK")

    def resident_mib(self) -> float:
        """Memory that is in use, of all of them; what they share is counted once."""
        found = []
        for pid in self.pids():
            with contextlib.suppress(OSError):  # a child that has ended meanwhile
                found.append(Path(f"/proc/{pid}/smaps_rollup").read_text())
        return sum(int(one[1]) for text in found if (one := re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE))) / 1024

    async def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it and wait."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        await asyncio.to_thread(self.process.wait, 120)


@dataclass(slots=True, kw_only=True)
class Site:
    """Everything that one run of the benchmark needs."""

    plane: ControlPlane
    api: KubeApi
    database: psycopg.Connection[Any]
    server: EmbeddedPostgres
    pods: Seen = field(default_factory=Seen)
    queues: Seen = field(default_factory=Seen)
    scaled: Seen = field(default_factory=lambda: Seen(matters=lambda one: one["spec"]["replicas"] > 0))
    """Deployments that are to have pods: between this and the pod's object Kubernetes' own controllers are at work."""
    _operators: list[Operator] = field(default_factory=list)

    async def operator(self, name: str = "operator", *, lease: str = "") -> Operator:
        """Start one; with a lease it follows while another leads."""
        (port,) = free_ports(1)
        env = {**os.environ, "KUBECONFIG": str(self.plane.admin_kubeconfig), "PENSTOCK_HTTP_PORT": str(port)}
        env |= {"PENSTOCK_POD_NAME": name, "PENSTOCK_LEASE_NAME": lease}
        command = [sys.executable, "-m", "penstock_operator"]
        process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)  # noqa: ASYNC220 - seldom
        self._operators.append(Operator(name, process))
        return self._operators[-1]

    async def close(self) -> None:
        """End every operator."""
        for one in self._operators:
            await one.end()

    async def make(self, names: Iterable[str], *, replicas: int = 1, poll_seconds: int = 15) -> None:
        """JobQueues of that many replicas at most, eight at a time."""
        gate = asyncio.Semaphore(8)

        async def one(name: str) -> None:
            async with gate:
                await self.api.request("POST", JOBQUEUES, _jobqueue(name, replicas, poll_seconds))

        await asyncio.gather(*(one(name) for name in names))

    async def ready(self, names: Iterable[str]) -> None:
        """Until all of them are Ready."""
        wanted = set(names)
        async with asyncio.timeout(600):
            while True:
                listed = await self.api.request("GET", JOBQUEUES)
                if wanted <= {one["metadata"]["name"] for one in listed["items"] if _is_ready(one)}:
                    return
                await asyncio.sleep(0.5)

    async def settled(self) -> float:
        """Until neither the operator nor the cluster's controllers have anything left to do; seconds that it took.

        New Deployments keep the controllers busy for a while: replica sets, events, budgets, conflicts among them.
        """
        started = last = time.perf_counter()
        before = self.requests()
        async with asyncio.timeout(600):
            while time.perf_counter() - last < SETTLED_SECONDS:
                await asyncio.sleep(5)
                now = self.requests()
                if now - before > SETTLED_REQUESTS:
                    last = time.perf_counter()
                before = now
        return time.perf_counter() - started

    def enqueue(self, queue: str, count: int) -> float:
        """When the commit had returned."""
        query = "SELECT penstock.enqueue(%s, 'work') FROM generate_series(1, %s)"
        self.database.execute(query, [queue, count])
        return time.perf_counter()

    def requests(self) -> float:
        """Requests that the API server has answered so far, watches aside."""
        text = self.plane.client().read("GET", "/metrics").decode()
        return sum(float(count) for count in _REQUESTS.findall(text))

    def transactions(self) -> float:
        """Committed so far in the database, those of this connection included."""
        self.database.execute("SELECT pg_stat_clear_snapshot()")
        return self._value("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")

    def connections(self) -> float:
        """Of operators."""
        return self._value("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'penstock operator%'")

    def _value(self, query: str) -> float:
        row = self.database.execute(query.encode()).fetchone()
        assert row is not None
        return float(row[0])


@contextlib.asynccontextmanager
async def site(
    *, api_server_flags: Sequence[str] = (), settings: Mapping[str, str] | None = None
) -> AsyncIterator[Site]:
    """A control plane with the definition, a database with the schema, a Secret, and open watches.

    Args:
        api_server_flags: further flags of the API server.
        settings: further settings of the Postgres server.
    """
    plane = ControlPlane(commands=commands(), api_server_flags=api_server_flags)
    server = EmbeddedPostgres(settings=settings)
    plane.start()
    try:
        server.start()
        migrate(server.url)
        async with KubeApi(url=plane.url, token=plane.admin_token, ca_file=plane.ca_file) as api:
            with psycopg.connect(server.url, autocommit=True) as database:
                made = Site(plane=plane, api=api, database=database, server=server)
                await _prepare(api, server.url)
                watches = [
                    asyncio.create_task(made.pods.follow(api, f"/api/v1{NAMESPACE}/pods"), name="pods"),
                    asyncio.create_task(made.queues.follow(api, JOBQUEUES), name="queues"),
                    asyncio.create_task(
                        made.scaled.follow(api, f"/apis/apps/v1{NAMESPACE}/deployments"), name="scaled"
                    ),
                ]
                try:
                    yield made
                finally:
                    await made.close()
                    for watch in watches:
                        watch.cancel()
                    await asyncio.gather(*watches, return_exceptions=True)
    finally:
        server.close()
        plane.stop()


async def _prepare(api: KubeApi, url: str) -> None:
    crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/jobqueues.penstock.dev"
    query = {"fieldManager": "benchmark"}
    await api.request("PATCH", crd, yaml.safe_load(CRD.read_text()), params=query, content_type=APPLY)
    secret = {"metadata": {"name": "db"}, "data": {"url": base64.b64encode(url.encode()).decode()}}
    await api.request("POST", f"/api/v1{NAMESPACE}/secrets", secret)
    await asyncio.sleep(2)  # the definition is served a moment after it is established


def _jobqueue(name: str, replicas: int, poll_seconds: int) -> dict[str, Any]:
    return {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "JobQueue",
        "metadata": {"name": name},
        "spec": {
            "databaseRef": {"secretRef": {"name": "db"}},
            "worker": {"app": "a:app", "template": {"spec": POD}},
            "scaling": {
                "maxReplicas": replicas,
                "target": {"jobsPerSlot": 2},
                "activation": {"pollPeriodSeconds": poll_seconds},
            },
        },
    }


def _is_ready(jobqueue: dict[str, Any]) -> bool:
    conditions = jobqueue.get("status", {}).get("conditions", ())
    return any((one["type"], one["status"]) == ("Ready", "True") for one in conditions)
