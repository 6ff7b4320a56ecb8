"""A user's pod template is completed where it is silent, and never contradicted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from penstock_operator.jobqueue.template import manifests
from penstock_operator.jobqueue.template.pod_template import ADDED, pod_template
from penstock_operator.jobqueue.template.template_schema import InvalidTemplate
from tests.unit.jobqueue.verdicts import WORKER, pod
from tests.unit.operator_parts.objects import jobqueue

PLAIN = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
SECCOMP = {"type": "RuntimeDefault"}


def made(*containers: dict[str, Any], metadata: Any = None, **spec: Any) -> dict[str, Any]:
    """The PodSpec that the operator applies."""
    template = pod(*(containers or (WORKER,)), **spec) | ({} if metadata is None else {"metadata": metadata})
    return dict(pod_template(jobqueue(worker__template=template))["spec"])


def env(spec: dict[str, Any]) -> list[str]:
    return [one["name"] for one in spec["containers"][0]["env"]]


@pytest.mark.parametrize(
    "change",
    [
        {"securityContext": None},
        {"volumes": None, "initContainers": None, "tolerations": None, "serviceAccountName": None},
        {"terminationGracePeriodSeconds": None, "automountServiceAccountToken": None, "os": None, "nodeSelector": None},
        {"securityContext": {"runAsNonRoot": None, "seccompProfile": None, "runAsUser": None, "fsGroup": None}},
    ],
)
def test_a_null_in_the_pod_is_as_if_it_was_not_written(change):
    """What a Helm template without its value leaves empty."""
    assert made(**change) == made()


@pytest.mark.parametrize("name", ["env", "ports", "command", "args", "resources", "securityContext", "readinessProbe"])
def test_a_null_in_a_container_is_as_if_it_was_not_written(name):
    """Of the worker, and of any other."""
    other = {"name": "other", "image": "o:1"}
    assert made(WORKER | {name: None}, other | {name: None}) == made(WORKER, other)
    assert made(WORKER | {"securityContext": {"capabilities": None}}) == made()
    assert made(metadata={"creationTimestamp": None, "labels": None, "annotations": None}) == made()


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("x", "spec.worker.template must be an object, got 'x'"),
        ({}, "spec.worker.template.spec must be given"),
        ({"spec": {"containers": {}}}, "spec.containers must be a list, got an object"),
        ({"spec": {"containers": []}}, "spec.containers must have one container named worker"),
        ({"spec": {"containers": [WORKER, WORKER]}}, "one container named worker, which runs the App, got 2"),
        (pod({"image": "i"}), "spec.containers[0].name must be given"),
        (pod({"name": "worker"}), "spec.containers[0].image must be given"),
        ({"spec": {"containers": [WORKER, "x"]}}, "spec.containers[1] must be an object, got 'x'"),
        ({"spec": {"containers": [WORKER, None]}}, "spec.containers[1] must not be null"),
        (pod(WORKER | {"env": [{"name": "A", "value": 5}]}), "env[0].value must be text (a number or true needs"),
        (pod(WORKER | {"env": {"A": "5"}}), "containers[0].env must be a list, got an object"),
        (pod(WORKER | {"ports": [{"containerPort": "80"}]}), "containerPort must be a whole number, got '80'"),
        (pod(WORKER | {"ports": [{}]}), "ports[0].containerPort must be given"),
        (pod(WORKER | {"securityContext": []}), "securityContext must be an object, got a list"),
        (pod(WORKER | {"securityContext": {"capabilities": {"add": "X"}}}), "capabilities.add must be a list"),
        (pod(WORKER | {"readinessProbe": 3}), "readinessProbe must be an object, got 3"),
        (pod(WORKER, securityContext={"runAsNonRoot": "yes"}), "runAsNonRoot must be true or false, got 'yes'"),
        (pod(WORKER, hostNetwork="true"), "spec.hostNetwork must be true or false, got 'true'"),
        (pod(WORKER, terminationGracePeriodSeconds=True), "must be a whole number, got true"),
        (pod(WORKER, initContainers=[{"name": "a"}]), "initContainers[0].image must be given"),
        ({"metadata": {"labels": {"a": 1}}, **pod(WORKER)}, "metadata.labels.a must be text"),
    ],
)
def test_a_wrong_type_is_named_by_path_rule_and_value(template, words):
    """One sentence, whatever is wrong first."""
    queue = replace(jobqueue(), template=template)
    with pytest.raises(InvalidTemplate, match=r"^spec\.worker\.template") as raised:
        pod_template(queue)
    assert words in str(raised.value)


def test_the_value_of_a_variable_is_never_repeated():
    """It may be a password that was not quoted."""
    with pytest.raises(InvalidTemplate) as raised:
        made(WORKER | {"env": [{"name": "PIN", "value": 4711}]})
    assert "4711" not in str(raised.value)


@pytest.mark.parametrize(
    "context",
    [
        {"runAsUser": 0},
        {"privileged": True},
        {"capabilities": {"add": ["SYS_ADMIN"]}},
        {"capabilities": {"add": ["CAP_SYS_ADMIN"]}},
        {"capabilities": {"add": ["ALL"]}},
    ],
)
def test_a_container_that_asks_for_privileges_gets_them(context):
    """Nothing that contradicts is added to it; the other container has its defaults, each for itself."""
    spec = made(WORKER, {"name": "other", "image": "o:1", "securityContext": context})
    mine, other = spec["containers"]
    assert other["securityContext"].items() >= context.items()
    assert other["securityContext"].keys() - context.keys() <= {"seccompProfile"}
    assert mine["securityContext"].items() >= {**PLAIN, "runAsNonRoot": True}.items()
    assert "runAsNonRoot" not in spec.get("securityContext", {})


def test_a_pod_that_runs_as_root_gets_root_but_for_the_container_that_does_not():
    """A uid of the pod counts for all; one of a container counts more."""
    spec = made(
        WORKER | {"securityContext": {"runAsUser": 7}},
        {"name": "b", "image": "b"},
        securityContext={
            "runAsUser": 0,
        },
    )
    assert spec["securityContext"] == {"runAsUser": 0, "seccompProfile": SECCOMP}
    assert spec["containers"][0]["securityContext"] == {"runAsUser": 7, **PLAIN, "runAsNonRoot": True}
    assert "securityContext" not in spec["containers"][1]


def test_seccomp_is_for_all_but_the_privileged():
    """Whose profile the runtime ignores."""
    spec = made(WORKER, {"name": "b", "image": "b", "securityContext": {"privileged": True}})
    assert "seccompProfile" not in spec.get("securityContext", {})
    assert [one["securityContext"].get("seccompProfile") for one in spec["containers"]] == [SECCOMP, None]


@pytest.mark.parametrize("windows", [{"os": {"name": "windows"}}, {"nodeSelector": {"kubernetes.io/os": "windows"}}])
def test_a_windows_pod_gets_no_linux_fields(windows):
    """The API server would refuse them."""
    spec = made(**windows)
    assert "securityContext" not in spec
    assert "securityContext" not in spec["containers"][0]


def test_what_the_template_says_about_security_stays():
    """Each field, at either level."""
    own = {"allowPrivilegeEscalation": True, "capabilities": {"drop": ["NET_RAW"], "add": ["NET_BIND_SERVICE"]}}
    context = {"runAsNonRoot": False, "seccompProfile": {"type": "Unconfined"}, "fsGroup": 9}
    spec = made(WORKER | {"securityContext": own}, securityContext=context)
    assert spec["securityContext"] == context
    assert spec["containers"][0]["securityContext"] == own


def test_a_port_named_http_is_the_apps_and_our_probes_ask_ours():
    """What `helm create` writes."""
    worker = made(WORKER | {"ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]})["containers"][0]
    assert [one["name"] for one in worker["ports"]] == ["http", "penstock"]
    assert {worker[f"{one}Probe"]["httpGet"]["port"] for one in ("readiness", "liveness", "startup")} == {"penstock"}


@pytest.mark.parametrize(
    ("ports", "name", "number"),
    [
        ([{"containerPort": 9464}], "penstock", 9464),
        ([{"containerPort": 9464, "name": "metrics"}], "metrics", 9464),
        ([{"containerPort": 9464, "name": "http", "hostPort": 9464}], "http", 9464),
        ([{"containerPort": 7000, "name": "penstock"}], "penstock", 7000),
        ([{"containerPort": 7000, "name": "penstock"}, {"containerPort": 9464}], "penstock", 7000),
        ([{"containerPort": 53, "name": "penstock", "protocol": "UDP"}], "penstock-0", 9464),
        ([{"containerPort": 9464, "protocol": "UDP"}], "penstock", 9464),
    ],
)
def test_a_port_that_the_template_declares_for_us_is_used(ports, name, number):
    """By name or by number; the worker listens there, the probes and Prometheus ask there, and none is there twice."""
    template = pod(WORKER | {"ports": ports})
    queue = jobqueue(worker__template=template)
    worker = pod_template(queue)["spec"]["containers"][0]
    keys = [(one["containerPort"], one.get("protocol", "TCP")) for one in worker["ports"]]
    assert len(keys) == len(set(keys))
    assert worker["readinessProbe"]["httpGet"]["port"] == name
    assert {"name": "PENSTOCK_HTTP_PORT", "value": str(number)} in worker["env"]
    (endpoint,) = manifests.pod_monitor(queue, more={})["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] == name


def test_another_containers_port_is_not_ours():
    """The containers of a pod share one address; an exporter of OpenTelemetry has 9464 by default too."""
    other = {"name": "otel", "image": "o", "ports": [{"containerPort": 9464, "name": "penstock"}]}
    worker = made(WORKER, other)["containers"][0]
    assert worker["ports"] == [{"name": "penstock", "containerPort": 9465, "protocol": "TCP"}]


def test_the_port_can_be_chosen_by_its_variable():
    """Where pods share the node's network."""
    worker = made(WORKER | {"env": [{"name": "PENSTOCK_HTTP_PORT", "value": "7001"}]}, hostNetwork=True)["containers"][
        0
    ]
    assert worker["ports"] == [{"name": "penstock", "containerPort": 7001, "protocol": "TCP"}]
    assert [one for one in worker["env"] if one["name"] == "PENSTOCK_HTTP_PORT"] == [
        {"name": "PENSTOCK_HTTP_PORT", "value": "7001"}
    ]


