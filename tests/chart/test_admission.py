"""A stolen token of the operator, with the admission policy on: it can do what the operator does, and nothing else."""

import secrets
from collections.abc import Iterator
from functools import partial
from typing import Any

import helm_python
import pytest

from tests.chart.conftest import DEFINITION
from tests.chart.stolen_token import COST, JOBQUEUE, LABELS, MANAGED, PAST, STRATEGIC, Stolen
from tests.chart.test_install import QUEUE, get, served
from tests.support.api_client import APPLY, MERGE, ApiError
from tests.support.chart import CHART
from tests.support.controlplane import ControlPlane
from tests.support.kube_fixtures import new_namespace
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def stolen(own_plane: ControlPlane) -> Iterator[Stolen]:
    """An installed operator whose pods never run, its JobQueue `emails`, and its token in the wrong hands."""
    name, kubeconfig = f"stolen-{secrets.token_hex(3)}", own_plane.admin_kubeconfig
    with new_namespace(own_plane, name), helm_python.Config(kubeconfig_path=kubeconfig, namespace=name) as config:
        config.install(CHART, "penstock", {"admissionPolicy": {"enabled": True}}, timeout=200)
        try:
            yield _stolen(own_plane, name)
        finally:
            config.uninstall("penstock", timeout=200)
    own_plane.request("DELETE", DEFINITION)
    eventually(lambda: get(own_plane, DEFINITION) is None, "the definition is gone")


def _stolen(plane: ControlPlane, namespace: str) -> Stolen:
    queues = f"/apis/penstock.dev/v1alpha1/namespaces/{namespace}/jobqueues"
    eventually(lambda: served(plane, queues), "job queues are served")
    uid = plane.request("POST", queues, QUEUE)["metadata"]["uid"]
    thief = plane.client(plane.service_account_token(namespace, "penstock"))
    found = Stolen(thief=thief, admin=plane, namespace=namespace, uid=uid)

    def guarded() -> bool:
        try:
            found.report(reportingController="thief")
        except ApiError as error:
            return "The operator's account" in error.message
        return False

    eventually(guarded, "the policy is in force")
    return found


def test_what_the_operator_does_is_allowed(stolen: Stolen):
    """It makes its children, takes orphans back, scales them, marks pods, writes status, events and its Lease."""
    made = stolen.apply(stolen.child("emails-worker"))
    assert made["metadata"]["ownerReferences"][0]["uid"] == stolen.uid
    stolen.apply(stolen.child("emails-worker", annotations={"changed": "yes"}))
    stolen.merge(f"{stolen.deployments}/emails-worker/scale", {"spec": {"replicas": 0}})
    stolen.theirs("orphan", labels=LABELS)
    stolen.apply(stolen.child("orphan"))
    for annotation in (COST, "karpenter.sh/do-not-disrupt", "cluster-autoscaler.kubernetes.io/safe-to-evict"):
        path = stolen.pod(f"marked-{annotation.partition('/')[2]}")
        stolen.merge(path, {"metadata": {"annotations": {annotation: "-1"}}})
        assert stolen.merge(path, {"metadata": {"annotations": {annotation: None}}})["metadata"]["annotations"] == {
            "note": "kept"
        }
    status = stolen.path("/apis/penstock.dev/v1alpha1", "jobqueues", "emails", "status")
    stolen.merge(status, {"status": {"observedGeneration": 1}})
    stolen.report()
    leases = stolen.path("/apis/coordination.k8s.io/v1", "leases")
    lease = stolen.thief.request("POST", leases, {"metadata": {"name": "penstock"}, "spec": {"holderIdentity": "a"}})
    stolen.thief.request("PUT", f"{leases}/penstock", lease)
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "spec": {"maxUnavailable": 1},
        "metadata": {"name": "emails-worker", "labels": LABELS, "ownerReferences": [stolen.owner()]},
    }
    path = stolen.path("/apis/policy/v1", "poddisruptionbudgets", "emails-worker?fieldManager=x")
    stolen.thief.request("PATCH", path, budget, content_type=APPLY)


