"""Computes the replicas to request from a Deployment, from those that its queue needs. Pure.

`decide` says how many workers are to serve. Pods that are stuck, or whose worker is lost, take up replicas and serve
nothing, and Kubernetes replaces neither for minutes or at all; so the Deployment is asked for as many more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from penstock.plural import plural

from ...resources.resource import Deployment
from ..pods.worker_pods import PodRole, WorkerPod
from .rollout import RolloutPhase, added, rollout_phase, sizes_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaPlan:
    """`target` replicas, `extra` of them in place of pods that serve nothing."""

    target: int
    extra: int = 0

    def explained(self, explanation: str) -> str:
        """The decision's explanation, followed by a sentence about the extra replicas."""
        if not self.extra:
            return explanation
        one, many = "extra replica stands in for a pod that runs", "extra replicas stand in for pods that run"
        return f"{explanation} {plural(self.extra, one, many)} no jobs."


def plan_replicas(
    desired: int,
    deployment: Deployment,
    members: Sequence[WorkerPod],
    *,
    connections_allow: int | None = None,
    max_replicas: int | None = None,
    startup_seconds: float | None = None,
) -> ReplicaPlan:
    """The replicas that a Deployment needs for `desired` serving pods.

    At most as many again as are desired are added: what is wrong with one pod may be wrong with all of them. Stuck pods
    are replaced only while another pod serves, for else another would be stuck too. A worker that is lost or drains in
    place may hold connections, so beyond the budget it is replaced only while none serves. Stuck pods may serve later,
    so they are replaced within `maxReplicas` and the budget, but for those of a rollout that cannot finish.

    Args:
        desired: of the decision.
        deployment: as last seen.
        members: its pods that are not terminating.
        connections_allow: replicas that the connection budget allows; None without a budget.
        max_replicas: the policy's; None without a limit.
        startup_seconds: how long a pod of this queue takes until it serves; None while that is not known.
    """
    serves, lost, stuck = _counted(deployment, members, startup_seconds)
    if connections_allow is not None:
        lost = min(lost, max(connections_allow - desired, 0 if serves else 1))
    if not desired or not lost + stuck:
        return ReplicaPlan(target=desired)
    if not deployment.observed or deployment.existing < deployment.replicas:
        extra = max(0, deployment.replicas - desired)  # they are on their way
    elif stuck and rollout_phase(deployment, members) is RolloutPhase.STALLED:
        extra = _during_rollout(desired, deployment, members)
    else:
        for limit in (connections_allow, max_replicas):
            stuck = stuck if limit is None else min(stuck, max(0, limit - desired - lost))
        extra = max(0, lost + stuck - (deployment.existing - deployment.replicas))
    extra = min(extra, desired)
    return ReplicaPlan(target=desired + extra, extra=extra)


def _counted(
    deployment: Deployment, members: Sequence[WorkerPod], startup_seconds: float | None
) -> tuple[bool, int, int]:
    """Return whether a pod serves, the number of pods that are lost or draining in place, and of stuck ones."""
    serves = any(one.role in {PodRole.SERVING, PodRole.UNREGISTERED} for one in members)
    deadline = deployment.progress_deadline
    found = [one.role for one in members if one.replaceable(startup_seconds=startup_seconds, deadline=deadline)]
    stuck = found.count(PodRole.STUCK)
    return serves, len(found) - stuck, stuck if serves else 0


def _during_rollout(desired: int, deployment: Deployment, members: Sequence[WorkerPod]) -> int:
    """Replicas beyond `desired` with which enough pods of the replica sets that work are there.

    The controller shares an increase out to those that do not work too, and gives single pods to the larger one; so
    the number that brings enough is asked for at once.
    """
    sizes = sizes_of(deployment, members)
    if sizes is None:
        return max(0, deployment.replicas - desired)
    broken = {one.pod.replica_set for one in members if one.role is PodRole.STUCK}
    serve = sum(not one.removable for one in members)
    if serve >= desired:
        return 0  # the scale-down keeps those that serve
    for after in range(max(desired, deployment.replicas + 1), 2 * desired):
        more = added(sizes, deployment, after)
        if serve + sum(count for name, count in more.items() if name not in broken) >= desired:
            return after - desired
    return desired