def test_our_variables_come_before_the_templates_own():
    """Else `$(PENSTOCK_POD_NAME)` in one of theirs is never expanded; theirs keep their order."""
    own = [{"name": "B", "value": "$(PENSTOCK_POD_NAME)"}, {"name": "A", "value": "$(B)"}]
    names = env(made(WORKER | {"env": own}))
    assert names[-2:] == ["B", "A"]
    assert "PENSTOCK_POD_NAME" in names[:-2]


def test_the_address_that_the_template_chooses_is_kept():
    """It does not follow from the JobQueue."""
    own = [{"name": "PENSTOCK_HTTP_HOST", "value": "0.0.0.0"}]
    (found,) = [one for one in made(WORKER | {"env": own})["containers"][0]["env"] if one["name"] == own[0]["name"]]
    assert found == own[0]


@pytest.mark.parametrize("named", [{"serviceAccountName": "mailer"}, {"serviceAccount": "mailer"}])
def test_the_token_is_left_alone_where_a_service_account_is_named(named):
    """A template that names one wants to use it."""
    assert "automountServiceAccountToken" not in made(**named)
    assert made()["automountServiceAccountToken"] is False


def test_probes_without_a_check_get_ours_and_keep_their_numbers():
    """A probe with a check of its own is the template's."""
    own = {"tcpSocket": {"port": 80}}
    worker = made(WORKER | {"readinessProbe": {"periodSeconds": 7}, "livenessProbe": own, "startupProbe": {}})
    (container,) = worker["containers"]
    assert container["readinessProbe"]["periodSeconds"] == 7
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"] == own
    assert container["startupProbe"]["httpGet"]["path"] == "/healthz"


