"""Every pod-level value reaches every pod of the chart: the operator's, the migration's and that of `helm test`."""

import re
from collections.abc import Iterator
from typing import Any

import helm_python
import pytest
import yaml

from tests.support.chart import CHART, only, render

ONCE: dict[str, Any] = {
    "migrations": {"enabled": True, "secretRef": {"name": "owner"}},
    "doctor": {"secretRef": {"name": "observer"}},
}
SPREAD = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
NODES: dict[str, Any] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}
BUNDLE = {"configMapName": "authorities", "key": "root.pem"}
POD_VALUES: dict[str, tuple[Any, str]] = {
    "podAnnotations": ({"note": "x"}, "metadata.annotations"),
    "podLabels": ({"team": "jobs"}, "metadata.labels"),
    "podSecurityContext": ({"runAsUser": 1000680000}, "spec.securityContext"),
    "securityContext": ({"privileged": False}, "spec.containers.securityContext"),
    "extraEnv": ([{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}], "spec.containers.env"),
    "extraVolumes": ([{"name": "more", "emptyDir": {}}], "spec.volumes"),
    "extraVolumeMounts": ([{"name": "more", "mountPath": "/more"}], "spec.containers.volumeMounts"),
    "hostAliases": ([{"ip": "10.0.0.7", "hostnames": ["db.internal"]}], "spec.hostAliases"),
    "dnsPolicy": ("Default", "spec.dnsPolicy"),
    "dnsConfig": ({"searches": ["shop.svc"]}, "spec.dnsConfig"),
    "runtimeClassName": ("gvisor", "spec.runtimeClassName"),
    "priorityClassName": ("high", "spec.priorityClassName"),
    "nodeSelector": ({"disk": "fast"}, "spec.nodeSelector"),
    "tolerations": ([{"operator": "Exists"}], "spec.tolerations"),
    "affinity": (NODES, "spec.affinity"),
    "topologySpreadConstraints": ([SPREAD], "spec.topologySpreadConstraints"),
    "imagePullSecrets": ([{"name": "registry"}], "spec.imagePullSecrets"),
    "commonLabels": ({"cost": "shared"}, "metadata.labels"),
    "commonAnnotations": ({"owner": "jobs"}, "metadata.annotations"),
}
"""Value -> what it is set to, and where each pod has it."""
NOT_OF_EVERY_POD = {"extraArgs": "of the operator's program", "caBundle": "a volume, a mount and a variable"}
ANNOTATED = {
    "crds": "CustomResourceDefinition",
    "serviceAccount": "ServiceAccount",
    "rbac": "Role",
    "podDisruptionBudget": "PodDisruptionBudget",
    "networkPolicy": "NetworkPolicy",
    "serviceMonitor": "ServiceMonitor",
    "prometheusRule": "PrometheusRule",
    "dashboards": "ConfigMap",
    "migrations": "Job",
    "doctor": "Pod",
    "admissionPolicy": "ValidatingAdmissionPolicy",
}
"""Value with `annotations` -> a kind that gets them."""
EVERYTHING: dict[str, Any] = {
    **ONCE,
    **{name: {"render": "always"} for name in ("serviceMonitor", "prometheusRule", "dashboards")},
    "admissionPolicy": {"enabled": True},
    "rbac": {"aggregate": True},
}


@pytest.fixture(scope="module")
def filled() -> dict[str, Any]:
    """Component -> its pod, with every pod-level value set at once."""
    return pods({name: value for name, (value, _) in POD_VALUES.items()})


@pytest.mark.parametrize("name", POD_VALUES)
def test_a_pod_level_value_reaches_every_pod(name: str, filled: dict[str, Any]):
    """A pod that needs a proxy, a toleration or a priority needs it for the migration too."""
    value, where = POD_VALUES[name]
    assert filled.keys() == {"operator", "migrate", "doctor"}
    for component, pod in filled.items():
        assert includes(at(pod, where), value), (component, at(pod, where))


def test_no_pod_level_value_is_left_out_of_this_test():
    """The values file says which are of every pod; a new one is tested or has its reason."""
    text = (CHART / "values.yaml").read_text()
    _, _, section = text.partition("# What follows is of every pod of the chart")
    names = set(re.findall(r"^([a-zA-Z]+):", section, re.MULTILINE))
    assert names <= POD_VALUES.keys() | NOT_OF_EVERY_POD.keys()
    assert len(names) > 15


@pytest.mark.parametrize("name", ["runAsUser", "runAsGroup", "fsGroup"])
def test_null_takes_a_field_of_the_security_context_away(name: str):
    """OpenShift gives each namespace users of its own and refuses a pod that asks for another."""
    for pod in pods({"podSecurityContext": {name: None}}).values():
        assert pod["spec"]["securityContext"].keys() == {
            "runAsNonRoot",
            "runAsUser",
            "runAsGroup",
            "fsGroup",
            "seccompProfile",
        } - {name}


