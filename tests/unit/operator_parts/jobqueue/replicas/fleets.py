"""Pods with their workers, and the plan to scale them down."""

from __future__ import annotations

from typing import Any

from penstock_operator.jobqueue.pods.pod_history import Seen
from penstock_operator.jobqueue.pods.worker_pods import PodWorker, WorkerPod, members
from penstock_operator.jobqueue.replicas.replica_plan import ReplicaPlan
from penstock_operator.jobqueue.replicas.scale_down import ScaleDownPlan, plan_scale_down
from tests.unit.operator_parts.objects import deployment, pod

PROBE: dict[str, Any] = {
    "containers": [{"name": "worker", "readinessProbe": {"periodSeconds": 2, "timeoutSeconds": 2}}]
}
WAS_READY = Seen(was_ready=True, drained=0.5)
STUCK_FOR_LONG = Seen(waiting=3600.0)


def row(name: str, number: int, *, state: str = "running", in_flight: int = 0) -> PodWorker:
    return PodWorker(id=number, pod=name, state=state, in_flight=in_flight)


def member(name: str, worker: PodWorker | None = None, *, seen: Seen = WAS_READY, **changes: Any) -> WorkerPod:
    """A pod with its worker, as `members` makes it."""
    one = pod(name, **{"spec": PROBE, **changes})
    (made,) = members([one], {name: worker} if worker else {}, {}, {one.uid: seen})
    return made


def planned(
    target: int,
    *found: WorkerPod,
    replicas: int | None = None,
    going: frozenset[str] = frozenset(),
    extra: int = 0,
    **changes: Any,
) -> ScaleDownPlan:
    """The plan for these pods; `replicas` is their number unless given, in one complete replica set."""
    shown = deployment(len(found) if replicas is None else replicas, **({"sizes": (len(found),)} | changes))
    return plan_scale_down(ReplicaPlan(target=target, extra=extra), deployment=shown, members=found, going=going)
