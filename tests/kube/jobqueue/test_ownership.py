"""One rule for every child: made, or adopted with our labels and without another controller; else left alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kube.jobqueue.conftest import QUICK, JobQueues, Start, started
from tests.kube.jobqueue.kinds import PodMonitors
from tests.kube.jobqueue.test_failures import becomes
from tests.support.api_client import MERGE, ApiError
from tests.support.waiting import eventually

COLLECTIONS = {
    "Deployment": ("apps/v1", "deployments"),
    "PodDisruptionBudget": ("policy/v1", "poddisruptionbudgets"),
    "PodMonitor": ("monitoring.coreos.com/v1", "podmonitors"),
}
THEIRS = {"app": "theirs"}
SPECS: dict[str, dict[str, Any]] = {
    "Deployment": {
        "replicas": 0,
        "selector": {"matchLabels": THEIRS},
        "template": {"metadata": {"labels": THEIRS}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    },
    "PodDisruptionBudget": {"minAvailable": 1, "selector": {"matchLabels": THEIRS}},
    "PodMonitor": {"selector": {"matchLabels": THEIRS}, "podMetricsEndpoints": [{"port": "theirs"}]},
}


class Objects:
    """Children, and objects of others, of one namespace."""

    def __init__(self, jobqueues: JobQueues) -> None:
        self.api, self.namespace = jobqueues.api, jobqueues.namespace

    def path(self, kind: str, name: str = "") -> str:
        version, plural = COLLECTIONS[kind]
        return f"/apis/{version}/namespaces/{self.namespace}/{plural}/{name}".rstrip("/")

    def get(self, kind: str, name: str = "emails-worker") -> Any:
        try:
            return self.api.request("GET", self.path(kind, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def make(self, kind: str, name: str, **metadata: Any) -> Any:
        version, _ = COLLECTIONS[kind]
        body = {"apiVersion": version, "kind": kind, "metadata": {"name": name, **metadata}, "spec": SPECS[kind]}
        return self.api.request("POST", self.path(kind), body)

    def change(self, kind: str, change: Any, name: str = "emails-worker") -> None:
        self.api.request("PATCH", self.path(kind, name), change, content_type=MERGE)

    def delete(self, kind: str, name: str = "emails-worker") -> None:
        self.api.request("DELETE", self.path(kind, name))

    def controllers(self, name: str = "emails-worker") -> set[str]:
        """Uids of the controllers of all three children."""
        found = [self.get(kind, name) for kind in COLLECTIONS]
        return {
            next((ref["uid"] for ref in (one or {}).get("metadata", {}).get("ownerReferences", ())), "")
            for one in found
        }


@pytest.fixture
def objects(jobqueues: JobQueues, kinds: PodMonitors) -> Objects:
    """Of a cluster that knows PodMonitors."""
    kinds.install()
    return Objects(jobqueues)


def labels(name: str) -> dict[str, str]:
    """Those of our children."""
    return {"app.kubernetes.io/managed-by": "penstock", "penstock.dev/jobqueue": name}


def test_an_object_of_somebody_else_is_neither_written_nor_deleted_whatever_its_kind(
    jobqueues: JobQueues, objects: Objects, operator: Start, pg_url: str
):
    """A condition names kind and object; the same for one with our labels that another controls."""
    map_ = objects.api.request(
        "POST", f"/api/v1/namespaces/{objects.namespace}/configmaps", {"metadata": {"name": "owner"}}
    )
    other = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": map_["metadata"]["uid"]}
    cases = [
        *((kind, f"plain-{kind.lower()}", {}) for kind in COLLECTIONS),
        *((kind, f"owned-{kind.lower()}", {"ownerReferences": [other | {"controller": True}]}) for kind in COLLECTIONS),
    ]
    theirs = {}
    for kind, name, metadata in cases:
        more = metadata | ({"labels": labels(name)} if metadata else {})
        theirs[kind, name] = objects.make(kind, f"{name}-worker", **more)
        jobqueues.create(name, **QUICK)
    started(jobqueues, operator, pg_url)
    for kind, name, _ in cases:
        sentence = becomes(jobqueues, "WorkersAvailable", "False", "NameTaken", name)
        assert f"{kind} {name}-worker" in sentence
        jobqueues.delete(name)
    for kind, name, _ in cases:
        if kind != "Deployment":
            eventually(lambda name=name: objects.get("Deployment", f"{name}-worker") is None, "ours is collected")  # type: ignore[misc]
        found, before = objects.get(kind, f"{name}-worker"), theirs[kind, name]
        for part in ("uid", "labels", "ownerReferences", "generation"):
            assert found["metadata"].get(part) == before["metadata"].get(part), (kind, name, part)
        assert found["spec"] == before["spec"]
        managers = {one["manager"] for one in found["metadata"]["managedFields"]}
        assert not any(one.startswith("penstock") for one in managers), managers


def test_children_that_were_orphaned_are_adopted_by_a_jobqueue_of_the_same_name(
    jobqueues: JobQueues, objects: Objects, operator: Start, pg_url: str
):
    """As after `kubectl delete --cascade=orphan`, and after a restore that kept the reference to a uid of the past."""
    running = started(jobqueues, operator, pg_url)
    first = jobqueues.get()["metadata"]["uid"]
    eventually(lambda: objects.controllers() == {first}, "all three children")
    lasting = ("Deployment", "PodDisruptionBudget")  # a collector that has not met the third kind yet may delete those
    before = {kind: objects.get(kind)["metadata"]["uid"] for kind in lasting}
    running.stop()
    jobqueues.api.request("DELETE", f"{jobqueues.path('emails')}?propagationPolicy=Orphan")
    eventually(lambda: objects.controllers() == {""}, "they are orphans")
    second = jobqueues.create(**QUICK)["metadata"]["uid"]
    operator()
    eventually(lambda: objects.controllers() == {second}, "they are adopted")
    assert {kind: objects.get(kind)["metadata"]["uid"] for kind in lasting} == before
    becomes(jobqueues, "Ready", "True", "Ready")
    jobqueues.delete()
    eventually(lambda: not any(objects.get(kind) for kind in COLLECTIONS), "and go with it")


def test_a_child_that_somebody_deletes_or_edits_is_put_back(
    jobqueues: JobQueues, objects: Objects, operator: Start, pg_url: str
):
    """Also the kinds that no watch shows: deleted, changed, without our labels, without their owner."""
    started(jobqueues, operator, pg_url, PENSTOCK_RELIST_SECONDS="1")
    uid = jobqueues.get()["metadata"]["uid"]
    eventually(lambda: objects.controllers() == {uid}, "all three children")
    specs = {kind: objects.get(kind)["spec"] for kind in COLLECTIONS}

    def whole(kind: str, before: str = "") -> bool:
        found = objects.get(kind)
        return bool(
            found
            and found["metadata"]["uid"] != before
            and labels("emails").items() <= found["metadata"].get("labels", {}).items()
            and [one["uid"] for one in found["metadata"].get("ownerReferences", ())] == [uid]
            and found["spec"] == specs[kind]
        )

    changes = {
        "Deployment": {"spec": {"revisionHistoryLimit": 9}},
        "PodDisruptionBudget": {"spec": {"maxUnavailable": 3}},
        "PodMonitor": {"spec": {"podMetricsEndpoints": [{"port": "theirs"}]}},
    }
    assert all(whole(kind) for kind in COLLECTIONS)
    for kind, change in changes.items():
        for one in (
            change,
            {"metadata": {"labels": dict.fromkeys(labels("emails"))}},
            {"metadata": {"ownerReferences": None}},
        ):
            objects.change(kind, one)
            eventually(lambda kind=kind: whole(kind), f"{kind}: {one} is repaired")  # type: ignore[misc]
        before = objects.get(kind)["metadata"]["uid"]
        objects.delete(kind)
        eventually(lambda kind=kind, before=before: whole(kind, before), f"{kind} is made again")  # type: ignore[misc]


def test_what_a_jobqueue_says_no_more_leaves_the_deployment_that_was_created_with_it(
    jobqueues: JobQueues, operator: Start, pg_url: str
):
    """A creation is noted as an update, whose fields an apply alone would not remove."""
    template = {
        "metadata": {"annotations": {"note": "first"}},
        "spec": {"nodeSelector": {"disk": "fast"}, "containers": [{"name": "worker", "image": "shop:1"}]},
    }
    started(jobqueues, operator, pg_url, worker__template=template)
    made = jobqueues.deployment()["spec"]["template"]
    assert (made["metadata"]["annotations"]["note"], made["spec"]["nodeSelector"]) == ("first", {"disk": "fast"})
    change = {"metadata": {"annotations": None}, "spec": {"nodeSelector": None}}
    jobqueues.patch({"spec": {"worker": {"template": change}}})

    def gone() -> bool:
        found = jobqueues.deployment()["spec"]["template"]
        return "note" not in found["metadata"].get("annotations", {}) and "nodeSelector" not in found["spec"]

    eventually(gone, "both are deleted")
    assert jobqueues.deployment()["spec"]["replicas"] == 0
