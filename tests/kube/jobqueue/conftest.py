"""Fixtures of JobQueues on the real API server: the definition, a client for them, and an operator's process."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from tests.kube.jobqueue.kinds import PodMonitors
from tests.kube.jobqueue.operator_process import OperatorProcess
from tests.support.api_client import MERGE, ApiClient, ApiError
from tests.support.api_proxy import ApiProxy
from tests.support.chart import OperatorRights
from tests.support.controlplane import ControlPlane
from tests.support.pod_env import Image
from tests.support.pod_user import check
from tests.support.pods import ProcessPods
from tests.support.waiting import eventually
from tests.unit.jobqueue.examples import CRD, REPOSITORY, manifest

GROUP = "/apis/penstock.dev/v1alpha1"
BIN = Path(sys.executable).parent
WORKER = Image(
    env={"PATH": f"{BIN}{os.pathsep}{os.defpath}", "PYTHONPATH": str(REPOSITORY), "PENSTOCK_LEASE_SECONDS": "15"},
    folder=REPOSITORY,
)
QUICK: dict[str, Any] = {
    "worker__app": "tests.kube.jobqueue.application:app",
    "worker__drainTimeoutSeconds": 60,
    "scaling__scaleDown": {"stabilizationWindowSeconds": 1, "cooldownSeconds": 1},
    "scaling__activation": {"pollPeriodSeconds": 5},
}
"""Changes to the least manifest for a test that is not to wait."""


@pytest.fixture(scope="session")
def definition(control_plane: ControlPlane) -> Any:
    """The JobQueue definition, installed and served."""
    api = control_plane.client()
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/jobqueues.penstock.dev"
    api.apply(path, yaml.safe_load(CRD.read_text()))

    def served() -> Any:
        found = api.request("GET", path)
        conditions = {one["type"]: one["status"] for one in found.get("status", {}).get("conditions") or ()}
        return found if conditions.get("Established") == "True" else None

    found = eventually(served, "the definition is established")
    eventually(lambda: _lists(api), "JobQueues are served")
    return found


def _lists(api: ApiClient) -> bool:
    try:
        api.request("GET", f"{GROUP}/jobqueues")
    except ApiError:
        return False
    return True


@dataclass(frozen=True)
class JobQueues:
    """JobQueues of one namespace, as administrator."""

    api: ApiClient
    namespace: str

    @property
    def collection(self) -> str:
        return f"{GROUP}/namespaces/{self.namespace}/jobqueues"

    def path(self, name: str) -> str:
        return f"{self.collection}/{name}"

    def create(self, name: str = "emails", **changes: Any) -> Any:
        made = manifest(**changes)
        made["metadata"]["name"] = name
        return self.api.request("POST", f"{self.collection}?fieldValidation=Strict", made)

    def get(self, name: str = "emails") -> Any:
        return self.api.request("GET", self.path(name))

    def patch(self, change: Any, name: str = "emails", subresource: str = "") -> Any:
        return self.api.request("PATCH", self.path(name) + subresource, change, content_type=MERGE)

    def delete(self, name: str = "emails") -> None:
        self.api.request("DELETE", self.path(name))

    def conditions(self, name: str = "emails") -> dict[str, tuple[str, str]]:
        """Status and reason by type."""
        found = self.get(name).get("status", {}).get("conditions", ())
        return {one["type"]: (one["status"], one["reason"]) for one in found}

    def message(self, condition: str, name: str = "emails") -> str:
        found = self.get(name).get("status", {}).get("conditions", ())
        return next((str(one["message"]) for one in found if one["type"] == condition), "")

    def deployment(self, name: str = "emails") -> Any:
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{name}-worker"
        try:
            return self.api.request("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def pods(self, name: str = "emails") -> list[Any]:
        path = f"/api/v1/namespaces/{self.namespace}/pods?labelSelector=penstock.dev%2Fjobqueue%3D{name}"
        return list(self.api.request("GET", path)["items"])

    def events(self) -> list[Any]:
        return list(self.api.request("GET", f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events")["items"])

    def secret(self, url: str, name: str = "shop-postgres", **more: str) -> None:
        """A Secret with the database's URL, or a new value for it."""
        data = {key: base64.b64encode(value.encode()).decode() for key, value in {"url": url, **more}.items()}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}
        self.api.apply(f"/api/v1/namespaces/{self.namespace}/secrets/{name}", body)


