"""The cluster as the scenarios share it: the operator, installed by Helm for their namespaces, and faults of the rest.

Must not know a scenario. What only our own node can do (freeze a component, cut a pod off) skips elsewhere.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from tests.cluster.faults.ledger_jobs import TABLE
from tests.support import strays
from tests.support.api_client import ApiClient
from tests.support.cluster.cluster import Cluster
from tests.support.cluster.database import PodPostgres
from tests.support.cluster.node import Node
from tests.support.go_build import ROOT

RELEASE = "penstock"
CHART = str(ROOT / "charts" / "penstock")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnServer:
    """A PostgreSQL server of one scenario.

    Args:
        server: it.
        url: of its database, as pods reach it.
    """

    server: PodPostgres
    url: str

    def crash_and_start(self) -> None:
        """As after a power failure: nothing is closed, and the next start recovers."""
        assert self.server.embedded is not None
        self.server.embedded.stop(immediately=True)
        self.server.embedded.start()


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A cluster with the operator.

    Args:
        cluster: it.
        namespace: the operator's.
        worker_image: name of the worker's image.
        values: options of Helm by which the chart finds its images.
        watched: namespaces of all scenarios.
    """

    cluster: Cluster
    namespace: str
    worker_image: str
    values: Sequence[str]
    watched: Sequence[str]

    @property
    def client(self) -> ApiClient:
        return self.cluster.client

    @property
    def node(self) -> Node:
        """Our own node; skips where the cluster is another."""
        if self.cluster.node is None:
            pytest.skip("this fault needs the tests' own node")
        return self.cluster.node

    # -- the operator

    def install(self, *options: str) -> None:
        """Install or upgrade it, and wait until it is ready; the definition belongs to another release."""
        watched = f"--set=watchNamespaces={{{','.join(self.watched)}}}"
        self._helm("upgrade", "--install", RELEASE, CHART, watched, "--set=crds.enabled=false", *self.values, *options)

    def uninstall(self) -> None:
        self._helm("uninstall", RELEASE)

    def _helm(self, *arguments: str) -> None:
        self.cluster.helm(*arguments, "--namespace", self.namespace, "--wait", "--timeout", "5m")

    def operator_pods(self) -> list[Any]:
        return self.cluster.pods(self.namespace, "app.kubernetes.io/name=penstock")

    def leader(self) -> str:
        """The name of the operator's pod that leads; empty if none ever did."""
        found = self.cluster.get(f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases/{RELEASE}")
        return str(found["spec"].get("holderIdentity") or "") if found else ""

    # -- faults

    @contextmanager
    def frozen(self, component: str) -> Iterator[None]:
        """Stop a component of the node by SIGSTOP: connections stay open, and nothing answers."""
        self.node.command("pause", component)
        try:
            yield
        finally:
            self.node.command("resume", component)

    @contextmanager
    def cut_off(self, pod_ip: str, port: int) -> Iterator[None]:
        """Drop what a pod sends to a TCP port, before its destination is translated; open connections hang."""
        rule = ["PREROUTING", "--source", pod_ip, "--protocol", "tcp", "--dport", str(port), "--jump", "DROP"]
        self._iptables("--insert", rule)
        try:
            yield
        finally:
            self._iptables("--delete", rule)

    def _iptables(self, action: str, rule: Sequence[str]) -> None:
        done = self.node.run("iptables", "--wait", "--table", "raw", action, *rule)
        assert done.returncode == 0, done.stderr

    @contextmanager
    def own_server(self) -> Iterator[OwnServer]:
        """A server that one scenario may stop."""
        server = PodPostgres(address=self.node.layout.host_address)
        if server.embedded is not None:
            strays.keep(server.embedded.pids)  # tests of other scenarios end while it runs
        try:
            with server.database() as database:
                with psycopg.connect(database.owner, autocommit=True) as connection:
                    connection.execute(TABLE.encode())
                yield OwnServer(server=server, url=database.owner)
        finally:
            server.close()

    def start_kubectl(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A kubectl in the background."""
        command = [*self.cluster.programs.component("kubectl"), f"--kubeconfig={self.cluster.kubeconfig}", *arguments]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