@pytest.mark.parametrize("name", ["podSecurityContext", "securityContext"])
def test_null_takes_a_whole_security_context_away(name: str):
    """For a cluster where an admission policy sets all of it."""
    for pod in pods({name: None}).values():
        (container,) = pod["spec"]["containers"]
        assert "securityContext" not in (pod["spec"] if name == "podSecurityContext" else container)


def test_the_token_can_be_read_by_any_user_that_the_cluster_assigns():
    """With a group of the pod by user and group alone; without one by a user whose number nobody knows here."""
    modes = {}
    for group in (65532, 0, None):
        pod = pods({"podSecurityContext": {"fsGroup": group}})["operator"]
        (volume,) = [each for each in pod["spec"]["volumes"] if each["name"] == "kube-api-access"]
        modes[group] = volume["projected"]["defaultMode"]
    assert modes == {65532: 0o440, 0: 0o440, None: 0o444}


@pytest.mark.parametrize(
    ("values", "volume"),
    [
        ({"configMapName": "authorities", "key": "root.pem"}, {"configMap": {"name": "authorities"}}),
        ({"secretName": "authorities", "key": "root.pem"}, {"secret": {"secretName": "authorities"}}),
    ],
    ids=["ConfigMap", "Secret"],
)
def test_the_certificates_of_authorities_reach_every_pod(values: Any, volume: Any):
    """Mounted, and named to OpenSSL, by which `sslrootcert=system` verifies."""
    for pod in pods({"caBundle": values}).values():
        (container,) = pod["spec"]["containers"]
        assert {"name": "SSL_CERT_FILE", "value": "/etc/penstock/ca/root.pem"} in container["env"]
        assert {"name": "ca-bundle", "mountPath": "/etc/penstock/ca", "readOnly": True} in container["volumeMounts"]
        (found,) = [each for each in pod["spec"]["volumes"] if each["name"] == "ca-bundle"]
        ((kind, source),) = volume.items()
        assert found[kind] == source | {"items": [{"key": "root.pem", "path": "root.pem"}]}


def test_a_variable_that_the_chart_sets_is_refused_among_the_extra_ones():
    """The later of two would win, and the value of the chart would do nothing, silently."""
    values: dict[str, Any] = {"podMonitor": {"labels": {"a": "b"}}, "caBundle": BUNDLE}
    for component, pod in pods(values).items():
        (container,) = pod["spec"]["containers"]
        assert container["env"], component
        for variable in container["env"]:
            with pytest.raises(helm_python.HelmError, match="extraEnv must not have"):
                pods({**values, "extraEnv": [{"name": variable["name"], "value": "x"}]})


def test_arguments_reach_the_program_that_they_are_for():
    """The operator's, the migration's and the doctor's are different programs."""
    given: dict[str, Any] = {
        "extraArgs": ["--log-level=debug"],
        "migrations": {"extraArgs": ["--roles"]},
        "doctor": {"extraArgs": ["--json"]},
    }
    arguments = {component: pod["spec"]["containers"][0]["args"] for component, pod in pods(given).items()}
    wanted = {"operator": ["--log-level=debug"], "migrate": ["migrate", "--roles"], "doctor": ["doctor", "--json"]}
    assert arguments == wanted


def test_what_runs_once_has_amounts_of_its_own():
    """A quota may want others; `null` takes one away."""
    for name, component in (("migrations", "migrate"), ("doctor", "doctor")):
        (container,) = pods({name: {"resources": {"limits": {"cpu": None, "memory": "1Gi"}}}})[component]["spec"][
            "containers"
        ]
        assert container["resources"]["limits"] == {"memory": "1Gi", "ephemeral-storage": "64Mi"}


@pytest.mark.parametrize(
    ("repository", "wanted"),
    [
        ("penstock-operator", "mirror.example.com:5000/penstock-operator"),
        ("team/operator", "mirror.example.com:5000/team/operator"),
        ("ghcr.io/team/operator", "mirror.example.com:5000/team/operator"),
        ("localhost/operator", "mirror.example.com:5000/operator"),
        ("registry:5000/operator", "mirror.example.com:5000/operator"),
    ],
)
def test_the_global_registry_takes_the_place_of_an_images_own(repository: str, wanted: str):
    """Of both images, with a tag and with a digest, and the global pull secrets come before the chart's."""
    mirror = {"imageRegistry": "mirror.example.com:5000", "imagePullSecrets": ["mirror", {"name": "hub"}]}
    image = {"repository": repository, "tag": "1.2"}
    values = {"global": mirror, "image": image, "workerImage": image, "imagePullSecrets": [{"name": "hub"}]}
    for pod in pods(values).values():
        assert pod["spec"]["containers"][0]["image"] == f"{wanted}:1.2"
        assert pod["spec"]["imagePullSecrets"] == [{"name": "mirror"}, {"name": "hub"}]
    digest = f"sha256:{'a' * 64}"
    pod = pods({"global": mirror, "image": {**image, "digest": digest}})["operator"]
    assert pod["spec"]["containers"][0]["image"] == f"{wanted}@{digest}"