@pytest.fixture
def api_proxy(control_plane: ControlPlane, operator_rights: OperatorRights) -> Iterator[ApiProxy]:
    """A proxy between the operators and the API server; ask for it before `operator`."""
    with ApiProxy(url=control_plane.url, ca_file=control_plane.ca_file) as proxy:
        proxy.lead(operator_rights.kubeconfig)
        yield proxy


def started(jobqueues: JobQueues, operator: Start, url: str, **changes: Any) -> OperatorProcess:
    """A JobQueue `emails` on that database, ready, and the operator that made it so.

    Changes in capitals are the operator's environment, the others those of the manifest.
    """
    env = {name: value for name, value in changes.items() if name.isupper()}
    jobqueues.secret(url)
    jobqueues.create(**(QUICK | {name: value for name, value in changes.items() if name not in env}))
    process = operator(**env)
    eventually(lambda: jobqueues.conditions().get("Listening") == ("True", "Subscribed"), "the queue is managed")
    eventually(jobqueues.deployment, "its Deployment is there")
    return process


@pytest.fixture
def jobqueues(definition: Any, api: ApiClient, namespace: str) -> JobQueues:
    """JobQueues of this test's namespace."""
    return JobQueues(api, namespace)


def enqueue(database: psycopg.Connection[Any], count: int, seconds: float, queue: str = "emails") -> None:
    """Jobs that take so long each."""
    database.execute(
        "SELECT penstock.enqueue(%s, 'work', jsonb_build_object('seconds', %s::float8)) FROM generate_series(1, %s)",
        [queue, seconds, count],
    )


@dataclass(frozen=True)
class Gate:
    """Jobs that run until the test opens the gate, however slow or quick the machine is."""

    path: Path

    def enqueue(self, database: psycopg.Connection[Any], count: int, queue: str = "emails") -> None:
        """Jobs that wait at the gate, all in one statement."""
        database.execute(
            "SELECT penstock.enqueue(%s, 'hold', jsonb_build_object('gate', %s::text)) FROM generate_series(1, %s)",
            [queue, str(self.path), count],
        )

    def open(self) -> None:
        """Let them end."""
        self.path.touch()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """A closed gate."""
    return Gate(tmp_path / "gate")


def counts(database: psycopg.Connection[Any]) -> tuple[int, int, int]:
    """Live jobs, completed jobs, and attempts beyond the first."""
    row = database.execute(
        "SELECT (SELECT count(*) FROM penstock.job), "
        "(SELECT count(*) FROM penstock.outcome WHERE state = 'completed' AND final), "
        "(SELECT count(*) FROM penstock.outcome WHERE attempt > 1 OR crashes > 0)"
    ).fetchone()
    assert row is not None
    return row[0], row[1], row[2]


Start = Callable[..., OperatorProcess]


@pytest.fixture
def database(pg_url: str) -> Iterator[psycopg.Connection[Any]]:
    """An administrator's connection to this test's database."""
    with psycopg.connect(pg_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def pods(process_pods: Callable[..., ProcessPods]) -> ProcessPods:
    """Pods of the image `shop:1` are real workers; probes run five times as often as a kubelet's."""
    return process_pods({"shop:1": WORKER}, pace=0.2)


@pytest.fixture
def operator(operator_rights: OperatorRights, definition: Any, pg_url: str, tmp_path: Path) -> Iterator[Start]:
    """`operator(**env)` starts one, as the image's user; all end before the test's database does."""
    check()
    tmp_path.chmod(0o755)
    started: list[OperatorProcess] = []

    def start(**more: str) -> OperatorProcess:
        name = f"operator-{len(started)}"
        started.append(OperatorProcess(operator_rights, tmp_path / f"{name}.log", name, more))
        return started[-1]

    try:
        yield start
    finally:
        for one in started:
            if one.process.poll() is None:
                one.thaw()
        codes = [one.stop() for one in started]
        for one in started:
            sys.stdout.write(one.log.read_text(errors="replace")[-20_000:])
        assert all(code in {0, -9} for code in codes), codes


@pytest.fixture
def kinds(api: ApiClient) -> Iterator[PodMonitors]:
    """A cluster that does not know PodMonitors."""
    found = PodMonitors(api)
    found.remove()
    yield found
    found.remove()
