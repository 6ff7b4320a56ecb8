"""The state that a reconciliation reports, from its observation and the result of its actions. Pure.

`JobQueueReconciler` carries out and remembers; this module only composes. The first problem found wins: the API server,
a paused rollout, the pods, workers that serve another database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from penstock.scaling import Decision

from ..resources.conditions import ObservedState, Problem
from ..resources.resource import Deployment
from .idle import at_rest
from .observation import Observation
from .pods.pod_view import lost_text
from .pods.worker_health import paused, restarts, unowned_pods, worker_problem
from .pods.worker_pods import PodRole, WorkerPod


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """The result of the actions.

    Args:
        deployment: afterwards; None if there is none.
        decision: the decision that was carried out, or would have been.
        unchanged: whether all actions succeeded and the decision is the one before.
        waiting: whether only a change or an expired pause can help.
        workers: a problem with the API server.
        database: a problem with the database.
        other_scaler: who else sets the replicas; empty if nobody does.
    """

    deployment: Deployment | None
    decision: Decision | None = None
    unchanged: bool = False
    waiting: bool = False
    workers: Problem | None = None
    database: Problem | None = None
    other_scaler: str = ""

    def settled(self, seen: Observation) -> bool:
        """Return True if nothing is left to do until something changes."""
        if self.waiting:
            return True
        return self.unchanged and at_rest(seen.snapshot, self.decision, self.deployment, seen.pods)


def outcome(state: ObservedState, seen: Observation, applied: Applied, *, elsewhere: Problem | None) -> ObservedState:
    """`state` with what the reconciliation observed and did.

    Args:
        state: what was known before.
        seen: the observation.
        applied: the result of its actions.
        elsewhere: reason and message if Ready pods serve another database.
    """
    pods = worker_problem(
        applied.deployment,
        seen.pods,
        seen.ended,
        waiting=seen.waiting,
        desired=0 if applied.decision is None else applied.decision.desired,
        now=seen.wall_time,
    )
    return replace(
        state,
        database=state.database or applied.database,
        decision=applied.decision,
        snapshot=seen.snapshot,
        other_scaler=applied.other_scaler,
        workers=applied.workers or paused(applied.deployment) or pods or elsewhere,
        waited=seen.sample.waited,
    )


def with_pods(
    state: ObservedState, members: Sequence[WorkerPod], *, unowned: Sequence[str], warnings: Sequence[str], now: float
) -> ObservedState:
    """`state` with the counts of the pods, and the sentences about them.

    Args:
        state: what is known otherwise.
        members: the pods that are not terminating.
        unowned: names of pods with the JobQueue's label that belong to another owner.
        warnings: sentences about the pod template.
        now: seconds since the epoch.
    """
    pods = [one.pod for one in members]
    return replace(
        state,
        existing=len(pods),
        ready=sum(one.pod.ready and one.role is not PodRole.LOST for one in members),
        other_cost_manager=", ".join(sorted({pod.other_cost_manager for pod in pods if pod.other_cost_manager})),
        lost=lost_text(members),
        warnings=(*warnings, *restarts(pods, now=now), *unowned_pods(unowned)),
    )
