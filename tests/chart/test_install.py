"""Helm's own engine against a real API server: install, upgrade, roll back, uninstall."""

import shutil
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from tests.chart.conftest import DEFINITION
from tests.support.api_client import ApiError
from tests.support.chart import CHART
from tests.support.controlplane import ControlPlane
from tests.support.pods import ProcessPods
from tests.support.waiting import eventually
from tests.unit.jobqueue.examples import manifest

APPLY = "application/apply-patch+yaml"
QUEUE = manifest()


def test_an_installed_operator_becomes_ready_in_a_restricted_namespace(
    own_plane: ControlPlane, restricted: str, helm: helm_python.Config, node: ProcessPods
):
    """Pod Security `restricted` admits its pod, its probes succeed, and the definition is established."""
    release = helm.install(CHART, "penstock", wait="watcher", timeout=200)
    assert release["status"] == "deployed"
    deployment = own_plane.request("GET", f"/apis/apps/v1/namespaces/{restricted}/deployments/penstock")
    assert deployment["status"]["readyReplicas"] == 2
    assert len(node.processes()) == 2
    conditions = {each["type"]: each["status"] for each in get(own_plane, DEFINITION)["status"]["conditions"]}
    assert (conditions["Established"], conditions["NamesAccepted"]) == ("True", "True")


def test_an_upgrade_moves_the_roles_to_the_namespaces_now_watched_and_a_rollback_moves_them_back(
    own_plane: ControlPlane, restricted: str, helm: helm_python.Config
):
    """No right stays where the operator no longer watches."""
    helm.install(CHART, "penstock", timeout=200)
    assert has_role(own_plane, restricted)
    helm.upgrade(CHART, "penstock", {"watchNamespaces": ["default"], "replicas": 1}, timeout=200)
    assert has_role(own_plane, "default")
    assert not has_role(own_plane, restricted)
    deployment = f"/apis/apps/v1/namespaces/{restricted}/deployments/penstock"
    assert get(own_plane, deployment)["spec"]["replicas"] == 1
    helm.rollback("penstock", version=1, timeout=200)
    assert has_role(own_plane, restricted)
    assert not has_role(own_plane, "default")
    assert [each["status"] for each in helm.history("penstock")] == ["superseded", "superseded", "deployed"]


def test_uninstalling_keeps_the_definition_and_its_job_queues(
    own_plane: ControlPlane, restricted: str, helm: helm_python.Config
):
    """Everything else goes, and installing again takes the definition over as it is."""
    helm.install(CHART, "penstock", timeout=200)
    created = get(own_plane, DEFINITION)["metadata"]["uid"]
    helm.uninstall("penstock", timeout=200)
    assert not has_role(own_plane, restricted)
    assert get(own_plane, f"/apis/apps/v1/namespaces/{restricted}/deployments")["items"] == []
    assert get(own_plane, DEFINITION)["metadata"]["uid"] == created
    helm.install(CHART, "penstock", timeout=200)
    assert get(own_plane, DEFINITION)["metadata"]["uid"] == created


def test_uninstalling_leaves_nothing_but_the_definition(
    own_plane: ControlPlane, restricted: str, helm: helm_python.Config, node: ProcessPods
):
    """Not even the Lease, which the operator made itself: it goes with the service account."""
    before = left(own_plane, restricted)
    helm.install(CHART, "penstock", {"rbac": {"aggregate": True}}, wait="watcher", timeout=200)
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{restricted}/leases"
    eventually(lambda: len(get(own_plane, leases)["items"]) == 1, "an operator leads")
    helm.uninstall("penstock", timeout=200)
    eventually(lambda: left(own_plane, restricted) <= before, "nothing of the release is left")
    assert get(own_plane, DEFINITION) is not None


def test_without_keep_the_definition_goes_with_the_release(own_plane: ControlPlane, helm: helm_python.Config):
    """Who asks for it gets a cluster without a trace."""
    helm.install(CHART, "penstock", {"crds": {"keep": False}}, timeout=200)
    get(own_plane, DEFINITION)
    helm.uninstall("penstock", timeout=200)
    eventually(lambda: get(own_plane, DEFINITION) is None, "the definition is gone")


def test_the_definitions_schema_is_upgraded_with_the_chart_and_no_job_queue_is_lost(
    own_plane: ControlPlane, restricted: str, helm: helm_python.Config, tmp_path: Path
):
    """What an older chart installed is brought to the newer one's state, which Helm's own crds/ folder never does."""
    older = shutil.copytree(CHART, tmp_path / "penstock")
    definition = older / "files" / "jobqueue.yaml"
    definition.write_text(definition.read_text().replace("- name: WHY\n", "- name: OLD\n"))
    chart = older / "Chart.yaml"
    chart.write_text(chart.read_text().replace("version: 0.1.0\n", "version: 0.0.9\n", 1))
    helm.install(older, "penstock", timeout=200)
    assert "OLD" in columns(own_plane)
    queues = f"/apis/penstock.dev/v1alpha1/namespaces/{restricted}/jobqueues"
    eventually(lambda: served(own_plane, queues), "job queues are served")
    kept = own_plane.request("POST", queues, QUEUE)
    helm.upgrade(CHART, "penstock", timeout=200)
    assert "OLD" not in columns(own_plane)
    assert "WHY" in columns(own_plane)
    assert get(own_plane, f"{queues}/emails")["metadata"]["uid"] == kept["metadata"]["uid"]
    helm.rollback("penstock", version=1, timeout=200)
    assert "OLD" in columns(own_plane)
    assert get(own_plane, f"{queues}/emails")["spec"] == kept["spec"]