def test_a_worker_has_ten_minutes_to_start():
    """An application that loads a model, or a node without a free CPU, is not restarted again and again."""
    probe = made(WORKER)["containers"][0]["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 600


def test_a_hook_that_sleeps_before_sigterm_shortens_the_drain_not_the_job():
    """The grace period counts from the hook's start."""
    spec = made(WORKER | {"lifecycle": {"preStop": {"sleep": {"seconds": 20}}}})
    assert spec["terminationGracePeriodSeconds"] == 3620
    assert {"name": "PENSTOCK_DRAIN_TIMEOUT_SECONDS", "value": "3600"} in spec["containers"][0]["env"]


@pytest.mark.parametrize(
    ("own", "added"),
    [
        ([], 2),
        ([{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}], 1),
        ([{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}], 1),
        ([{"operator": "Exists"}], 0),
        ([{"operator": "Exists", "effect": "NoSchedule"}], 2),
        ([{"key": "spot", "operator": "Exists"}], 2),
    ],
)
def test_pods_of_a_lost_node_are_replaced_after_30_seconds_unless_the_template_says(own, added):
    """Kubernetes' default is 300; a lease ends after 15."""
    found = made(tolerations=own)["tolerations"]
    assert found[: len(own)] == own
    assert [one["tolerationSeconds"] for one in found[len(own) :]] == [30] * added


def test_sidecars_and_init_containers_are_completed_like_the_worker():
    """Crash messages and security defaults; the worker's probes and variables are its own."""
    spec = made(WORKER, initContainers=[{"name": "proxy", "image": "p", "restartPolicy": "Always"}])
    (proxy,) = spec["initContainers"]
    assert proxy == {
        "name": "proxy",
        "image": "p",
        "restartPolicy": "Always",
        "securityContext": PLAIN,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def test_every_default_that_is_added_is_listed():
    """What the least template gets, field by field, is the table of the reference."""
    template = pod_template(jobqueue())
    (worker,) = template["spec"]["containers"]
    found = {"metadata.labels"}
    found |= {f"spec.{name}" for name in template["spec"].keys() - {"containers", "securityContext"}}
    found |= {f"spec.securityContext.{name}" for name in template["spec"]["securityContext"]}
    found |= {f"worker: {name}" for name in worker.keys() - {*WORKER, "securityContext", "terminationMessagePolicy"}}
    found |= {
        "container: securityContext.allowPrivilegeEscalation",
        "container: securityContext.capabilities.drop",
        "container: terminationMessagePolicy",
    }
    assert worker["securityContext"] == PLAIN
    assert found == {one.field for one in ADDED}
