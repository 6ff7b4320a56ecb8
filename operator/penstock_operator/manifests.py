"""From a JobQueue to the objects that the operator applies for it: Deployment, PodDisruptionBudget, PodMonitor. Pure.

The user's pod template is passed on as it is; what Penstock needs is added where it is silent, and what follows from
the JobQueue (environment, labels, grace period) is the operator's. Defaults make the pod pass Pod Security
`restricted`; what a template says against that stays, and the API server's refusal ends in a condition.

Surprising: the Deployment is built without `replicas`. That number has a field manager and a path of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

from penstock.scaling import QueuePolicy, worker_settings
from penstock.settings import Settings

from .resource import JOBQUEUE_LABEL, MANAGED_BY, JobQueue

HTTP_PORT: Final = 9464
_FROM_SPEC: Final = frozenset(
    f"PENSTOCK_{name}"
    for name in (
        "APP", "QUEUE", "CONCURRENCY", "MIN_DEMAND", "MAX_DEMAND", "EXECUTOR", "DRAIN_TIMEOUT_SECONDS", "MAX_ATTEMPTS",
        "BACKOFF_STRATEGY", "BACKOFF_BASE_SECONDS", "BACKOFF_MAX_SECONDS", "JOB_DEADLINE_SECONDS", "RETENTION_SECONDS",
        "CIRCUIT_FAILURE_PERCENT", "CIRCUIT_MINIMUM_CALLS", "CIRCUIT_WINDOW_SECONDS", "CIRCUIT_OPEN_SECONDS",
        "HTTP_PORT",
    )
)  # fmt: skip
"""Variables that follow from the resource. The others, such as the log level, are the template's to set."""
_FIELDS: Final = {
    "PENSTOCK_POD_NAME": "metadata.name",
    "PENSTOCK_NODE_NAME": "spec.nodeName",
    "PENSTOCK_HTTP_HOST": "status.podIP",
}


def labels(queue: JobQueue) -> dict[str, str]:
    """Labels of the children, and the selector of the worker pods."""
    return {MANAGED_BY[0]: MANAGED_BY[1], JOBQUEUE_LABEL: queue.name}


def selector(queue: JobQueue) -> str:
    """The selector as text, for /scale."""
    return ",".join(f"{key}={value}" for key, value in labels(queue).items())


def deployment(queue: JobQueue) -> dict[str, Any]:
    """The Deployment of a valid JobQueue, without `spec.replicas`."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(queue),
        "spec": {
            "selector": {"matchLabels": labels(queue)},
            "revisionHistoryLimit": 3,
            # A rollout adds before it takes away, so that a queue is never without the workers that it needs.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
            "template": pod_template(queue),
        },
    }


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
    """
    metadata = _metadata(queue)
    metadata["labels"] = {**more, **metadata["labels"]}
    jobqueue = {"sourceLabels": ["__meta_kubernetes_pod_label_penstock_dev_jobqueue"], "targetLabel": "jobqueue"}
    endpoint = {"port": "http", "path": "/metrics", "relabelings": [{**jobqueue, "action": "replace"}]}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": metadata,
        "spec": {"selector": {"matchLabels": labels(queue)}, "podMetricsEndpoints": [endpoint]},
    }


def _metadata(queue: JobQueue) -> dict[str, Any]:
    owner = {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "JobQueue",
        "name": queue.name,
        "uid": queue.uid,
        "controller": True,
        # Deletion in the foreground waits for the children, and needs nobody's help for that.
        "blockOwnerDeletion": False,
    }
    return {"name": queue.child, "namespace": queue.namespace, "labels": labels(queue), "ownerReferences": [owner]}


def pod_template(queue: JobQueue) -> dict[str, Any]:
    """The worker's pod: the user's template, completed."""
    assert queue.policy is not None
    template: dict[str, Any] = copy.deepcopy(dict(queue.template))
    metadata: dict[str, Any] = template.setdefault("metadata", {})
    metadata["labels"] = {
        "app.kubernetes.io/name": "penstock-worker", **(metadata.get("labels") or {}), **labels(queue),
    }  # fmt: skip
    pod: dict[str, Any] = template["spec"]
    grace = pod.setdefault("terminationGracePeriodSeconds", queue.policy.worker.drain_timeout_seconds)
    pod.setdefault("enableServiceLinks", False)
    pod.setdefault("automountServiceAccountToken", False)
    security = pod.setdefault("securityContext", {})
    security.setdefault("runAsNonRoot", True)
    security.setdefault("seccompProfile", {"type": "RuntimeDefault"})
    for container in (*pod["containers"], *pod.get("initContainers", ())):
        _restrict(container)
    worker = next(one for one in pod["containers"] if one["name"] == "worker")
    _complete(worker, queue.policy, grace=grace)
    return template


def _restrict(container: dict[str, Any]) -> None:
    security = container.setdefault("securityContext", {})
    security.setdefault("allowPrivilegeEscalation", False)
    security.setdefault("capabilities", {}).setdefault("drop", ["ALL"])


def _complete(worker: dict[str, Any], policy: QueuePolicy, *, grace: int) -> None:
    if "command" not in worker and "args" not in worker:
        worker["command"] = ["penstock", "worker", policy.worker.app, "--queue", policy.queue_name]
    worker["env"] = _environment(worker.get("env") or [], policy, grace=grace)
    ports = worker.setdefault("ports", [])
    if not any(port.get("name") == "http" for port in ports):
        ports.append({"name": "http", "containerPort": HTTP_PORT, "protocol": "TCP"})
    worker.setdefault("readinessProbe", _probe("/readyz", period=2, failures=1))
    worker.setdefault("livenessProbe", _probe("/healthz", period=10, failures=6))
    worker.setdefault("startupProbe", _probe("/healthz", period=1, failures=60))


def _probe(path: str, *, period: int, failures: int) -> dict[str, Any]:
    check = {"path": path, "port": "http", "scheme": "HTTP"}
    return {"httpGet": check, "periodSeconds": period, "timeoutSeconds": 2, "failureThreshold": failures}


def _environment(given: list[dict[str, Any]], policy: QueuePolicy, *, grace: int) -> list[dict[str, Any]]:
    """The template's own variables, then ours; where both name one that follows from the resource, ours."""
    secret = policy.database_ref.secret_ref
    ours: dict[str, dict[str, Any]] = {
        "PENSTOCK_DATABASE_URL": {"valueFrom": {"secretKeyRef": {"name": secret.name, "key": secret.key}}}
    }
    if policy.database_ref.direct_key is not None:
        reference = {"name": secret.name, "key": policy.database_ref.direct_key}
        ours["PENSTOCK_DIRECT_URL"] = {"valueFrom": {"secretKeyRef": reference}}
    for name, path in _FIELDS.items():
        ours[name] = {"valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}
    told = worker_settings(policy, base=Settings(), drain_timeout_seconds=float(grace), http_port=HTTP_PORT)
    ours |= {name: {"value": value} for name, value in told.to_env(urls=False).items() if name in _FROM_SPEC}
    return [one for one in given if one["name"] not in ours] + [{"name": name, **value} for name, value in ours.items()]
