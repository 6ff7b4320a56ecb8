"""What the chart renders: from its defaults, over a matrix of values, and what its schema refuses."""

from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from tests.chart import values_table
from tests.support.chart import CHART, only, render

ROOT = CHART.parent.parent
SPREAD: dict[str, Any] = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}
MATRIX: dict[str, dict[str, Any]] = {
    "defaults": {},
    "two namespaces": {"watchNamespaces": ["shop", "mail"]},
    "every namespace": {"watchNamespaces": ["*"]},
    "one replica": {"replicas": 1},
    "by digest": {"image": {"repository": "registry.example.com/penstock-operator", "digest": f"sha256:{'0' * 64}"}},
    "own account": {"serviceAccount": {"create": False, "name": "given"}, "rbac": {"create": False}},
    "without the definition": {"crds": {"enabled": False}},
    "nothing optional": {"podDisruptionBudget": {"enabled": False}, "networkPolicy": {"enabled": False}},
    "monitored": {name: {"render": "always"} for name in ("serviceMonitor", "prometheusRule", "dashboards")},
    "closed metrics": {"networkPolicy": {"metricsFrom": [], "databasePorts": [25060]}},
    "migrated": {"migrations": {"enabled": True, "secretRef": {"name": "owner", "key": "url"}, "timeoutSeconds": 60}},
    "on OpenShift": {"podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}},
    "without security contexts": {"podSecurityContext": None, "securityContext": None},
    "a mirror": {"global": {"imageRegistry": "mirror.example.com:5000/hub", "imagePullSecrets": ["mirror"]}},
    "many databases": {"databases": {"perNamespace": 8}, "resources": {"limits": {"memory": "1Gi"}}},
    "databases through a sidecar": {"databases": {"allowLoopback": True}},
    "without a memory limit": {"databases": {"perNamespace": 100}, "resources": None},
    "guarded": {"admissionPolicy": {"enabled": True}},
    "examined": {"doctor": {"secretRef": {"name": "observer"}, "role": "observer"}, "workerImage": {"tag": "1.2"}},
    "placed": {
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": SPREAD,
        "priorityClassName": "high",
        "podLabels": {"team": "jobs"},
        "podAnnotations": {"note": "x"},
        "commonLabels": {"cost": "shared"},
        "imagePullSecrets": [{"name": "registry"}],
    },
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown value": ({"replicaCount": 2}, "replicaCount"),
    "an unknown value within another": ({"crds": {"install": True}}, "install"),
    "all namespaces and one more": ({"watchNamespaces": ["*", "shop"]}, "watchNamespaces"),
    "a namespace that is no name": ({"watchNamespaces": ["Shop"]}, "watchNamespaces"),
    "no replicas": ({"replicas": 0}, "replicas"),
    "a tag with a space": ({"image": {"tag": "1 0"}}, "tag"),
    "a digest that is a tag": ({"image": {"digest": "1.0"}}, "digest"),
    "an unknown log level": ({"log": {"level": "trace"}}, "level"),
    "a port that needs root": ({"httpPort": 80}, "httpPort"),
    "a secret that is no name": ({"doctor": {"secretRef": {"name": "a b"}}}, "secretRef"),
    "a role that is none": ({"doctor": {"role": "admin"}}, "role"),
    "a namespace without brackets": ({"watchNamespaces": "shop"}, "got string, want array"),
    "a repository with a tag": ({"image": {"repository": "example.com/operator:1.0"}}, "repository"),
    "a label that is none": ({"podLabels": {"team": "a b"}}, "podLabels"),
    "a label that would be two": ({"podMonitor": {"labels": {"a": "b,c=d"}}}, "podMonitor"),
    "an amount that is none": ({"resources": {"limits": {"cpu": "lots"}}}, "resources/limits/cpu"),
    "a class that would be two": ({"priorityClassName": "a: b"}, "priorityClassName"),
    "a selector's label": ({"podLabels": {"app.kubernetes.io/name": "x"}}, "podLabels must not have app.kubernetes"),
    "a label of the chart": ({"commonLabels": {"helm.sh/chart": "x"}}, "commonLabels must not have helm.sh/chart"),
    "a label given twice": ({"commonLabels": {"a": "b"}, "podLabels": {"a": "c"}}, "commonLabels has it"),
    "a field that no pod has": ({"podSecurityContext": {"runAsRoot": False}}, "podSecurityContext"),
    "a field that no container has": ({"securityContext": {"fsGroup": 1}}, "securityContext"),
    "a user that is a name": ({"podSecurityContext": {"runAsUser": "penstock"}}, "runAsUser"),
    "a variable without a name": ({"extraEnv": [{"value": "x"}]}, "extraEnv"),
    "a variable given as a map": ({"extraEnv": {"A": "b"}}, "extraEnv"),
    "a variable of the chart": ({"extraEnv": [{"name": "PENSTOCK_POD_NAME", "value": "x"}]}, "extraEnv must not have"),
    "an argument that is a number": ({"extraArgs": [1]}, "extraArgs"),
    "a volume of the chart": ({"extraVolumes": [{"name": "tmp", "emptyDir": {}}]}, "extraVolumes must not have tmp"),
    "a mount that is relative": ({"extraVolumeMounts": [{"name": "x", "mountPath": "x"}]}, "mountPath"),
    "a mount of the chart": ({"extraVolumeMounts": [{"name": "x", "mountPath": "/tmp/"}]}, "must not have /tmp"),
    "two bundles": ({"caBundle": {"configMapName": "a", "secretName": "b"}}, "not both"),
    "a host without an address": ({"hostAliases": [{"hostnames": ["db"]}]}, "hostAliases"),
    "an unknown DNS field": ({"dnsConfig": {"servers": []}}, "dnsConfig"),
    "a hook among the common annotations": (
        {"commonAnnotations": {"helm.sh/hook": "test"}},
        "commonAnnotations must not have helm.sh/hook",
    ),
    "an object's annotation of Helm's": (
        {"crds": {"annotations": {"helm.sh/resource-policy": "x"}}},
        "crds.annotations must not have helm.sh/resource-policy",
    ),
    "a label of an account that the chart sets": (
        {"serviceAccount": {"labels": {"helm.sh/chart": "x"}}},
        "serviceAccount.labels must not have helm.sh/chart",
    ),
    "a registry with a scheme": ({"global": {"imageRegistry": "https://mirror.example.com"}}, "imageRegistry"),
    "no port of a DNS server": ({"networkPolicy": {"dnsPorts": []}}, "dnsPorts"),
    "more databases than the memory holds": ({"databases": {"perNamespace": 6}}, "limits.memory is 768Mi.*need 776Mi"),
    "more memory for each than there is": ({"databases": {"memoryMiB": 1024}}, "may need 5320Mi"),
    "a limit that holds fewer databases": ({"resources": {"limits": {"memory": "512Mi"}}}, "limits.memory is 512Mi"),
    "loopback that is no boolean": ({"databases": {"allowLoopback": "auto"}}, "allowLoopback"),
    "no port of a database": ({"networkPolicy": {"databasePorts": []}}, "databasePorts"),
}


def test_the_chart_passes_helms_strict_lint():
    """No warning and no error; only the missing icon is remarked on."""
    report = helm_python.lint(CHART, strict=True)
    assert [each["error"] for each in report["messages"]] == ["icon is recommended"]
    assert not report["errors"]


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX.keys())
def test_every_object_is_labelled_and_in_its_place(values: dict[str, Any]):
    """Whatever the values: one Deployment, every object labelled, and namespaced ones only where they belong."""
    objects = render(values, namespace="prod")
    only(objects, "Deployment")
    watched = values.get("watchNamespaces") or []
    for each in objects:
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "penstock"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert values.get("commonLabels", {}).items() <= labels.items()
        assert each["metadata"].get("namespace", "prod") in {"prod", *watched}


