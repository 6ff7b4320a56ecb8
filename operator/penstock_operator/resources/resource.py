"""Frozen views of objects of the cluster: a JobQueue, its Deployment, its pods. Read from API objects, never written.

Pure, and lenient: an object with a field missing gives a view with a default, because watches may deliver anything.
What a JobQueue's spec means is `penstock.scaling`'s to say; a spec that it refuses becomes `invalid` with the sentence.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from penstock.errors import ManifestError
from penstock.jobqueue.policy import QueuePolicy, parse_policy

from ..error_reasons import summary
from . import pod_problems
from .adoption import Meta
from .api_object import epoch, part
from .large_objects import too_large

JOBQUEUE_LABEL: Final = "penstock.dev/jobqueue"
MANAGED_BY: Final = ("app.kubernetes.io/managed-by", "penstock")
DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
COST_MANAGER: Final = "penstock-deletion-cost"
CHILD_SUFFIX: Final = "-worker"
PROTECTED: Final = {"karpenter.sh/do-not-disrupt": "true", "cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
"""Annotations of a pod that a node autoscaler leaves where it is."""
PROTECTION_MANAGER: Final = "penstock-disruption"
CREDENTIALS: Final = "penstock.dev/credentials"
"""Annotation of the pod template: which change of the credentials the pods have seen."""
CREDENTIALS_SEEN: Final = "penstock.dev/credentials-seen"
"""Annotation of the Deployment: the version of the Secrets that its pods' credentials are known to equal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQueue:
    """A JobQueue as last seen. `policy` is None where `invalid` says what is wrong with the spec."""

    uid: str
    namespace: str
    name: str
    generation: int
    resource_version: str
    created: str
    deleting: bool
    policy: QueuePolicy | None
    invalid: str | None
    template: Mapping[str, Any] = field(repr=False)
    status: Mapping[str, Any] = field(repr=False)

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Self:
        """The view of an API object."""
        metadata, policy, invalid = found["metadata"], None, None
        try:
            invalid = too_large(found)
            policy = parse_policy(found) if invalid is None else None
        except ManifestError as error:
            invalid = str(error)
        except Exception as error:  # noqa: BLE001 - one JobQueue must not end the list of all
            invalid = f"The spec cannot be read: {summary(error)}"
        return cls(
            uid=metadata["uid"],
            namespace=metadata["namespace"],
            name=metadata["name"],
            generation=int(metadata.get("generation", 0)),
            resource_version=metadata["resourceVersion"],
            created=metadata.get("creationTimestamp") or "",
            deleting="deletionTimestamp" in metadata,
            policy=policy,
            invalid=invalid,
            template={} if policy is None else policy.worker.template,
            status=part(found, "status"),
        )

    @property
    def child(self) -> str:
        """Name of its children: Deployment, PodDisruptionBudget, PodMonitor."""
        return f"{self.name}{CHILD_SUFFIX}"

    @property
    def where(self) -> str:
        """Namespace and name, for logs and messages."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A Deployment as last seen. `replicas` is spec.replicas, `existing` what there is, `updated` of the new template.

    `observed` is False while its controller has not seen the latest spec; `blocked` says why a rollout of it cannot go
    on by itself (paused, past its progress deadline, pods that are refused); `max_surge` is None with Recreate.
    """

    uid: str
    namespace: str
    name: str
    resource_version: str
    generation: int
    owner: str
    replicas: int
    existing: int
    ready: int
    rolling: bool
    failure: str | None
    meta: Meta = field(repr=False)
    paused: bool = False
    credentials: str = ""
    credentials_seen: str = ""
    updated: int = 0
    observed: bool = True
    blocked: str = ""
    max_surge: int | str | None = "25%"
    progress_deadline: float = 600.0

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Self:
        """The view of an API object."""
        metadata, spec, status = found["metadata"], part(found, "spec"), part(found, "status")
        existing, updated = int(status.get("replicas", 0)), int(status.get("updatedReplicas", 0))
        generation = int(metadata.get("generation", 0))
        failures = [
            str(one.get("message", ""))
            for one in status.get("conditions") or ()
            if one.get("type") == "ReplicaFailure" and one.get("status") == "True"
        ]
        return cls(
            uid=metadata["uid"],
            namespace=metadata["namespace"],
            name=metadata["name"],
            resource_version=metadata["resourceVersion"],
            generation=generation,
            owner=_owner(metadata),
            replicas=int(spec.get("replicas", 1)),
            existing=existing,
            ready=int(status.get("readyReplicas", 0)),
            rolling=updated < existing or int(status.get("observedGeneration", 0)) < generation,
            updated=updated,
            observed=int(status.get("observedGeneration", 0)) >= generation,
            blocked=_blocked(spec, status),
            progress_deadline=float(spec.get("progressDeadlineSeconds", 600)),
            max_surge=_max_surge(part(spec, "strategy")),
            failure=failures[0] if failures else None,
            paused=spec.get("paused") is True,
            credentials=str(part(spec, "template", "metadata", "annotations").get(CREDENTIALS, "")),
            credentials_seen=str(part(metadata, "annotations").get(CREDENTIALS_SEEN, "")),
            meta=Meta.read(metadata),
        )


