"""API objects as the cluster would give them, for the claims of this folder."""

from __future__ import annotations

from typing import Any

from penstock_operator.resources.resource import JOBQUEUE_LABEL, Deployment, JobQueue, Pod
from tests.unit.jobqueue.examples import manifest


def jobqueue(*, status: Any = None, metadata: Any = None, **changes: Any) -> JobQueue:
    """A JobQueue `emails` in namespace `shop`, with changes as `manifest` takes them."""
    found = manifest(**changes)
    found["metadata"] |= {
        "uid": "u-1",
        "namespace": "shop",
        "generation": 1,
        "resourceVersion": "10",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        **(metadata or {}),
    }
    if status is not None:
        found["status"] = status
    return JobQueue.read(found)


def replica_set(name: str) -> dict[str, Any]:
    """The reference to the replica set that controls a pod."""
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": f"uid-{name}", "controller": True}


def pod_object(name: str, *, version: str = "1", ready: bool = True, **changes: Any) -> dict[str, Any]:
    """A worker pod of `emails`."""
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": "shop",
        "uid": f"uid-{name}",
        "resourceVersion": version,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {JOBQUEUE_LABEL: "emails"},
        "ownerReferences": [replica_set("emails-worker-5d8f7c")],
    }
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}]}
    metadata |= changes.pop("metadata", {})
    return {"metadata": metadata, "status": status | changes.pop("status", {}), **changes}


def pod(name: str, **changes: Any) -> Pod:
    """Its view."""
    return Pod.read(pod_object(name, **changes))


def deployment_object(**changes: Any) -> dict[str, Any]:
    """The Deployment of `emails`, with nothing going on."""
    found: dict[str, Any] = {
        "metadata": {
            "name": "emails-worker",
            "namespace": "shop",
            "uid": "d-1",
            "resourceVersion": "5",
            "generation": 1,
            "ownerReferences": [{"uid": "u-1", "controller": True}],
        },
        "spec": {"replicas": 2},
        "status": {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2},
    }
    for part, change in changes.items():
        found[part] = found[part] | change
    return found


def deployment(replicas: int, *, sizes: tuple[int, ...] | None = None, **changes: Any) -> Deployment:
    """Its view, with the pods of each replica set, the newest last; one complete set by default."""
    sizes = (replicas,) if sizes is None else sizes
    status = {"replicas": sum(sizes), "updatedReplicas": sizes[-1], "readyReplicas": 0}
    change = {"spec": {"replicas": replicas} | changes.pop("spec", {}), "status": status | changes.pop("status", {})}
    return Deployment.read(deployment_object(**change, **changes))
