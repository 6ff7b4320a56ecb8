"""The API server as seen with the operator's token in the wrong hands, and the objects that are written with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.support.api_client import APPLY, MERGE, ApiClient
from tests.support.controlplane import ControlPlane

STRATEGIC = "application/strategic-merge-patch+json"
MANAGED, JOBQUEUE = "app.kubernetes.io/managed-by", "penstock.dev/jobqueue"
LABELS = {MANAGED: "penstock", JOBQUEUE: "emails"}
PAST = "0f0e0d0c-0b0a-4908-8706-050403020100"
COST = "controller.kubernetes.io/pod-deletion-cost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stolen:
    """The API server as seen with the operator's token, and with an administrator's."""

    thief: ApiClient
    admin: ControlPlane
    namespace: str
    uid: str

    def path(self, group: str, *rest: str) -> str:
        return "/".join((group, "namespaces", self.namespace, *rest))

    @property
    def deployments(self) -> str:
        return self.path("/apis/apps/v1", "deployments")

    @property
    def pods(self) -> str:
        return self.path("/api/v1", "pods")

    def owner(self, **changes: Any) -> dict[str, Any]:
        owner = {"apiVersion": "penstock.dev/v1alpha1", "kind": "JobQueue", "name": "emails", "uid": self.uid}
        return {**owner, "controller": True, **changes}

    @property
    def taking(self) -> dict[str, Any]:
        return {"metadata": {"labels": LABELS, "ownerReferences": [self.owner()]}}

    def child(self, name: str, **metadata: Any) -> dict[str, Any]:
        """A Deployment as the operator makes it, but for what is given."""
        labelled = {"labels": LABELS, "ownerReferences": [self.owner()], **metadata}
        return deployment({**labelled, "name": name, "namespace": self.namespace})

    def theirs(self, name: str, **metadata: Any) -> str:
        """The path of a Deployment that an administrator makes."""
        self.admin.request("POST", self.deployments, deployment({**metadata, "name": name}))
        return f"{self.deployments}/{name}"

    def pod(self, name: str, labels: dict[str, str] = LABELS) -> str:
        """The path of a pod that an administrator makes, with an annotation of somebody's."""
        metadata = {"name": name, "labels": labels, "annotations": {"note": "kept"}}
        spec = {"containers": [{"name": "worker", "image": "shop:1"}]}
        self.admin.request("POST", self.pods, {"metadata": metadata, "spec": spec})
        return f"{self.pods}/{name}"

    def report(self, **changes: Any) -> Any:
        """An event as the operator writes it, but for what is given."""
        queue = {"apiVersion": "penstock.dev/v1alpha1", "kind": "JobQueue", "name": "emails"}
        event = {
            "metadata": {"generateName": "emails-"},
            "eventTime": "2026-01-01T00:00:00.000000Z",
            "type": "Normal",
            "regarding": {**queue, "namespace": self.namespace, **changes.pop("regarding", {})},
            "reason": "Scaled",
            "note": "0 to 1",
            "action": "Scale",
            "reportingController": "penstock.dev/operator",
            "reportingInstance": "operator-0",
        }
        return self.thief.request("POST", self.path("/apis/events.k8s.io/v1", "events"), {**event, **changes})

    def apply(self, body: dict[str, Any]) -> Any:
        path = f"{self.deployments}/{body['metadata']['name']}?fieldManager=penstock-template&force=true"
        return self.thief.request("PATCH", path, body, content_type=APPLY)

    def merge(self, path: str, body: dict[str, Any]) -> Any:
        return self.thief.request("PATCH", path, body, content_type=MERGE)


def deployment(metadata: dict[str, Any]) -> dict[str, Any]:
    labels = {"app": metadata["name"], **metadata.get("labels", {})}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "worker", "image": "shop:1"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": pod}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
