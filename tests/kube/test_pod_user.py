"""Process-backed pods run as an image's user does, with nothing that a container would lack."""

from collections.abc import Callable

import pytest

from tests.kube.test_pods import SERVER, Deploy, PodsOf, ask, ready, server, waiting_reason
from tests.support.pod_user import is_root
from tests.support.pods import ProcessPods
from tests.support.waiting import eventually


@pytest.fixture
def pods(process_pods: Callable[..., ProcessPods]) -> ProcessPods:
    """A harness whose readiness probes run ten times as often as the kubelet's."""
    return process_pods({"server:test": SERVER}, pace=0.1)


@pytest.mark.skipif(not is_root(), reason="only root can start a process as another user")
def test_a_container_runs_as_a_user_that_nobody_knows_and_can_write_nothing_but_its_own_tmp(
    pods: ProcessPods, deploy: Deploy, pods_of: PodsOf
):
    """As both images do; a security context names another user, and a read-only root leaves no /tmp either."""
    deploy("web", replicas=1, container=server())
    sealed = {"readOnlyRootFilesystem": True, "runAsUser": 1_000_640_000, "runAsGroup": 7}
    deploy("own", replicas=1, container=server(securityContext=sealed), securityContext={"fsGroup": 9})
    (web,), (own,) = ready(pods_of, "web", 1), ready(pods_of, "own", 1)
    found = {name: ask(pods.addresses()[name], "user") for name in (web, own)}
    image = {"uid": 65532, "gid": 65532, "groups": [], "name": "", "writable": ["/tmp", "/var/tmp"]}
    assert found[web] == image
    assert found[own] == {"uid": 1_000_640_000, "gid": 7, "groups": [9], "name": "", "writable": []}


def test_root_is_refused_where_the_pod_must_not_be_root(pods: ProcessPods, deploy: Deploy, pods_of: PodsOf):
    """The kubelet's reason, and no process."""
    root = {"runAsUser": 0, "runAsNonRoot": True}
    deploy("web", replicas=1, container=server(securityContext=root))
    eventually(lambda: waiting_reason(pods_of("web")) == "CreateContainerConfigError", "the reason is reported")
    assert not pods.processes()