@pytest.mark.parametrize(("values", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_the_schema_refuses(values: dict[str, Any], message: str):
    """A wrong value is refused before anything is rendered, and the message names it."""
    with pytest.raises(helm_python.HelmError, match=message):
        render(values)


def test_a_foreign_account_must_be_named():
    """Without an account of its own the operator needs the name of one."""
    with pytest.raises(helm_python.HelmError, match=r"serviceAccount\.name is required"):
        render({"serviceAccount": {"create": False}})


def test_a_release_name_of_maximum_length_leaves_room_for_suffixes():
    """Helm allows 53 characters; names of Services and labels end at 63."""
    everything = {"serviceMonitor": {"render": "always"}, "doctor": {"secretRef": {"name": "observer"}}}
    for each in render(everything, name="r" * 53):
        assert len(each["metadata"]["name"]) <= 63


def test_the_definition_is_a_byte_copy_of_the_api():
    """The chart travels alone, so it carries a copy; `cp crds/jobqueue.yaml charts/penstock/files/` renews it."""
    assert (CHART / "files" / "jobqueue.yaml").read_bytes() == (ROOT / "crds" / "jobqueue.yaml").read_bytes()


def test_rendering_changes_nothing_of_the_definition_but_labels_and_keep():
    """Schema, rules and columns reach the cluster as they are written."""
    (written,) = load(ROOT / "crds" / "jobqueue.yaml")
    rendered = only(render(), "CustomResourceDefinition")
    assert rendered["spec"] == written["spec"]
    assert rendered["metadata"]["name"] == written["metadata"]["name"]
    assert rendered["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    unkept = only(render({"crds": {"keep": False}}), "CustomResourceDefinition")
    assert "annotations" not in unkept["metadata"]


def test_the_readme_lists_every_value_and_its_default():
    """`python -m tests.chart.values_table` renews the table."""
    assert (CHART / "README.md").read_text() == values_table.readme()


def test_the_image_is_that_of_the_charts_version():
    """Tag and digest may be given; a digest wins."""
    assert image(render()) == "penstock-operator:0.1.0"
    assert image(render({"image": {"tag": "1.2"}})) == "penstock-operator:1.2"
    digest = f"sha256:{'a' * 64}"
    assert image(render({"image": {"tag": "1.2", "digest": digest}})) == f"penstock-operator@{digest}"


def test_the_notes_warn_when_uninstalling_would_delete_every_job_queue():
    """A dangerous value is reported when it is chosen."""
    assert "deletes every JobQueue" in notes({"crds": {"keep": False}})
    assert "deletes every JobQueue" not in notes({})
    assert "watches shop, mail." in notes({"watchNamespaces": ["shop", "mail"]})


def test_the_notes_name_the_namespace_of_the_job_queues():
    """The release's own, the first that is watched, or a placeholder where all are."""
    assert "kubectl --namespace prod apply" in notes({})
    assert "kubectl --namespace shop apply" in notes({"watchNamespaces": ["shop", "mail"]})
    assert "kubectl --namespace NAMESPACE apply" in notes({"watchNamespaces": ["*"]})


def image(objects: list[Any]) -> str:
    (container,) = only(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    return str(container["image"])


def notes(values: dict[str, Any]) -> str:
    with helm_python.Chart.load(CHART) as chart:
        return chart.render(values, name="penstock", namespace="prod")["penstock/templates/NOTES.txt"]


def load(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text()))
