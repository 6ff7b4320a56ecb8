"""Who may write: the lease's clock, and the last question before a request is sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

from penstock_operator.errors import NotLeader
from penstock_operator.kube.api_paths import everywhere, item
from penstock_operator.kube.client import Cluster
from penstock_operator.kube.leader import RENEW_SECONDS, Leader

LEASES = "/apis/coordination.k8s.io/v1/namespaces/shop/leases"


class _Everything(BaseHTTPRequestHandler):
    """Answers each request with an empty object, and keeps what was asked."""

    asked: list[str]

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.asked.append(f"{self.command} {self.path}")
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_PUT = do_PATCH = do_POST = _answer  # noqa: N815 - the server's names

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[list[str]]:
    """The requests that reached an API server on loopback, to which the file `config` leads."""
    found: list[str] = []
    server = HTTPServer(("127.0.0.1", 0), type("_Bound", (_Everything,), {"asked": found}))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_address[1]}"}}
    config = {
        "clusters": [cluster],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def cluster(asked: list[str], tmp_path: Path) -> Iterator[Cluster]:
    """Calls to that server."""
    made = Cluster(instance="operator-0", kubeconfig=str(tmp_path / "config"))
    yield made
    made.close()


async def test_a_replica_that_does_not_lead_reads_and_stands_for_election_and_writes_nothing_else(
    cluster: Cluster, asked: list[str]
):
    """The question is asked as the last thing, whatever was decided before."""
    cluster.may_write = lambda: False
    await cluster.request("GET", everywhere("Deployment"))
    await cluster.request("PUT", item("Lease", "shop", "penstock"), {}, electing=True)
    for method in ("POST", "PATCH", "PUT", "DELETE"):
        with pytest.raises(NotLeader, match="does not lead"):
            await cluster.request(method, everywhere("Deployment"), {})
    assert asked == ["GET /apis/apps/v1/deployments", f"PUT {LEASES}/penstock"]
    cluster.may_write = lambda: True
    await cluster.request("PATCH", everywhere("Deployment"), {})
    assert len(asked) == 3


async def test_a_replica_leads_for_two_seconds_after_it_started_its_last_renewal(cluster: Cluster):
    """By a clock that it was given: one that stops while the machine sleeps would say too much."""
    now = 100.0
    leader = Leader(cluster=cluster, namespace="shop", name="penstock", identity="a", clock=lambda: now)
    assert not leader.leading()
    await leader._try()
    assert leader.leading()
    now += RENEW_SECONDS - 0.01
    assert leader.leading()
    now += 0.02
    assert not leader.leading()


async def test_without_a_lease_there_is_one_replica_and_it_leads(cluster: Cluster):
    """For a laptop, and for tests."""
    assert Leader(cluster=cluster, namespace="shop", name="", identity="a").leading()
