"""From an observation to actions: the decision, the replicas to request, and the next steps of a scale-down. Pure.

Reads no clock and asks nobody; the same observation gives the same actions. `actions` carries them out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from penstock.scaling import Decision, History, decide

from ..resources.api_object import epoch
from ..resources.resource import Deployment
from .observation import Observation
from .replicas.replica_plan import ReplicaPlan, plan_replicas
from .replicas.scale_down import ScaleDownPlan, plan_scale_down


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions:
    """The actions to carry out now.

    Args:
        decision: how many replicas should serve, and why.
        changed: whether the decision differs from the one before it.
        replicas: what the Deployment should request, replacements included.
        scale_up_to: new replicas of the Deployment; None if they are not to be raised.
        scale_down: whom to cordon, uncordon and remove; None without a sample, because who holds jobs is unknown.
    """

    decision: Decision
    changed: bool
    replicas: ReplicaPlan
    scale_up_to: int | None = None
    scale_down: ScaleDownPlan | None = None


def plan(seen: Observation) -> Actions | None:
    """The actions for one observation; None if there is no Deployment to scale."""
    deployment, policy = seen.deployment, seen.queue.policy
    if deployment is None or policy is None:
        return None
    history = seen.history or starting_history(seen, deployment)
    decision = decide(seen.snapshot, policy, history, seen.now)
    replicas = replicas_for(seen, deployment, decision.desired, startup_seconds=seen.startup_seconds)
    scale_down = None
    if seen.sample.state is not None:
        scale_down = plan_scale_down(replicas, deployment=deployment, members=seen.members, going=seen.removing)
    return Actions(
        decision=replace(decision, explanation=replicas.explained(decision.explanation)),
        changed=decision.desired != history.desired,
        replicas=replicas,
        scale_up_to=replicas.target if replicas.target > deployment.replicas else None,
        scale_down=scale_down,
    )


def replicas_for(
    seen: Observation, deployment: Deployment, desired: int, *, startup_seconds: float | None = None
) -> ReplicaPlan:
    """`desired` with replacements for pods that run no jobs, within the connection budget and `maxReplicas`."""
    policy = seen.queue.policy
    assert policy is not None
    budget = policy.scaling.connection_budget
    stopping = sum(not pod.finished for pod in seen.ended)  # a pod that has ended holds no connection
    allow = None if budget is None else max(0, budget.max_connections // budget.per_worker - stopping)
    return plan_replicas(
        desired,
        deployment,
        seen.members,
        connections_allow=allow,
        max_replicas=policy.scaling.max_replicas,
        startup_seconds=startup_seconds,
    )


def starting_history(seen: Observation, deployment: Deployment) -> History:
    """The history of a new operator: the replicas found are right, and were added when the status says.

    Replicas that stand in for pods that run no jobs do not count.
    """
    extra = replicas_for(seen, deployment, deployment.replicas // 2).extra
    last = seen.queue.status.get("lastScale") or {}
    added_at = None
    if last.get("time") and last.get("to", 0) > last.get("from", 0):
        added_at = seen.now - max(0.0, seen.wall_time - epoch(last["time"]))
    return History.starting(deployment.replicas - extra, now=seen.now, added_at=added_at)