class Protection(enum.Enum):
    """Who has set a pod's annotations against disruption."""

    NONE = "none"
    OURS = "ours"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A worker pod as last seen. `problem` is the (reason, message) that keeps it from serving.

    `pending` is the same if it waits without an error, and `ended` that of an involuntary exit (evicted, preempted, its
    node lost), with the time as seconds since the epoch. `last_exit` is when and how the container named worker last
    exited, though it may run again. `killed_at` is when a pod that is being deleted is killed, in
    seconds since the epoch, if that is sooner than its own grace period has it.
    `finished`: all its containers have ended for good; it is listed until somebody deletes it.
    `other_cost_manager` is who else sets its deletion cost; empty if nobody does. `replica_set` is its owner's uid,
    `replica_set_name` its name if it is a ReplicaSet, else empty. `unreachable`: its node does not report any more.
    `probe_seconds` is a period of its readiness probes and their timeout: a result from before is published by then.
    """

    uid: str
    namespace: str
    name: str
    resource_version: str
    jobqueue: str
    created: float
    ready: bool
    terminating: bool
    cost: str | None
    other_cost_manager: str
    problem: tuple[str, str] | None
    pending: tuple[str, str] | None = None
    ended: tuple[str, str, float] | None = None
    last_exit: tuple[str, str] | None = None
    protection: Protection = Protection.NONE
    replica_set: str = ""
    replica_set_name: str = ""
    node: str = ""
    unreachable: bool = False
    probe_seconds: float = 0.0
    killed_at: float | None = None
    finished: bool = False

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Self:
        """The view of an API object."""
        metadata, status = found["metadata"], part(found, "status")
        conditions = {one.get("type"): one for one in status.get("conditions") or ()}
        cost = part(metadata, "annotations").get(DELETION_COST)
        return cls(
            uid=metadata["uid"],
            namespace=metadata["namespace"],
            name=metadata["name"],
            resource_version=metadata["resourceVersion"],
            jobqueue=part(metadata, "labels").get(JOBQUEUE_LABEL, ""),
            created=epoch(metadata.get("creationTimestamp")),
            ready=part(conditions, "Ready").get("status") == "True",
            terminating="deletionTimestamp" in metadata or status.get("phase") in {"Failed", "Succeeded"},
            cost=cost,
            other_cost_manager="" if cost is None else _foreign(_managers(metadata, DELETION_COST)),
            problem=pod_problems.problem(status),
            pending=pod_problems.pending(status),
            ended=_ended(metadata, status),
            protection=_protection(metadata),
            finished=status.get("phase") in {"Failed", "Succeeded"},
            killed_at=_killed_at(metadata, part(found, "spec")),
            last_exit=pod_problems.last_exit(status, "worker"),
            replica_set=_owner(metadata),
            replica_set_name=_replica_set_name(metadata),
            node=str(part(found, "spec").get("nodeName") or ""),
            unreachable=part(conditions, "Ready").get("status") == "Unknown" or status.get("reason") == "NodeLost",
            probe_seconds=_probe_seconds(part(found, "spec")),
        )


def _ended(metadata: Mapping[str, Any], status: Mapping[str, Any]) -> tuple[str, str, float] | None:
    found = pod_problems.pod_failure(status)
    if found is None:
        return None
    times = [epoch(one.get("lastTransitionTime")) for one in status.get("conditions") or ()]
    return *found, max([*times, epoch(metadata.get("deletionTimestamp")), epoch(status.get("startTime"))])


def _blocked(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    """Why a rollout of this Deployment does not go on by itself; empty if it may."""
    conditions = {one.get("type"): one for one in status.get("conditions") or ()}
    if spec.get("paused"):
        return "its Deployment is paused"
    if part(conditions, "Progressing").get("status") == "False":
        return "it exceeded its progress deadline"
    return "its pods are rejected" if part(conditions, "ReplicaFailure").get("status") == "True" else ""


def _max_surge(strategy: Mapping[str, Any]) -> int | str | None:
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return None
    found = part(strategy, "rollingUpdate").get("maxSurge", "25%")
    return found if isinstance(found, int | str) else "25%"


def _probe_seconds(spec: Mapping[str, Any]) -> float:
    """The longest of the containers; the API server has filled in what a probe does not say."""
    probes = [part(one, "readinessProbe") for one in spec.get("containers") or () if "readinessProbe" in one]
    return max(
        (float(one.get("periodSeconds", 10)) + float(one.get("timeoutSeconds", 1)) for one in probes), default=0.0
    )


def _killed_at(metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> float | None:
    given, own = metadata.get("deletionGracePeriodSeconds"), spec.get("terminationGracePeriodSeconds")
    if "deletionTimestamp" not in metadata or not isinstance(given, int) or not isinstance(own, int) or given >= own:
        return None
    return epoch(metadata["deletionTimestamp"])


def _owner(metadata: Mapping[str, Any]) -> str:
    return next((one["uid"] for one in metadata.get("ownerReferences") or () if one.get("controller")), "")


def _replica_set_name(metadata: Mapping[str, Any]) -> str:
    owners: list[Mapping[str, Any]] = metadata.get("ownerReferences") or []
    controller = next((one for one in owners if one.get("controller")), {})
    kind = (str(controller.get("apiVersion")).partition("/")[0], controller.get("kind"))
    return str(controller.get("name", "")) if kind == ("apps", "ReplicaSet") else ""


def _foreign(managers: set[str]) -> str:
    """Names of the managers if we are not among them."""
    return "" if COST_MANAGER in managers else ", ".join(sorted(managers)) or "somebody"


def _protection(metadata: Mapping[str, Any]) -> Protection:
    there = part(metadata, "annotations").keys() & PROTECTED.keys()
    if not there:
        return Protection.NONE
    ours = all(PROTECTION_MANAGER in _managers(metadata, name) for name in there)
    return Protection.OURS if ours else Protection.FOREIGN


def _managers(metadata: Mapping[str, Any], annotation: str) -> set[str]:
    key = f"f:{annotation}"
    return {
        str(one.get("manager"))
        for one in metadata.get("managedFields") or ()
        if key in part(one, "fieldsV1", "f:metadata", "f:annotations")
    }
