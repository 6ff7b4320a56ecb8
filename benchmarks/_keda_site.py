"""Where KEDA and Penstock's operator scale side by side: one API server, one Postgres, one table of jobs.

Owns KEDA's two processes (operator and metrics adapter, with the rights that its own manifests grant), the certificates
between them and the API server, the aggregation layer that the adapter needs, and the queues of both sides. Pods of
queues that run jobs are processes here, of the same worker on both sides. Measures nothing by itself.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from tests.support.api_client import ApiError
from tests.support.controlplane import free_ports
from tests.support.pod_env import Image
from tests.support.pods import ProcessPods

from benchmarks._keda_app import LEDGER
from benchmarks._keda_build import Programs
from benchmarks._keda_flags import adapter_flags, certificates, operator_flags
from benchmarks._keda_manifests import (
    KEDA_NAMESPACE,
    PENSTOCK,
    RUNS,
    Arm,
    deployment,
    job_queue,
    keda_objects,
    scaled_object,
    trigger_authentication,
)
from benchmarks._operator_site import JOBQUEUES, NAMESPACE, Operator, Site, site

DEPLOYMENTS = f"/apis/apps/v1{NAMESPACE}/deployments"
SCALED_OBJECTS = f"/apis/keda.sh/v1alpha1{NAMESPACE}/scaledobjects"
MODEL = "model"
ROOT = Path(__file__).resolve().parent.parent
_KEDA_LOGIN = "keda"
_TOKEN_SECONDS = 6 * 3600
SETTINGS = {"max_connections": "600"}
"""Far more than the default of 100, which KEDA's connections for a hundred queues would use up."""