@pytest.mark.parametrize(
    "labels",
    [{MANAGED: None, JOBQUEUE: None}, {JOBQUEUE: None}, {MANAGED: "Helm"}, {JOBQUEUE: "other"}],
    ids=["both", "the JobQueue's name", "another's manager", "another's name"],
)
def test_a_child_that_lost_its_labels_gets_them_back(stolen: Stolen, labels: dict[str, str | None]):
    """Its controller says whose it is; refused, no watch by labels would show it again and nothing would scale it."""
    path = f"{stolen.deployments}/{(name := f'bare-{secrets.token_hex(3)}')}"
    stolen.apply(stolen.child(name))
    stolen.admin.request("PATCH", path, {"metadata": {"labels": labels}}, content_type=MERGE)
    refused(lambda: stolen.merge(path, {"metadata": {"annotations": {"x": "y"}}}))
    assert LABELS.items() <= stolen.apply(stolen.child(name))["metadata"]["labels"].items()


def test_a_child_without_labels_stays_with_the_job_queue_that_controls_it(stolen: Stolen):
    """Neither another JobQueue nor a later one of the same name takes it over: without labels only the uid counts."""
    stolen.apply(stolen.child("bare"))
    path = f"{stolen.deployments}/bare"
    for owner in ({"name": "other"}, {"uid": PAST}):
        planted = {"labels": {MANAGED: None, JOBQUEUE: None}, "ownerReferences": [stolen.owner(**owner)]}
        stolen.admin.request("PATCH", path, {"metadata": planted}, content_type=MERGE)
        refused(partial(stolen.merge, path, stolen.taking))


def test_an_orphan_with_our_labels_is_adopted_by_its_metadata_alone(stolen: Stolen):
    """A JobQueue that was deleted with --cascade=orphan, or restored with a new uid, finds its children again."""
    for name, owners in (("left", []), ("past", [stolen.owner(uid=PAST)])):
        path = stolen.theirs(name, labels=LABELS, ownerReferences=owners)
        adopted = stolen.merge(path, {"metadata": {"ownerReferences": [stolen.owner()]}})
        assert [one["uid"] for one in adopted["metadata"]["ownerReferences"]] == [stolen.uid]


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {}},
        {"labels": {MANAGED: "penstock"}},
        {"labels": {**LABELS, MANAGED: "Helm"}},
        {"labels": {**LABELS, JOBQUEUE: "other"}},
        {"ownerReferences": []},
    ],
    ids=["no label", "no JobQueue", "another's manager", "another JobQueue", "no owner"],
)
def test_no_deployment_is_made_that_is_not_a_job_queues(stolen: Stolen, metadata: dict[str, Any]):
    """A thief can start no pods under another name."""
    refused(lambda: stolen.apply(stolen.child("planted", **metadata)))
    assert get(stolen.admin, f"{stolen.deployments}/planted") is None


@pytest.mark.parametrize(
    "owner",
    [{"controller": False}, {"kind": "Deployment", "apiVersion": "apps/v1"}, {"name": "other"}],
    ids=["that does not control", "of another kind", "of another name"],
)
def test_no_deployment_is_made_for_an_owner(stolen: Stolen, owner: dict[str, Any]):
    """Only a JobQueue that controls, and the one that the label names."""
    refused(lambda: stolen.apply(stolen.child("planted", ownerReferences=[stolen.owner(**owner)])))


