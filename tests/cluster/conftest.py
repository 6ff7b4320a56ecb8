"""Fixtures of the tests that need real pods; run them by `make test-cluster`.

    cluster          the cluster: `apply`, `wait_for`, `kubectl`, `helm`, `exec`, `logs`, `pods` (see `Cluster`);
                     `cluster.node` is None if it is not ours, else `node.command("kill", "kube-apiserver")` and
                     `node.command("start", …)` fault its components
    images           image names by what they are: images["operator"], ["worker"], ["ledger"]; already in the cluster
    installed_chart  the operator, installed by Helm with default values in a namespace under Pod Security `restricted`;
                     it watches this namespace, `installed_chart.namespace`
    database         a database of the test's own, reachable from pods and from here, with the table `ledger`
    jobqueue         `jobqueue("name", scaling={...}, worker={...})` applies a JobQueue of the ledger tasks in the
                     chart's namespace, on `database`, and deletes it after the test

A job is `database.enqueue("name", "ledger_jobs:nap", ['{"seconds": 1}'])`; `database.check_account(ids)` compares the
job table with what the tasks wrote. If the node dies, the test at work fails with the end of the log of the component
that died, and the session stops.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.manifests import jobqueue_manifest, secret_manifest
from tests.support import strays
from tests.support.cluster import node
from tests.support.cluster.cluster import RESTRICTED, Cluster, of_kubeconfig, of_node
from tests.support.cluster.database import LedgerDatabase, PodPostgres
from tests.support.cluster.images import LEDGER, OPERATOR, WORKER, ImagesUnavailableError, archives
from tests.support.cluster.layout import node_name
from tests.support.cluster.preflight import obstacle
from tests.support.cluster.programs import Programs, programs
from tests.support.go_build import BuildError

FOLDER = Path(__file__).parent
TIMEOUT_SECONDS = 600
CHART = "charts/penstock"
_READY = pytest.StashKey["Ready"]()
_CLUSTER = pytest.StashKey[Cluster]()


@dataclass(frozen=True, slots=True)
class Ready:
    """What is built before the first test's clock starts, or why the tests are skipped."""

    reason: str = ""
    built: Programs | None = None
    archives: Mapping[str, Path] | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """An installed chart."""

    name: str
    namespace: str


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Real pods take their time. The how-to comes first: it installs the JobQueue definition itself."""
    items.sort(key=lambda item: item.path.is_relative_to(FOLDER) and item.path.name != "test_how_to.py")
    for item in items:
        if item.path.is_relative_to(FOLDER) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(TIMEOUT_SECONDS))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build programs and images now: a test's timeout would end a build."""
    wanted = any("cluster" in getattr(item, "fixturenames", ()) for item in session.items)
    if wanted and not session.config.option.collectonly:
        session.config.stash[_READY] = _prepare(session.config)


def _prepare(config: pytest.Config) -> Ready:
    terminal = config.pluginmanager.get_plugin("terminalreporter")

    def echo(line: str) -> None:
        if terminal is not None:
            terminal.write_line(line)
            terminal.flush()

    if hasattr(config, "workerinput"):
        return Ready("one node is enough: these tests run one after the other, by `make test-cluster`")
    try:
        if os.environ.get("PENSTOCK_TEST_KUBECONFIG"):
            return Ready(built=programs(echo))
        if reason := obstacle(node_name()):
            return Ready(reason)
        return Ready(built=programs(echo), archives=archives(echo))
    except (BuildError, ImagesUnavailableError) as error:
        return Ready(str(error))


@pytest.fixture(scope="session")
def ready(pytestconfig: pytest.Config) -> Ready:
    """What has been built; skips with the reason."""
    found = pytestconfig.stash.get(_READY, Ready("the cluster was not asked for during collection"))
    if found.reason:
        pytest.skip(found.reason)
    return found


