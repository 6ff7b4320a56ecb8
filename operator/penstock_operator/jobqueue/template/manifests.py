"""The objects that the operator applies for a JobQueue: Deployment, PodDisruptionBudget, PodMonitor. Pure.

`pod_template` builds the pod template. The Deployment is built without `replicas`: that field has a field manager and a
request of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.jobqueue.deployment import DeploymentSpec, DeploymentStrategy, RollingUpdate, StrategyType

from ...resources.resource import JobQueue
from .pod_template import common_labels, labels, pod_template, worker_container
from .worker_container import probed_port

__all__ = ["deployment", "disruption_budget", "labels", "pod_monitor", "pod_template", "selector"]


def selector(queue: JobQueue) -> str:
    """The selector as text, for /scale."""
    return ",".join(f"{key}={value}" for key, value in labels(queue).items())


def deployment(queue: JobQueue) -> dict[str, Any]:
    """The Deployment of a valid JobQueue, without `spec.replicas`."""
    assert queue.policy is not None
    given = queue.policy.worker.deployment or DeploymentSpec()
    metadata = _metadata(queue, own=given.labels)
    if given.annotations:
        metadata["annotations"] = dict(given.annotations)
    spec: dict[str, Any] = {
        "selector": {"matchLabels": labels(queue)},
        "revisionHistoryLimit": 3,
        "strategy": _strategy(given.strategy or DeploymentStrategy()),
        "template": pod_template(queue),
    }
    if given.min_ready_seconds is not None:
        spec["minReadySeconds"] = given.min_ready_seconds
    if given.progress_deadline_seconds is not None:
        spec["progressDeadlineSeconds"] = given.progress_deadline_seconds
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def _strategy(given: DeploymentStrategy) -> dict[str, Any]:
    """By default a rollout adds pods before it removes any: the queue keeps the workers that it needs."""
    if given.type is StrategyType.RECREATE:
        return {"type": "Recreate"}
    rolling = given.rolling_update or RollingUpdate()
    surge = "25%" if rolling.max_surge is None else rolling.max_surge
    missing = 0 if rolling.max_unavailable is None else rolling.max_unavailable
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": missing}}


def disruption_budget(queue: JobQueue) -> dict[str, Any]:
    """One worker at a time may be evicted; one that is not ready (drained) always."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(queue),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": labels(queue)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def pod_monitor(queue: JobQueue, *, more: Mapping[str, str]) -> dict[str, Any]:
    """Has the workers' metrics scraped, with the JobQueue's name on every series.

    Args:
        queue: whose workers.
        more: labels by which the cluster's Prometheus chooses the monitors that it heeds.

    Raises:
        InvalidTemplate: as `pod_template`.
    """
    metadata = _metadata(queue)
    metadata["labels"] = {**more, **metadata["labels"]}
    jobqueue = {"sourceLabels": ["__meta_kubernetes_pod_label_penstock_dev_jobqueue"], "targetLabel": "jobqueue"}
    port = probed_port(worker_container(pod_template(queue)))
    endpoint = {"port": port, "path": "/metrics", "relabelings": [{**jobqueue, "action": "replace"}]}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": metadata,
        "spec": {"selector": {"matchLabels": labels(queue)}, "podMetricsEndpoints": [endpoint]},
    }


def _metadata(queue: JobQueue, *, own: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Name, labels and owner of a child; `own` are labels of its kind alone. The operator's win."""
    owner = {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "JobQueue",
        "name": queue.name,
        "uid": queue.uid,
        "controller": True,
        # Deletion in the foreground waits for the children, and needs nobody's help for that.
        "blockOwnerDeletion": False,
    }
    made = {**common_labels(queue), **(own or {}), **labels(queue)}
    return {"name": queue.child, "namespace": queue.namespace, "labels": made, "ownerReferences": [owner]}