def test_more_egress_is_of_every_pod_that_has_a_policy():
    """A database on a port of its own applies to the migration too."""
    rule = {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 25060, "protocol": "TCP"}]}
    policies = [
        each
        for each in render(ONCE | {"networkPolicy": {"extraEgress": [rule], "dnsPorts": [54]}})
        if each["kind"] == "NetworkPolicy"
    ]
    assert len(policies) == 3
    for policy in policies:
        first, second = policy["spec"]["egress"]
        assert second == rule
        assert {port["port"] for port in first["ports"] if port["protocol"] == "UDP"} == {54}


@pytest.mark.parametrize("common", [{}, {"owner": "jobs", "note": "common"}], ids=["alone", "with common ones"])
def test_every_object_has_its_own_annotations_and_the_common_ones(common: dict[str, str]):
    """An object's own wins over a common one, and what the chart itself needs stays."""
    own = {name: {**EVERYTHING.get(name, {}), "annotations": {"note": name}} for name in ANNOTATED}
    deployment = {"commonAnnotations": common, "deploymentAnnotations": {"note": "deployment"}}
    objects = render({**EVERYTHING, **own, **deployment})
    for name, kind in {**ANNOTATED, "deployment": "Deployment"}.items():
        found = [each["metadata"]["annotations"] for each in objects if each["kind"] == kind]
        assert found
        for annotations in found:
            assert annotations.items() >= {**common, "note": name}.items(), (kind, annotations)
    for each in objects:
        assert each["metadata"].get("annotations", {}).keys() >= common.keys()
    assert only(objects, "CustomResourceDefinition")["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert only(objects, "Job")["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"


def test_no_value_with_annotations_is_left_out_of_this_test():
    """A new object has its value, and the value its row."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    found = {name for name, value in values.items() if isinstance(value, dict) and "annotations" in value}
    assert found == ANNOTATED.keys()


def test_an_account_has_labels_of_its_own():
    """A cloud's identity may be chosen by a label."""
    account = only(render({"serviceAccount": {"labels": {"azure.workload.identity/use": "true"}}}), "ServiceAccount")
    assert account["metadata"]["labels"]["azure.workload.identity/use"] == "true"


def test_hooks_that_succeeded_leave_nothing_for_the_uninstall_to_miss():
    """Helm's uninstall does not know hooks: each is removed when it has succeeded, and a failed Job after a day."""
    hooks = [each for each in render(ONCE) if "helm.sh/hook" in each["metadata"].get("annotations", {})]
    assert {each["kind"] for each in hooks} == {"Job", "Pod", "NetworkPolicy"}
    for each in hooks:
        assert each["metadata"]["annotations"]["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
    assert only(hooks, "Job")["spec"]["ttlSecondsAfterFinished"] == 86400


def test_the_operator_has_two_minutes_to_start_in():
    """A pod that starts slowly, on a busy node or with a slow API server, is not restarted for it."""
    (container,) = pods({})["operator"]["spec"]["containers"]
    probe = container["startupProbe"]
    assert probe["httpGet"]["path"] == container["livenessProbe"]["httpGet"]["path"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 120


def pods(values: dict[str, Any]) -> dict[str, Any]:
    """Component -> its pod or pod template, everything turned on."""
    merged = {**ONCE, **values}
    for name, fixed in ONCE.items():
        merged[name] = {**fixed, **values.get(name, {})}
    return {pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod for pod in _pods(render(merged))}


def _pods(objects: list[Any]) -> Iterator[Any]:
    for each in objects:
        if each["kind"] == "Pod":
            yield each
        elif "template" in each.get("spec", {}):
            yield each["spec"]["template"]


def at(found: Any, path: str) -> Any:
    for name in path.split("."):
        found = found[name]
        if name == "containers":
            (found,) = found
    return found


def includes(found: Any, value: Any) -> bool:
    """Whether all of the value is there; the chart may have more in the same place."""
    if isinstance(value, dict):
        return all(includes(found.get(key), each) for key, each in value.items())
    if isinstance(value, list):
        return all(each in found for each in value)
    return bool(found == value)