@pytest.fixture(scope="session")
def cluster(ready: Ready, pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """The session's cluster; see the module's docstring."""
    assert ready.built is not None
    if named := os.environ.get("PENSTOCK_TEST_KUBECONFIG"):
        with of_kubeconfig(Path(named), ready.built) as found:
            yield found
        return
    strays.keep(node.outer_pids)
    name = node_name() if os.environ.get("PENSTOCK_CLUSTER") else f"t{os.getpid()}"
    running = node.find(name, print)
    up = running or node.up(name, print, tied=True)
    found = pytestconfig.stash[_CLUSTER] = of_node(up)
    if running is not None:  # what a session that was killed has left on a node that was kept
        found.kubectl("delete", "crd", "jobqueues.penstock.dev", "--ignore-not-found", "--timeout=60s")
    try:
        yield found
    finally:
        if running is None:
            node.down(name)


@pytest.fixture(autouse=True)
def living_node(request: pytest.FixtureRequest) -> Iterator[None]:
    """Stop the session where the node has died: no other test can say more."""
    yield
    found = request.session.config.stash.get(_CLUSTER, None)
    if found is not None and found.node is not None:
        try:
            found.node.check()
        except node.NodeFailedError as error:
            request.session.shouldstop = str(error).splitlines()[0]
            pytest.fail(str(error))


@pytest.fixture(scope="session")
def images(cluster: Cluster, ready: Ready) -> Mapping[str, str]:
    """The images, in the cluster: loaded into our node, expected in another cluster under PENSTOCK_TEST_REGISTRY."""
    if cluster.node is not None:
        for archive in (ready.archives or {}).values():
            cluster.node.load(archive)
    registry = os.environ.get("PENSTOCK_TEST_REGISTRY", "docker.io/library").rstrip("/")
    names = {"operator": OPERATOR, "worker": WORKER, "ledger": LEDGER}
    return {what: f"{registry}/{image.rpartition('/')[2]}" for what, image in names.items()}


@pytest.fixture(scope="session")
def postgres(cluster: Cluster) -> Iterator[PodPostgres]:
    """The session's PostgreSQL server, which pods reach: ours, or the one of PENSTOCK_TEST_CLUSTER_DATABASE."""
    url = os.environ.get("PENSTOCK_TEST_CLUSTER_DATABASE", "")
    if cluster.node is None and not url:
        pytest.skip("set PENSTOCK_TEST_CLUSTER_DATABASE to a superuser's URL that pods and this machine reach")
    address = cluster.node.layout.host_address if cluster.node is not None else ""
    server = PodPostgres(address=address, url=url)
    if server.embedded is not None:
        strays.keep(server.embedded.pids)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def database(postgres: PodPostgres) -> Iterator[LedgerDatabase]:
    """A migrated database of this test's own."""
    with postgres.database() as found:
        yield found


@pytest.fixture(scope="session")
def installed_chart(cluster: Cluster, images: Mapping[str, str]) -> Iterator[Release]:
    """The operator with the chart's default values, in a namespace under Pod Security `restricted`."""
    definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/jobqueues.penstock.dev"
    if cluster.node is None and cluster.get(definition):
        pytest.fail("the cluster has the JobQueue definition of another installation, which these tests would delete")
    release = Release("penstock", f"penstock-{secrets.token_hex(3)}")
    namespace = {"metadata": {"name": release.namespace, "labels": RESTRICTED}}
    cluster.request("POST", "/api/v1/namespaces", namespace)
    try:
        cluster.helm("install", release.name, CHART, "--namespace", release.namespace, *image_values(images), "--wait")
        yield release
    finally:
        cluster.helm("uninstall", release.name, "--namespace", release.namespace, "--ignore-not-found", "--wait")
        cluster.kubectl("delete", "crd", "jobqueues.penstock.dev", "--ignore-not-found", "--wait=false")
        cluster.kubectl("delete", "namespace", release.namespace, "--wait=false")


def image_values(images: Mapping[str, str]) -> list[str]:
    """The options of Helm by which the chart finds the images; none where their names are the chart's defaults."""
    if images["operator"] == OPERATOR:
        return []
    values = {"image": images["operator"], "workerImage": images["worker"]}
    return [f"--set={key}.repository={image.rpartition(':')[0]}" for key, image in values.items()]


def upgrade_command(release: Release, images: Mapping[str, str]) -> list[str]:
    """The arguments of `helm upgrade` back to the default values; changes of values follow."""
    where = ["--namespace", release.namespace, "--reset-values", "--wait"]
    return ["upgrade", release.name, CHART, *where, *image_values(images)]


@pytest.fixture
def jobqueue(
    cluster: Cluster, images: Mapping[str, str], installed_chart: Release, database: LedgerDatabase
) -> Iterator[Callable[..., str]]:
    """Apply a JobQueue of the ledger tasks; returns its queue's name. See the module's docstring."""
    made: list[str] = []
    namespace = installed_chart.namespace

    def apply(name: str, **spec: Any) -> str:
        secret = secret_manifest(f"{name}-postgres", {"url": database.worker, "operator": database.operator})
        cluster.apply(secret, jobqueue_manifest(name, image=images["ledger"], **spec), namespace=namespace)
        made.append(name)
        return name

    yield apply
    for name in made:
        cluster.kubectl("--namespace", namespace, "delete", "jobqueue", name, "--ignore-not-found", "--wait=false")
        gone = partial(_gone, cluster, namespace, name)
        cluster.wait_for(gone, f"the pods of {name} are gone", namespace=namespace)
        cluster.kubectl("--namespace", namespace, "delete", "secret", f"{name}-postgres", "--ignore-not-found")


def _gone(cluster: Cluster, namespace: str, queue: str) -> bool:
    return not cluster.pods(namespace, f"penstock.dev/jobqueue={queue}")
