"""The pod template of a worker: the user's template, normalized, then completed with defaults. Pure.

What follows from the JobQueue (variables, labels, grace period) is the operator's; everything else is the template's. A
default is added only where it cannot contradict what is there. `ADDED` lists every one of them and is the table of the
reference; a test compares it with what is added.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ...resources.resource import JOBQUEUE_LABEL, MANAGED_BY, JobQueue
from .database_variables import mount_certificates
from .pod_security import restrict
from .template_schema import ROOT, InvalidTemplate, normalized
from .worker_container import WORKER, complete

LOST_NODE_SECONDS: Final = 30
"""A pod on a node that is gone is replaced after so long: leases make that safe. Kubernetes' own default is 300."""
_NODE_TAINTS: Final = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


@dataclass(frozen=True, slots=True)
class Added:
    """One default: the field of the pod, the value, and when it is not added although the template lacks the field."""

    field: str
    value: str
    unless: str = ""


_PRIVILEGED: Final = "a container runs as uid 0, is privileged, or adds capabilities: then the others get it"
_OWN: Final = "the container runs as uid 0, is privileged, or adds capabilities"
ADDED: Final = (
    Added("metadata.labels", "`app.kubernetes.io/name: penstock-worker` and the operator's own, which take precedence"),
    Added("spec.terminationGracePeriodSeconds", "`drainTimeoutSeconds`, plus the seconds of a `preStop.sleep`"),
    Added("spec.enableServiceLinks", "`false`"),
    Added("spec.automountServiceAccountToken", "`false`", "a service account is named"),
    Added("spec.tolerations", "30 s for unreachable and not-ready nodes", "the key is tolerated"),
    Added("spec.securityContext.runAsNonRoot", "`true`", _PRIVILEGED),
    Added("spec.securityContext.seccompProfile", "`RuntimeDefault`", "a container is privileged: the others get it"),
    Added("container: securityContext.allowPrivilegeEscalation", "`false`", _OWN),
    Added("container: securityContext.capabilities.drop", "`[ALL]`", _OWN),
    Added("container: terminationMessagePolicy", "`FallbackToLogsOnError`"),
    Added("worker: command", "`penstock worker APP --queue QUEUE`", "`args` are given"),
    Added("worker: env", "the variables of the JobQueue, before the template's own; `PENSTOCK_HTTP_HOST`"),
    Added("worker: ports", "`penstock`, TCP 9464", "a port has that name or number, which is used then"),
    Added("worker: readinessProbe", "`/readyz`, every 2 s, 1 failure", "it has a check of its own"),
    Added("worker: livenessProbe", "`/healthz`, every 10 s, 6 failures", "it has a check of its own"),
    Added("worker: startupProbe", "`/healthz`, every 1 s, 600 failures", "it has a check of its own"),
)
"""Containers are all regular and init containers; on Windows no security defaults are added."""


def common_labels(queue: JobQueue) -> dict[str, str]:
    """Labels that the JobQueue gives to everything made for it."""
    return dict((queue.policy.worker.labels if queue.policy is not None else None) or {})


def labels(queue: JobQueue) -> dict[str, str]:
    """Labels of the children, and the selector of the worker pods."""
    return {MANAGED_BY[0]: MANAGED_BY[1], JOBQUEUE_LABEL: queue.name}


def pod_template(queue: JobQueue) -> dict[str, Any]:
    """The worker's pod of a valid JobQueue.

    Raises:
        InvalidTemplate: the template cannot be completed; the message names path, rule and value.
    """
    assert queue.policy is not None
    template = normalized(queue.template)
    metadata: dict[str, Any] = template.setdefault("metadata", {})
    for unused in ("creationTimestamp", "name", "namespace"):
        metadata.pop(unused, None)
    metadata["labels"] = {
        "app.kubernetes.io/name": "penstock-worker",
        **common_labels(queue),
        **metadata.get("labels", {}),
        **labels(queue),
    }
    pod: dict[str, Any] = template["spec"]
    worker = _worker_of(pod)
    prestop = _seconds_before_sigterm(worker)
    drain = queue.policy.worker.drain_timeout_seconds
    grace = pod.setdefault("terminationGracePeriodSeconds", drain + prestop)
    pod.setdefault("enableServiceLinks", False)
    if not (pod.get("serviceAccountName") or pod.get("serviceAccount")):
        pod.setdefault("automountServiceAccountToken", False)
    pod["tolerations"] = [*pod.get("tolerations", ()), *_missing_tolerations(pod)]
    restrict(pod)
    for container in _containers(pod):
        container.setdefault("terminationMessagePolicy", "FallbackToLogsOnError")
    others = [one for one in _containers(pod) if one is not worker]
    mount_certificates(pod, worker, queue.policy.database_ref)
    complete(worker, others, queue.policy, drain=max(1, int(grace) - prestop))
    return template


def worker_container(template: Mapping[str, Any]) -> Mapping[str, Any]:
    """The container named worker of a pod template that `pod_template` returned."""
    return _worker_of(template["spec"])


def _containers(pod: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [*pod["containers"], *pod.get("initContainers", ())]


def _worker_of(pod: Mapping[str, Any]) -> dict[str, Any]:
    found = [one for one in pod["containers"] if one["name"] == WORKER]
    if len(found) != 1:
        rule = "must have one container named worker, which runs the App"
        raise InvalidTemplate(f"{ROOT}.spec.containers {rule}, got {len(found)}", status=422)
    worker: dict[str, Any] = found[0]
    return worker


def _seconds_before_sigterm(worker: Mapping[str, Any]) -> int:
    """Return the seconds of the grace period that a sleeping preStop hook takes; those of a command are not known."""
    hook = worker.get("lifecycle", {}).get("preStop", {})
    return max(0, int(hook.get("sleep", {}).get("seconds", 0)))


def _missing_tolerations(pod: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    given = pod.get("tolerations") or ()
    for key in _NODE_TAINTS:
        evicting = [one for one in given if one.get("effect", "") in {"", "NoExecute"}]
        if not any(one.get("key", "") in {"", key} for one in evicting):
            yield {
                "key": key,
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": LOST_NODE_SECONDS,
            }