def test_a_value_that_the_schema_refuses_installs_nothing(
    own_plane: ControlPlane, restricted: str, helm: helm_python.Config
):
    """The refusal comes before the first object."""
    with pytest.raises(helm_python.HelmError, match="replicaCount"):
        helm.install(CHART, "penstock", {"replicaCount": 3}, timeout=200)
    assert not has_role(own_plane, restricted)
    assert get(own_plane, DEFINITION) is None


def test_a_definition_with_another_owner_is_refused_until_it_is_adopted(
    own_plane: ControlPlane, restricted: str, helm: helm_python.Config
):
    """One that was applied by hand is left out by value, or taken over by the marks that the chart's page names."""
    body = yaml.safe_load((CHART / "files" / "jobqueue.yaml").read_text())
    created = own_plane.request("PATCH", f"{DEFINITION}?fieldManager=kubectl", body, content_type=APPLY)
    with pytest.raises(helm_python.HelmError, match="invalid ownership metadata"):
        helm.install(CHART, "penstock", timeout=200)
    helm.uninstall("penstock", ignore_not_found=True, timeout=200)
    helm.install(CHART, "penstock", {"crds": {"enabled": False}}, timeout=200)
    helm.uninstall("penstock", timeout=200)
    owner = {"meta.helm.sh/release-name": "penstock", "meta.helm.sh/release-namespace": restricted}
    marks = {"metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": owner}}
    own_plane.request("PATCH", DEFINITION, marks, content_type="application/merge-patch+json")
    helm.install(CHART, "penstock", timeout=200)
    assert get(own_plane, DEFINITION)["metadata"]["uid"] == created["metadata"]["uid"]


def test_an_admin_of_a_namespace_may_edit_job_queues_once_the_clusters_roles_have_them(
    own_plane: ControlPlane, restricted: str, helm: helm_python.Config
):
    """What the role `edit` may do is what the API server says that it may."""
    helm.install(CHART, "penstock", {"rbac": {"aggregate": True}}, timeout=200)
    try:
        eventually(lambda: "penstock.dev" in str(rules(own_plane, "edit")), "the role edit includes JobQueues")
        eventually(lambda: "penstock.dev" in str(rules(own_plane, "view")), "the role view includes JobQueues")
        assert "delete" not in str([each for each in rules(own_plane, "view") if "penstock.dev" in str(each)])
    finally:
        helm.uninstall("penstock", timeout=200)
    eventually(lambda: "penstock.dev" not in str(rules(own_plane, "edit")), "they are gone with the release")


def left(plane: ControlPlane, namespace: str) -> set[tuple[str, str]]:
    """Kind and name of every object of the namespace that a person could have made, by the API server's discovery."""
    groups = [f"/apis/{each['preferredVersion']['groupVersion']}" for each in get(plane, "/apis")["groups"]]
    found = set()
    for path in ("/api/v1", *groups):
        for kind in get(plane, path)["resources"]:
            if kind["namespaced"] and {"list", "create"} <= set(kind["verbs"]) and "/" not in kind["name"]:
                if kind["name"] in {"events", "endpoints", "endpointslices"}:
                    continue  # of controllers, gone by themselves
                listed = get(plane, f"{path}/namespaces/{namespace}/{kind['name']}") or {"items": []}
                found |= {(kind["kind"], each["metadata"]["name"]) for each in listed["items"]}
    return found


def rules(plane: ControlPlane, role: str) -> list[Any]:
    found = get(plane, f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{role}")
    return list(found["rules"] or ())


def get(plane: ControlPlane, path: str) -> Any:
    """The object, or None if there is none."""
    try:
        return plane.request("GET", path)
    except ApiError as error:
        if error.status == 404:
            return None
        raise


def served(plane: ControlPlane, path: str) -> bool:
    """Whether the API server knows the kind and has opened its storage."""
    try:
        return get(plane, path) is not None
    except ApiError as error:
        if error.status == 429:
            return False
        raise


def has_role(plane: ControlPlane, namespace: str) -> bool:
    return get(plane, f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles/penstock") is not None


def columns(plane: ControlPlane) -> list[str]:
    return [each["name"] for each in get(plane, DEFINITION)["spec"]["versions"][0]["additionalPrinterColumns"]]
