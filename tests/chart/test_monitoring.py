"""The chart's monitoring objects: made where the cluster knows their kinds, with nothing that these do not know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml
from tools.monitoring.alerts import ALERTS
from tools.monitoring.dashboards import DASHBOARDS

from penstock_operator.settings import OperatorSettings
from tests.chart.test_install import get
from tests.support.api_client import ApiError
from tests.support.chart import CHART, only, render
from tests.support.controlplane import ControlPlane
from tests.support.kube_fixtures import exists
from tests.support.waiting import eventually

GROUP = "monitoring.coreos.com"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
KINDS: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "monitoring_definitions.yaml").read_text())
ALWAYS = {name: {"render": "always"} for name in ("serviceMonitor", "prometheusRule", "dashboards")}
MADE_BY_THE_CHART = ("servicemonitors", "prometheusrules")


@pytest.fixture
def kinds(own_plane: ControlPlane) -> Iterator[None]:
    """The cluster has the Prometheus operator's kinds."""
    for plural, one in KINDS.items():
        own_plane.request("POST", DEFINITIONS, definition(plural, one["kind"], one["spec"]))
    eventually(lambda: all(served(own_plane, plural) for plural in KINDS), "the kinds are served")
    try:
        yield
    finally:
        for plural in KINDS:
            own_plane.request("DELETE", f"{DEFINITIONS}/{plural}.{GROUP}")
        eventually(lambda: not exists(own_plane, f"/apis/{GROUP}"), "the kinds are gone")


def served(plane: ControlPlane, plural: str) -> bool:
    try:
        plane.request("GET", f"/apis/{GROUP}/v1/{plural}")
    except ApiError:
        return False  # not there yet, or its storage is being made
    return True


def definition(plural: str, kind: str, spec: Any) -> Any:
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    names = {"kind": kind, "plural": plural, "singular": plural[:-1], "listKind": f"{kind}List"}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{GROUP}",
            "annotations": {"api-approved.kubernetes.io": "https://github.com/prometheus-operator"},
        },
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def dashboards_in(plane: ControlPlane, namespace: str) -> list[str]:
    query = f"/api/v1/namespaces/{namespace}/configmaps?labelSelector=grafana_dashboard%3D1"
    return [one["metadata"]["name"] for one in plane.request("GET", query)["items"]]


def test_a_cluster_without_the_kinds_gets_none_of_them(
    own_plane: ControlPlane, restricted: str, helm: helm_python.Config
):
    """Nothing is refused, and nothing is there that nobody reads."""
    helm.install(CHART, "penstock", timeout=200)
    assert get(own_plane, f"/api/v1/namespaces/{restricted}/services/penstock-metrics") is None
    assert dashboards_in(own_plane, restricted) == []
    assert "not installed in this cluster" in notes({})


def test_a_cluster_that_knows_the_kinds_gets_them_and_loses_nothing_of_what_they_say(
    own_plane: ControlPlane, restricted: str, kinds: None, helm: helm_python.Config
):
    """Every field survives the kinds' schemas."""
    helm.install(CHART, "penstock", timeout=200)
    rendered = render(ALWAYS, namespace=restricted)
    for plural in MADE_BY_THE_CHART:
        (stored,) = own_plane.request("GET", f"/apis/{GROUP}/v1/namespaces/{restricted}/{plural}")["items"]
        assert stored["spec"] == only(rendered, KINDS[plural]["kind"])["spec"]
    assert len(dashboards_in(own_plane, restricted)) == len(DASHBOARDS)
    service = get(own_plane, f"/api/v1/namespaces/{restricted}/services/penstock-metrics")
    assert service["spec"]["clusterIP"] == "None"


def test_each_kind_can_be_left_out_by_value():
    """And `always` makes it whatever the cluster says, for who renders without one."""
    kinds_by_value = {"serviceMonitor": "ServiceMonitor", "prometheusRule": "PrometheusRule", "dashboards": "ConfigMap"}
    for name, kind in kinds_by_value.items():
        made = {one["kind"] for one in render(ALWAYS | {name: {"render": "never"}})}
        assert made & set(kinds_by_value.values()) == set(kinds_by_value.values()) - {kind}


def test_the_operator_makes_monitors_of_the_workers_with_the_right_to_it_or_not_at_all():
    """The right and the setting go together; labels reach the operator as it reads them."""

    def rendered_monitors(**values: Any) -> tuple[dict[str, str], bool]:
        objects = render({"podMonitor": values}, namespace="prod")
        (container,) = only(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
        env = {one["name"]: one.get("value", "") for one in container["env"]}
        roles = [one for one in objects if one["kind"] == "Role"]
        right = any("podmonitors" in rule["resources"] for role in roles for rule in role["rules"])
        return {name: value for name, value in env.items() if "POD_MONITOR" in name}, right

    assert rendered_monitors() == ({"PENSTOCK_POD_MONITORS": "auto"}, True)
    assert rendered_monitors(render="never") == ({"PENSTOCK_POD_MONITORS": "never"}, False)
    labels = {"release": "kube-prometheus-stack", "app.example.com/team": "jobs"}
    env, _ = rendered_monitors(labels=labels)
    assert OperatorSettings.from_env(env).pod_monitor_labels == labels


def test_the_service_and_the_monitor_select_what_they_are_for():
    """The service has the operator's pods, the monitor that service, by its labels and the name of its port."""
    objects = render(ALWAYS)
    service, monitor = only(objects, "Service"), only(objects, "ServiceMonitor")["spec"]
    pod = only(objects, "Deployment")["spec"]["template"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert [one["name"] for one in service["spec"]["ports"]] == [one["port"] for one in monitor["endpoints"]]
    ports = pod["spec"]["containers"][0]["ports"]
    assert service["spec"]["ports"][0]["targetPort"] in [one["name"] for one in ports]


def test_a_dashboard_reaches_the_cluster_as_it_was_made():
    """One ConfigMap each, found by the sidecar's label, small enough to be one."""
    values = ALWAYS | {"dashboards": {"render": "always", "annotations": {"folder": "Jobs"}}}
    maps = [one for one in render(values) if one["kind"] == "ConfigMap"]
    assert len(maps) == len(DASHBOARDS)
    for one in maps:
        ((name, text),) = one["data"].items()
        file = CHART / "files" / "dashboards" / name.removeprefix("penstock-")
        assert json.loads(text) == json.loads(file.read_text())
        assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert one["metadata"]["annotations"] == {"folder": "Jobs"}


def test_the_schema_knows_the_alerts_and_nothing_else():
    """A misspelt alert is refused, not ignored."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    known = schema["properties"]["prometheusRule"]["properties"]["alerts"]["properties"]
    assert list(known) == [alert.full_name for alert in ALERTS]
    refused: tuple[dict[str, Any], ...] = (
        {"prometheusRule": {"alerts": {"PenstockBacklog": {}}}},
        {"prometheusRule": {"alerts": {"PenstockBacklogAge": {"after": "1m"}}}},
        {"prometheusRule": {"alerts": {"PenstockBacklogAge": {"for": "soon"}}}},
        {"serviceMonitor": {"render": "sometimes"}},
        {"podMonitor": {"enabled": True}},
        {"dashboards": {"labels": {"grafana_dashboard": 1}}},
    )
    for wrong in refused:
        with pytest.raises(helm_python.HelmError):
            render(wrong)


def notes(values: dict[str, Any]) -> str:
    with helm_python.Chart.load(CHART) as chart:
        return chart.render(values, name="penstock", namespace="prod")["penstock/templates/NOTES.txt"]