def test_what_belongs_to_others_is_neither_changed_nor_taken_over_nor_scaled(stolen: Stolen):
    """Without our labels, with another controller, and with a part of our labels."""
    maps = stolen.path("/api/v1", "configmaps")
    uid = stolen.admin.request("POST", maps, {"metadata": {"name": "owner"}})["metadata"]["uid"]
    controller = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    others: dict[str, dict[str, Any]] = {
        "plain": {},
        "controlled": {"labels": LABELS, "ownerReferences": [{**controller, "controller": True}]},
        "similar": {"labels": {JOBQUEUE: "emails"}},
        "renamed": {"labels": {**LABELS, JOBQUEUE: "other"}},
    }
    for name, metadata in others.items():
        path = stolen.theirs(name, **metadata)
        for change in (stolen.taking, {"metadata": {"annotations": {"x": "y"}}}):
            refused(partial(stolen.merge, path, change))
        if MANAGED not in metadata.get("labels", {}):
            refused(partial(stolen.merge, f"{path}/scale", {"spec": {"replicas": 9}}))


def test_a_child_is_not_let_go(stolen: Stolen):
    """Without its owner it would outlive the JobQueue; without its label nobody would know whose it is."""
    path = f"{stolen.deployments}/kept"
    stolen.apply(stolen.child("kept"))
    refused(lambda: stolen.merge(path, {"metadata": {"ownerReferences": None}}))
    refused(lambda: stolen.merge(path, {"metadata": {"labels": {MANAGED: None}}}))


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {"containers": [{"name": "worker", "image": "thief:1"}]}},
        {"spec": {"activeDeadlineSeconds": 1}},
        {"metadata": {"labels": {JOBQUEUE: None}}},
        {"metadata": {"labels": {"app": "web"}}},
        {"metadata": {"annotations": {"note": "forged"}}},
        {"metadata": {"annotations": {"note": None}}},
        {"metadata": {"annotations": {"sidecar.istio.io/inject": "false"}}},
        {"metadata": {"finalizers": ["thief.example.com/kept"]}},
    ],
    ids=[
        "image",
        "deadline",
        "label removed",
        "label added",
        "annotation changed",
        "annotation removed",
        "annotation added",
        "finalizer",
    ],
)
def test_nothing_of_a_pod_changes_but_the_operators_annotations(stolen: Stolen, change: dict[str, Any]):
    """No image, no label by which a Service or a policy selects, no annotation that others read."""
    path = stolen.pod(f"pod-{secrets.token_hex(3)}")
    refused(lambda: stolen.thief.request("PATCH", path, change, content_type=STRATEGIC))
    assert stolen.admin.request("GET", path)["metadata"]["annotations"] == {"note": "kept"}


@pytest.mark.parametrize("labels", [{}, {"app": "web"}, {JOBQUEUE: "emails"}], ids=["none", "others", "half of ours"])
def test_no_pod_of_others_is_marked(stolen: Stolen, labels: dict[str, str]):
    """A cost on somebody's pod would choose what their own scale-down removes."""
    path = stolen.pod(f"web-{secrets.token_hex(3)}", labels)
    refused(lambda: stolen.merge(path, {"metadata": {"annotations": {COST: "-100"}}}))


@pytest.mark.parametrize(
    "change",
    [
        {"reportingController": "deployment-controller"},
        {"regarding": {"apiVersion": "v1", "kind": "Pod", "name": "web"}},
    ],
    ids=["in another's name", "about another's object"],
)
def test_no_event_is_forged(stolen: Stolen, change: dict[str, Any]):
    """What people and alerts read in another controller's name is that controller's."""
    refused(lambda: stolen.report(**change))


def test_no_other_lease_is_made(stolen: Stolen):
    """A role cannot bound the names of what is created; another's Lease would keep that other from leading."""
    body = {"metadata": {"name": "other-controller"}, "spec": {"holderIdentity": "thief"}}
    refused(lambda: stolen.thief.request("POST", stolen.path("/apis/coordination.k8s.io/v1", "leases"), body))


def test_the_policy_applies_to_nobody_else(stolen: Stolen):
    """It asks for the account first; an administrator and other controllers go on as before."""
    stolen.theirs("free", labels={MANAGED: "penstock"})


def refused(write: Any) -> None:
    """By the policy, not by a role or a schema."""
    with pytest.raises(ApiError, match="The operator's account") as refused:
        write()
    assert refused.value.status in {403, 422}
