"""Fixtures of the chart's tests on the API server: a control plane of their own, for the definition is cluster-wide."""

import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import helm_python
import pytest

from tests.support.api_client import ApiError
from tests.support.controlplane import ControlPlane
from tests.support.kube_fixtures import new_namespace, running
from tests.support.pod_env import Image
from tests.support.pods import ProcessPods
from tests.support.waiting import eventually

DEFINITION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/jobqueues.penstock.dev"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.fixture(scope="package")
def own_plane(
    pytestconfig: pytest.Config, control_plane_commands: Mapping[str, tuple[str, ...]]
) -> Iterator[ControlPlane]:
    """A control plane where nobody else installs the JobQueue definition."""
    with running(pytestconfig, control_plane_commands) as plane:
        yield plane


@pytest.fixture
def restricted(own_plane: ControlPlane) -> Iterator[str]:
    """A namespace that refuses every pod which Pod Security `restricted` forbids."""
    with new_namespace(own_plane, f"install-{secrets.token_hex(3)}", RESTRICTED) as name:
        yield name


@pytest.fixture
def helm(own_plane: ControlPlane, restricted: str) -> Iterator[helm_python.Config]:
    """Helm, pointed at that namespace with an administrator's rights; afterwards nothing is installed."""
    with helm_python.Config(kubeconfig_path=own_plane.admin_kubeconfig, namespace=restricted) as config:
        yield config
        config.uninstall("penstock", ignore_not_found=True, timeout=200)
    eventually(lambda: _removed(own_plane, DEFINITION), "the definition is gone")


def _removed(plane: ControlPlane, path: str) -> bool:
    """Asked again until it is: the first request may meet a conflict, or an API server that is busy."""
    try:
        plane.request("DELETE", path)
    except ApiError as error:
        return error.status == 404
    return False


@pytest.fixture
def node(own_plane: ControlPlane, restricted: str, tmp_path: Path) -> Iterator[ProcessPods]:
    """A node that runs the operator's image as a process of this machine."""
    env = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"}
    pods = ProcessPods(
        control_plane=own_plane,
        namespace=restricted,
        images={"penstock-operator:0.1.0": Image(env=env)},
        logs=tmp_path / "pods",
        pace=0.1,
    )
    pods.start()
    try:
        yield pods
    finally:
        pods.stop()
