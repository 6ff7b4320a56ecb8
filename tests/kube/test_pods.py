"""Process-backed pods behave as a node's pods do, as far as workers and the operator notice."""

import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support import pod_server
from tests.support.api_client import MERGE, ApiClient
from tests.support.pod_env import Image
from tests.support.pods import ProcessPods
from tests.support.waiting import eventually

SERVER = Image(entrypoint=(sys.executable, str(Path(pod_server.__file__))))
POD_IP = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
PATIENT = {"timeoutSeconds": 60}  # a probe fails by the answer it gets, not by how busy the machine is
Deploy = Callable[..., str]
PodsOf = Callable[[str], list[Any]]


def server(*, env: Mapping[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """A container of the test server, with a readiness probe on its named port."""
    values = [POD_IP, *({"name": name, "value": value} for name, value in (env or {}).items())]
    probe = {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1, "failureThreshold": 1, **PATIENT}
    ports = [{"name": "http", "containerPort": 8080}]
    return {"image": "server:test", "env": values, "ports": ports, "readinessProbe": probe, **more}


@pytest.fixture
def pods(process_pods: Callable[..., ProcessPods]) -> ProcessPods:
    """A harness whose readiness probes run ten times as often as the kubelet's."""
    return process_pods({"server:test": SERVER}, pace=0.1)


def test_a_deployment_of_two_becomes_ready_on_two_addresses(
    api: ApiClient, pods: ProcessPods, deploy: Deploy, pods_of: PodsOf
):
    """Both pods listen on the same port, each on its own address, and the Deployment counts them as ready."""
    path = deploy("web", replicas=2, container=server())
    eventually(lambda: api.request("GET", path)["status"].get("readyReplicas") == 2, "two ready replicas")
    addresses = {pod["status"]["podIP"] for pod in pods_of("web")}
    assert len(addresses) == 2
    assert [ask(address, "env")["POD_IP"] for address in sorted(addresses)] == sorted(addresses)
    assert all(pod["status"]["phase"] == "Running" for pod in pods_of("web"))


def test_scaling_down_sends_sigterm_and_waits_for_the_process(
    api: ApiClient, pods: ProcessPods, deploy: Deploy, pods_of: PodsOf, tmp_path: Path
):
    """The process that takes its time within the grace period ends by itself, and only then its object goes."""
    (lingers := tmp_path / "lingers").touch()
    env = {"LINGER_FILE": str(lingers)}
    path = deploy("web", replicas=1, container=server(env=env), terminationGracePeriodSeconds=200)
    (name,) = ready(pods_of, "web", 1)
    scale(api, path, 0)
    eventually(lambda: "asked to end" in pods.log(name), "SIGTERM arrives")
    assert pods_of("web")[0]["metadata"]["deletionTimestamp"]
    assert name in pods.processes()
    lingers.unlink()
    eventually(lambda: not pods_of("web"), "the object goes")
    assert pods.log(name).splitlines()[-1] == "stopping"
    assert [(each.pod, each.code) for each in pods.exits()] == [(name, 0)]


def test_a_process_that_outlives_its_grace_period_is_killed(
    api: ApiClient, pods: ProcessPods, deploy: Deploy, pods_of: PodsOf
):
    """After terminationGracePeriodSeconds comes SIGKILL, reported as exit code 137."""
    container = server(env={"LINGER_SECONDS": "60"})
    path = deploy("web", replicas=1, container=container, terminationGracePeriodSeconds=1)
    (name,) = ready(pods_of, "web", 1)
    asked = time.monotonic()
    scale(api, path, 0)
    eventually(lambda: not pods_of("web"), "the object goes")
    assert time.monotonic() - asked >= 1
    assert [(each.pod, each.code) for each in pods.exits()] == [(name, 137)]


def test_a_crash_is_restarted_and_reported(pods: ProcessPods, deploy: Deploy, pods_of: PodsOf):
    """Exit code and restart count are in the status, and the pod keeps its name and address and becomes ready again."""
    deploy("web", replicas=1, container=server())
    (name,) = ready(pods_of, "web", 1)
    before = pods.processes()[name]
    crash(pods.addresses()[name], 3)
    eventually(lambda: container_status(pods_of("web"))["restartCount"] == 1, "the restart is reported")
    assert container_status(pods_of("web"))["lastState"]["terminated"]["exitCode"] == 3
    assert ready(pods_of, "web", 1) == [name]
    assert pods.processes()[name] != before


def test_a_killed_process_is_reported_as_137(pods: ProcessPods, deploy: Deploy, pods_of: PodsOf):
    """Kill -9 from outside, as the kernel's memory killer does it."""
    deploy("web", replicas=1, container=server())
    (name,) = ready(pods_of, "web", 1)
    pods.signal(name, signal.SIGKILL)
    eventually(lambda: container_status(pods_of("web"))["restartCount"] == 1, "the restart is reported")
    assert container_status(pods_of("web"))["lastState"]["terminated"]["exitCode"] == 137


def test_crashes_in_a_row_end_in_crash_loop_back_off(pods: ProcessPods, deploy: Deploy, pods_of: PodsOf):
    """A command that always fails is waiting with the reason that the operator checks for."""
    deploy("web", replicas=1, container=server(command=[sys.executable, "-c", "raise SystemExit(4)"]))
    eventually(lambda: waiting_reason(pods_of("web")) == "CrashLoopBackOff", "back-off is reported")
    assert {each.code for each in pods.exits()} == {4}


def test_a_failing_readiness_probe_makes_the_pod_unready_and_leaves_it_running(
    pods: ProcessPods, deploy: Deploy, pods_of: PodsOf
):
    """Readiness is followed both ways; no restart comes of it."""
    deploy("web", replicas=1, container=server())
    (name,) = ready(pods_of, "web", 1)
    ask(pods.addresses()[name], "break/ready")
    eventually(lambda: condition(pods_of("web")[0], "Ready") == "False", "the pod is unready")
    assert container_status(pods_of("web"))["restartCount"] == 0
    assert name in pods.processes()


def test_a_failing_liveness_probe_restarts_the_container(pods: ProcessPods, deploy: Deploy, pods_of: PodsOf):
    """The process is asked to end and starts again."""
    probe = {"httpGet": {"path": "/alive", "port": 8080}, "periodSeconds": 1, "failureThreshold": 2, **PATIENT}
    deploy("web", replicas=1, container=server(livenessProbe=probe))
    (name,) = ready(pods_of, "web", 1)
    ask(pods.addresses()[name], "break/alive")
    eventually(lambda: container_status(pods_of("web"))["restartCount"] == 1, "the container is restarted")
    assert "asked to end" in pods.log(name)


def test_no_other_probe_counts_before_the_startup_probe_succeeds(pods: ProcessPods, deploy: Deploy, pods_of: PodsOf):
    """A process that starts slowly is neither ready nor killed for its liveness meanwhile."""
    lives = {"httpGet": {"path": "/alive", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1, **PATIENT}
    starts = {"httpGet": {"path": "/alive", "port": 8080}, "periodSeconds": 1, "failureThreshold": 120}
    deploy("web", replicas=1, container=server(env={"START_SECONDS": "1.2"}, livenessProbe=lives, startupProbe=starts))
    ready(pods_of, "web", 1)
    assert container_status(pods_of("web"))["restartCount"] == 0
    assert pods.exits() == []


def test_a_readiness_gate_keeps_the_pod_unready_until_somebody_opens_it(
    api: ApiClient, namespace: str, pods: ProcessPods, deploy: Deploy, pods_of: PodsOf
):
    """Containers ready is not pod ready while a gate's condition is missing, and our status writes leave it alone."""
    gate = "penstock.dev/Accepting"
    deploy("web", replicas=1, container=server(), readinessGates=[{"conditionType": gate}])
    eventually(lambda: condition(only(pods_of("web")), "ContainersReady") == "True", "its container is ready")
    assert condition(pods_of("web")[0], "Ready") == "False"
    name = pods_of("web")[0]["metadata"]["name"]
    opened = {"status": {"conditions": [{"type": gate, "status": "True"}]}}
    strategic = "application/strategic-merge-patch+json"
    api.request("PATCH", f"/api/v1/namespaces/{namespace}/pods/{name}/status", opened, content_type=strategic)
    eventually(lambda: condition(pods_of("web")[0], "Ready") == "True", "the pod is ready")
    assert condition(pods_of("web")[0], gate) == "True"


def test_env_is_resolved_from_values_secrets_config_maps_and_fields(
    api: ApiClient, namespace: str, pods: ProcessPods, deploy: Deploy, pods_of: PodsOf
):
    """The process sees what a container would, and nothing of the test run's own environment."""
    core = f"/api/v1/namespaces/{namespace}"
    api.request("POST", f"{core}/secrets", {"metadata": {"name": "db"}, "stringData": {"url": "postgresql://x"}})
    api.request("POST", f"{core}/configmaps", {"metadata": {"name": "settings"}, "data": {"MODE": "fast"}})
    container = server(env={"PLAIN": "one", "COMPOSED": "$(PLAIN)-$$(PLAIN)-$(NOWHERE)"})
    container["env"] += [
        {"name": "URL", "valueFrom": {"secretKeyRef": {"name": "db", "key": "url"}}},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "ABSENT", "valueFrom": {"secretKeyRef": {"name": "none", "key": "x", "optional": True}}},
    ]
    container["envFrom"] = [{"prefix": "SET_", "configMapRef": {"name": "settings"}}]
    container["args"] = ["--mode=$(SET_MODE)"]
    deploy("web", replicas=1, container=container)
    (name,) = ready(pods_of, "web", 1)
    env = ask(pods.addresses()[name], "env")
    assert (env["PLAIN"], env["COMPOSED"], env["URL"]) == ("one", "one-$(PLAIN)-$(NOWHERE)", "postgresql://x")
    assert (env["NAME"], env["APP"], env["SET_MODE"], env["HOSTNAME"]) == (name, "web", "fast", name)
    assert "ABSENT" not in env
    assert env["HOME"] == "/nonexistent"
    assert pods.log(name).startswith("serving --mode=fast")


def test_a_missing_secret_is_a_config_error_until_it_is_there(
    api: ApiClient, namespace: str, pods: ProcessPods, deploy: Deploy, pods_of: PodsOf
):
    """The container waits with the kubelet's reason, and starts when the Secret appears."""
    container = server()
    container["env"].append({"name": "URL", "valueFrom": {"secretKeyRef": {"name": "db", "key": "url"}}})
    deploy("web", replicas=1, container=container)
    eventually(lambda: waiting_reason(pods_of("web")) == "CreateContainerConfigError", "the reason is reported")
    assert not pods.processes()
    secret = {"metadata": {"name": "db"}, "stringData": {"url": "postgresql://x"}}
    api.request("POST", f"/api/v1/namespaces/{namespace}/secrets", secret)
    ready(pods_of, "web", 1)


def test_an_image_that_nobody_mapped_cannot_be_pulled(pods: ProcessPods, deploy: Deploy, pods_of: PodsOf):
    """A wrong image name is reported as on a node without a way to pull it."""
    deploy("web", replicas=1, container={"image": "server:typo"})
    eventually(lambda: waiting_reason(pods_of("web")) == "ImagePullBackOff", "the reason is reported")
    assert not pods.processes()


def test_a_pod_that_fits_no_node_stays_pending(api: ApiClient, pods: ProcessPods, deploy: Deploy, pods_of: PodsOf):
    """The scheduler's part: a nodeSelector that the node lacks is Unschedulable."""
    deploy("web", replicas=1, container=server(), nodeSelector={"disk": "fast"})
    eventually(lambda: condition(only(pods_of("web")), "PodScheduled") == "False", "the pod is unschedulable")
    assert pods_of("web")[0]["status"]["phase"] == "Pending"
    assert not pods.processes()


def test_what_a_container_forked_ends_with_it(pods: ProcessPods, deploy: Deploy, pods_of: PodsOf):
    """A child in a session of its own does not survive the container, as in a process namespace."""
    deploy("web", replicas=1, container=server())
    (name,) = ready(pods_of, "web", 1)
    child = int(ask(pods.addresses()[name], "fork")["pid"])
    assert alive(child)
    pods.signal(name, signal.SIGKILL)
    eventually(lambda: not alive(child), "the child is gone")


def test_stopping_the_harness_leaves_no_process_and_no_pod(
    pods: ProcessPods, deploy: Deploy, pods_of: PodsOf, api: ApiClient
):
    """However long a process wants to linger, it ends with the harness."""
    path = deploy("web", replicas=2, container=server(env={"LINGER_SECONDS": "60"}))
    names = ready(pods_of, "web", 2)
    pids = [pods.processes()[name] for name in names]
    scale(api, path, 0)
    eventually(lambda: all("asked to end" in pods.log(name) for name in names), "both linger")
    pods.stop()
    assert not any(map(alive, pids))
    eventually(lambda: not pods_of("web"), "the objects are gone")


def test_ten_pods_start_and_end_together(api: ApiClient, pods: ProcessPods, deploy: Deploy, pods_of: PodsOf):
    """0 -> 10 -> 0 without one lost, stuck or counted twice."""
    path = deploy("web", replicas=10, container=server())
    assert len(ready(pods_of, "web", 10)) == 10
    assert len(set(pods.addresses().values())) == 10
    scale(api, path, 0)
    eventually(lambda: not pods_of("web") and not pods.processes(), "all gone")
    assert sorted(each.code for each in pods.exits()) == [0] * 10


def ask(address: str, what: str) -> Any:
    with urllib.request.urlopen(f"http://{address}:8080/{what}", timeout=60) as answer:
        return json.loads(answer.read())


def crash(address: str, code: int) -> None:
    with pytest.raises(OSError, match=r"closed|reset"):
        ask(address, f"crash/{code}")


def scale(api: ApiClient, path: str, replicas: int) -> None:
    api.request("PATCH", f"{path}/scale", {"spec": {"replicas": replicas}}, content_type=MERGE)


def ready(pods_of: PodsOf, name: str, count: int) -> list[str]:
    """Wait until exactly `count` pods are ready; their names."""

    def names() -> list[str]:
        found = [pod["metadata"]["name"] for pod in pods_of(name) if condition(pod, "Ready") == "True"]
        return found if len(found) == count else []

    return eventually(names, f"{count} ready pods of {name}")


def only(pods: list[Any]) -> Any:
    assert len(pods) == 1, f"{len(pods)} pods"
    return pods[0]


def condition(pod: Any, kind: str) -> str:
    found = [each["status"] for each in pod["status"].get("conditions", ()) if each["type"] == kind]
    return found[0] if found else "Unknown"


def container_status(pods: list[Any]) -> Any:
    statuses = only(pods)["status"].get("containerStatuses")
    assert statuses, "no container status yet"
    return statuses[0]


def waiting_reason(pods: list[Any]) -> str:
    return str(container_status(pods)["state"].get("waiting", {}).get("reason"))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
