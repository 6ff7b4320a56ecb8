"""Fixtures of the control plane and of process-backed pods, a pytest plugin of the whole suite.

Owns: one control plane per session, one namespace per test, and stops every process that serves them. Must not know
what is tested with them.

Binaries are located (and built, in minutes) after collection and before the first test, never inside a
fixture, where a test's timeout would end it. Without them tests skip with the reason; where `CI` is set they fail.
"""

import os
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support import strays
from tests.support.api_client import ApiError
from tests.support.chart import OperatorRights, rights
from tests.support.controlplane import ControlPlane
from tests.support.controlplane_build import ControlPlaneUnavailableError, commands
from tests.support.pod_env import Image
from tests.support.pod_user import describe
from tests.support.pods import ProcessPods

_COMMANDS = pytest.StashKey[Mapping[str, tuple[str, ...]]]()
_REASON = pytest.StashKey[str]()
_RUNNING = pytest.StashKey[list[ControlPlane]]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Have the binaries ready before the first test's clock starts."""
    wanted = any("control_plane_commands" in getattr(item, "fixturenames", ()) for item in session.items)
    if not wanted or session.config.option.collectonly:
        return
    try:
        session.config.stash[_COMMANDS] = commands(lambda line: _echo(session.config, line))
    except ControlPlaneUnavailableError as error:
        session.config.stash[_REASON] = str(error)


def _echo(config: pytest.Config, line: str) -> None:
    """Show the progress of the build at once; a worker of `pytest -n` has no terminal and writes to stderr."""
    if terminal := config.pluginmanager.get_plugin("terminalreporter"):
        terminal.write_line(line)
        terminal.flush()
    elif capture := config.pluginmanager.get_plugin("capturemanager"):
        with capture.global_and_fixture_disabled():
            print(line, file=sys.stderr, flush=True)


def pytest_report_header() -> str:
    """As whom the pods of this run are processes."""
    return describe()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show the end of each component's log under a failed test that used the control plane."""
    report = yield
    if report.failed and "control_plane_commands" in getattr(item, "fixturenames", ()):  # type: ignore[attr-defined]
        for plane in item.config.stash.get(_RUNNING, ()):
            report.sections.extend((f"{name} log", text) for name, text in plane.logs().items())  # type: ignore[attr-defined]
    return report


@pytest.fixture(scope="session")
def control_plane_commands(pytestconfig: pytest.Config) -> Mapping[str, tuple[str, ...]]:
    """How to start each component; skips, or fails in CI, where there is no way to."""
    found = pytestconfig.stash.get(_COMMANDS, None)
    if found is None:
        reason = pytestconfig.stash.get(_REASON, "the control plane was not asked for during collection")
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return found


@contextmanager
def running(config: pytest.Config, found: Mapping[str, tuple[str, ...]]) -> Iterator[ControlPlane]:
    """A control plane for the length of a `with`; its processes are no test's strays; failed tests show its logs."""
    plane = ControlPlane(commands=found)
    strays.keep(lambda: plane.pids)
    plane.start()
    planes = config.stash.setdefault(_RUNNING, [])
    planes.append(plane)
    try:
        yield plane
    finally:
        planes.remove(plane)
        plane.stop()


@pytest.fixture(scope="session")
def control_plane(
    pytestconfig: pytest.Config, control_plane_commands: Mapping[str, tuple[str, ...]]
) -> Iterator[ControlPlane]:
    """The session's etcd, API server (RBAC) and controllers; an administrator's access."""
    with running(pytestconfig, control_plane_commands) as plane:
        yield plane


@pytest.fixture
def namespace(control_plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty namespace of this test's own, with its default service account; deleted afterwards."""
    slug = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:40].rstrip("-")
    name = f"{slug}-{secrets.token_hex(3)}"
    with new_namespace(control_plane, name):
        yield name


@contextmanager
def new_namespace(plane: ControlPlane, name: str, labels: Mapping[str, str] | None = None) -> Iterator[str]:
    """A namespace that exists for the length of a `with`: usable at once, deleted without waiting."""
    plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": dict(labels or {})}})
    try:
        # Without its service account the API server refuses every pod, and the controller needs a moment to make it.
        deadline = time.monotonic() + 120
        while not exists(plane, f"/api/v1/namespaces/{name}/serviceaccounts/default"):
            assert time.monotonic() < deadline, "the service account controller is silent"
            time.sleep(0.01)
        yield name
    finally:
        plane.request("DELETE", f"/api/v1/namespaces/{name}")


def exists(plane: ControlPlane, path: str) -> bool:
    """Whether the API server has that object."""
    try:
        plane.request("GET", path)
    except ApiError as error:
        if error.status == 404:
            return False
        raise
    return True


@pytest.fixture
def process_pods(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> Iterator[Callable[..., ProcessPods]]:
    """`process_pods({image: Image(...)}, ...)` starts a harness for this test's namespace; it ends with the test."""
    started: list[ProcessPods] = []

    def start(images: Mapping[str, Image], **options: Any) -> ProcessPods:
        pods = ProcessPods(
            control_plane=control_plane, namespace=namespace, images=images, logs=tmp_path / "pods", **options
        )
        pods.start()
        started.append(pods)
        return pods

    try:
        yield start
    finally:
        for pods in reversed(started):
            pods.stop()


@pytest.fixture
def operator_rights(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> OperatorRights:
    """The operator's access with the chart's rendered roles, for this test's namespace as the only one watched."""
    return rights(control_plane, namespace=namespace, folder=tmp_path)