@dataclass(slots=True, kw_only=True)
class Arena:
    """Both autoscalers in one cluster, and the queues that they scale."""

    here: Site
    folder: Path
    programs: Programs
    processes: dict[str, list[Operator]] = field(default_factory=dict)
    """By side: `penstock` and `keda`."""
    meter: psycopg.Connection[Any]
    """To another database of the server, so that the gauges do not count themselves."""
    model: dict[str, Any] = field(default_factory=dict)
    """The pod template that the operator writes; the pods of KEDA's Deployments are made from it."""

    async def make(
        self, name: str, arm: Arm, *, replicas: int, per_replica: int, concurrency: int = 1, runs: bool = False
    ) -> None:
        """A queue at zero with what scales it.

        Args:
            name: of the queue.
            arm: what scales it, and how.
            replicas: at most.
            per_replica: jobs for each replica.
            concurrency: jobs that a worker runs at once.
            runs: whether its pods get a process.
        """
        if not arm.keda:
            body = job_queue(name, arm, replicas=replicas, per_replica=per_replica, concurrency=concurrency, runs=runs)
            await self.here.api.request("POST", JOBQUEUES, body)
            return
        body = deployment(
            name, self.model, model=MODEL, runs=runs, grace_seconds=arm.grace_seconds, concurrency=concurrency
        )
        await self.here.api.request("POST", DEPLOYMENTS, body)
        body = scaled_object(name, arm, replicas=replicas, per_replica=per_replica)
        await self.here.api.request("POST", SCALED_OBJECTS, body)

    async def remove(self, name: str, arm: Arm) -> None:
        """Remove what scales the queue, and its pods."""
        if arm.keda:
            await self.here.api.request("DELETE", f"{SCALED_OBJECTS}/{name}")
            await self.here.api.request("DELETE", f"{DEPLOYMENTS}/{name}?propagationPolicy=Background")
        else:
            await self.here.api.request("DELETE", f"{JOBQUEUES}/{name}")

    async def ready(self, names: Sequence[str], arm: Arm) -> None:
        """Until the autoscaler says that it scales all of them."""
        if not arm.keda:
            await self.here.ready(names)
            return
        async with asyncio.timeout(300):
            while True:
                listed = await self.here.api.request("GET", SCALED_OBJECTS)
                if set(names) <= {one["metadata"]["name"] for one in listed["items"] if _is_ready(one)}:
                    return
                await asyncio.sleep(0.5)

    def enqueue(self, queue: str, seconds: Sequence[float]) -> float:
        """Jobs of those lengths in one commit; when it had returned, on the clock of `time.perf_counter`."""
        query = (
            "SELECT penstock.enqueue(%(queue)s, 'work', jsonb_build_object('queue', %(queue)s::text, 'seconds', s))"
            " FROM unnest(%(seconds)s::float8[]) AS s"
        )
        self.here.database.execute(query, {"queue": queue, "seconds": list(seconds)})
        return time.perf_counter()

    def memory(self, side: str) -> float:
        """MiB in use by that side's processes."""
        return sum(one.resident_mib() for one in self.processes[side])

    def cpu_seconds(self, side: str) -> float:
        """User and system time of that side's processes so far."""
        return sum(one.cpu_seconds() for one in self.processes[side])

    def transactions(self) -> float:
        """Committed so far in the database of the jobs."""
        return self._value("SELECT xact_commit FROM pg_stat_database WHERE datname = 'postgres'")

    def connections(self, side: str) -> float:
        """Of that side's autoscaler."""
        of_side = "application_name LIKE 'penstock operator%'" if side == "penstock" else f"usename = '{_KEDA_LOGIN}'"
        return self._value(f"SELECT count(*) FROM pg_stat_activity WHERE {of_side}")

    def _value(self, query: str) -> float:
        self.meter.execute("SELECT pg_stat_clear_snapshot()")
        row = self.meter.execute(query.encode()).fetchone()
        assert row is not None
        return float(row[0])

    async def start_penstock(self) -> None:
        """The operator, and the pod template that it writes."""
        self.processes["penstock"] = [await self.here.operator()]
        await self.make(MODEL, PENSTOCK, replicas=1, per_replica=1)
        await self.here.ready([MODEL])
        found = await self.here.api.request("GET", f"{DEPLOYMENTS}/{MODEL}-worker")
        self.model = found["spec"]["template"]
        await self.remove(MODEL, PENSTOCK)

    async def start_keda(self, adapter_port: int) -> None:
        """KEDA's objects, its two processes, and the external metrics that they serve."""
        request = self.here.api.request
        await request("POST", "/api/v1/namespaces", {"metadata": {"name": KEDA_NAMESPACE}})
        ca = (self.folder / "ca.crt").read_bytes()
        for path, body in keda_objects(self.programs.config, authority=ca, port=adapter_port):
            try:
                await self.here.api.insist("POST", path, body)
            except ApiError as error:
                if error.status != 409:  # the controllers made the namespace's own service account
                    raise
        await self._secret()
        kubeconfig = self.folder / "keda.kubeconfig"
        token = self.here.plane.service_account_token(KEDA_NAMESPACE, "keda-operator", seconds=_TOKEN_SECONDS)
        kubeconfig.write_text(self.here.plane.kubeconfig(token, namespace=KEDA_NAMESPACE))
        service, metrics, probes, page = free_ports(4)
        self.processes["keda"] = [
            self._spawn("operator", kubeconfig, *operator_flags(self.folder, service, metrics, probes)),
            self._spawn("adapter", kubeconfig, *adapter_flags(self.folder, kubeconfig, service, adapter_port, page)),
        ]
        await self._serves()
        await request(
            "POST", f"/apis/keda.sh/v1alpha1{NAMESPACE}/triggerauthentications", trigger_authentication("keda")
        )

    async def _secret(self) -> None:
        """KEDA's own login, by which its connections are counted."""
        login = f"CREATE ROLE {_KEDA_LOGIN} LOGIN SUPERUSER PASSWORD 'keda'"
        self.here.database.execute(login.encode())
        at = self.here.server.url.rpartition("@")[2]
        url = f"postgres://{_KEDA_LOGIN}:keda@{at}"
        secret = {"metadata": {"name": "keda"}, "data": {"url": base64.b64encode(url.encode()).decode()}}
        await self.here.api.request("POST", f"/api/v1{NAMESPACE}/secrets", secret)

    def _spawn(self, program: str, kubeconfig: Path, *flags: str) -> Operator:
        env = {"KUBECONFIG": str(kubeconfig), "POD_NAMESPACE": KEDA_NAMESPACE, "WATCH_NAMESPACE": ""}
        env |= {"KEDA_CLUSTER_OBJECT_NAMESPACE": KEDA_NAMESPACE, "HOME": "/tmp"}
        with (self.folder / f"{program}.log").open("wb") as log:
            command = [str(getattr(self.programs, program)), *flags]
            return Operator(program, subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=self.folder))

    async def _serves(self) -> None:
        path = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io"
        async with asyncio.timeout(180):
            while True:
                for one in self.processes["keda"]:
                    if one.process.poll() is not None:
                        log = (self.folder / f"{one.name}.log").read_text(errors="replace")
                        raise RuntimeError(f"KEDA's {one.name} ended:\n{log[-3000:]}")
                found = await self.here.api.request("GET", path)
                conditions = {one["type"]: one for one in found.get("status", {}).get("conditions", ())}
                if conditions.get("Available", {}).get("status") == "True":
                    return
                await asyncio.sleep(0.2)


@contextlib.asynccontextmanager
async def arena(programs: Programs, *, runs: bool) -> AsyncIterator[Arena]:
    """Both sides, started; with `runs` there is a node for pods that get a process."""
    with tempfile.TemporaryDirectory(prefix="penstock-keda-") as name:
        folder = Path(name)
        (adapter_port,) = free_ports(1)
        async with site(api_server_flags=certificates(folder), settings=SETTINGS) as here:
            with psycopg.connect(here.server.url_of("template1"), autocommit=True) as meter:
                here.database.execute(LEDGER.encode())
                made = Arena(here=here, folder=folder, programs=programs, meter=meter)
                with _node(here, folder) if runs else contextlib.nullcontext():
                    try:
                        await made.start_penstock()
                        await made.start_keda(adapter_port)
                        yield made
                    finally:
                        for one in made.processes.get("keda", ()):
                            await one.end()


@contextlib.contextmanager
def _node(here: Site, folder: Path) -> Any:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.defpath])
    image = Image(env={"PATH": path, "PYTHONPATH": str(ROOT)}, folder=ROOT)
    pods = ProcessPods(
        control_plane=here.plane,
        namespace="default",
        images={"worker:1": image},
        logs=folder / "pods",
        selector=f"{RUNS}=yes",
    )
    pods.start()
    try:
        yield
    finally:
        pods.stop()


def _is_ready(scaled: dict[str, Any]) -> bool:
    conditions = scaled.get("status", {}).get("conditions", ())
    return any((one["type"], one["status"]) == ("Ready", "True") for one in conditions)
