"""Problems of one JobQueue's worker pods, present and recent, for the condition WorkersAvailable. Pure.

The first of the worst kind is reported, with how many others share it. A pod that is only slow is a problem after a
minute. One that was evicted, or whose node was lost, is a problem while there are fewer workers than wanted. A worker
that crashed and serves again is mentioned for ten minutes, but does not change the condition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from penstock.plural import plural

from ...resources.api_object import epoch
from ...resources.resource import JOBQUEUE_LABEL, Deployment, Pod

PENDING_SECONDS: Final = 60.0
"""A pod that does not serve for this long, without an error, is reported with what it waits for."""
RECENT_SECONDS: Final = 600.0
"""An end or a crash before that is not reported any more."""


def worker_problem(
    deployment: Deployment | None,
    pods: Sequence[Pod],
    ended: Sequence[Pod],
    *,
    waiting: Mapping[str, float],
    desired: int,
    now: float,
) -> tuple[str, str] | None:
    """Reason and message of what keeps workers from existing or from serving; None if nothing does.

    Args:
        deployment: as last seen.
        pods: that are not terminating.
        ended: that are terminating or have ended, and are still listed.
        waiting: seconds for which each pod that never served has existed, by uid.
        desired: replicas of the last decision.
        now: seconds since the epoch.
    """
    if deployment is not None and deployment.failure is not None:
        return "PodsRefused", f"The API server rejected the pods: {deployment.failure}"
    found = [(pod, pod.problem) for pod in pods if pod.problem is not None]
    found += [
        (pod, (pod.pending[0], f"{pod.pending[1]}; this takes longer than {PENDING_SECONDS:.0f} s"))
        for pod in pods
        if pod.pending is not None and pod.problem is None and waiting.get(pod.uid, 0.0) > PENDING_SECONDS
    ]
    if sum(pod.ready for pod in pods) < desired:
        recent = [(pod, pod.ended) for pod in ended if pod.ended is not None and now - pod.ended[2] < RECENT_SECONDS]
        found += [(pod, end[:2]) for pod, end in sorted(recent, key=lambda one: -one[1][2])]
    if not found:
        return None
    pod, (reason, sentence) = found[0]
    others = sum(one[1][0] == reason for one in found) - 1
    more = "" if others < 1 else f" (and {plural(others, 'more pod')})"
    return reason, f"Pod {pod.name}: {sentence}{more}"


def restarts(pods: Sequence[Pod], *, now: float) -> tuple[str, ...]:
    """A sentence about the last crash of a worker that serves again, if there was one recently."""
    crashed = [(pod.last_exit, pod) for pod in pods if pod.last_exit is not None and pod.problem is None]
    recent = sorted((end[0], end[1], pod.name) for end, pod in crashed if now - epoch(end[0]) < RECENT_SECONDS)
    return tuple(
        f"Pod {name}: its worker was restarted; it exited at {at} with {how}." for at, how, name in recent[-1:]
    )


def unowned_pods(names: Sequence[str]) -> tuple[str, ...]:
    """A sentence about pods that carry the JobQueue's label but belong to another owner; none if there are none."""
    if not names:
        return ()
    more = "" if len(names) == 1 else f" (and {len(names) - 1} more)"
    what = f"Pod {names[0]}{more} has the label {JOBQUEUE_LABEL} of this JobQueue but does not belong to its Deployment"
    return (f"{what}. The operator neither counts nor removes it. Remove the label from it.",)


def paused(deployment: Deployment | None) -> tuple[str, str] | None:
    """Reason and message if the rollout is paused while a change waits for it."""
    if deployment is None or not (deployment.paused and deployment.rolling):
        return None
    what = f"Deployment {deployment.name} is paused, and a change of the pod template waits for it"
    return "RolloutPaused", f"{what}. Resume it: kubectl rollout resume deployment/{deployment.name}"
