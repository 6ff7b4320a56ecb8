"""What people are told about the worker pods of one JobQueue: what is wrong, and what was. Pure.

The first of the worst is told, with how many others share it. A pod that only takes long is a problem after a minute;
one that was evicted or lost its node is one while there are fewer workers than wanted; a worker that was restarted
after a crash and serves again is remembered for ten minutes, in the sentence alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from .api_object import epoch
from .resource import JOBQUEUE_LABEL, Deployment, Pod

PENDING_SECONDS: Final = 60.0
"""A pod that does not serve for so long, without an error, is told with what it waits for."""
RECENT_SECONDS: Final = 600.0
"""What ended or crashed before is history."""


def trouble(
    deployment: Deployment | None,
    pods: Sequence[Pod],
    gone: Sequence[Pod],
    *,
    waiting: Mapping[str, float],
    desired: int,
    now: float,
) -> tuple[str, str] | None:
    """Reason and sentence of what keeps workers from being, or from serving.

    Args:
        deployment: as last seen.
        pods: that are not on their way out.
        gone: that have ended or are terminating, and are still listed.
        waiting: uid -> seconds for which a pod has been seen not to serve.
        desired: replicas of the last decision.
        now: seconds since the epoch.
    """
    if deployment is not None and deployment.failure is not None:
        return "PodsRefused", f"The API server refuses the pods: {deployment.failure}"
    found = [(pod, pod.problem) for pod in pods if pod.problem is not None]
    found += [
        (pod, (pod.pending[0], f"{pod.pending[1]}; this takes longer than {PENDING_SECONDS:.0f} s"))
        for pod in pods
        if pod.pending is not None and pod.problem is None and waiting.get(pod.uid, 0.0) > PENDING_SECONDS
    ]
    if sum(pod.ready for pod in pods) < desired:
        recent = [(pod, pod.ended) for pod in gone if pod.ended is not None and now - pod.ended[2] < RECENT_SECONDS]
        found += [(pod, ended[:2]) for pod, ended in sorted(recent, key=lambda one: -one[1][2])]
    if not found:
        return None
    pod, (reason, sentence) = found[0]
    others = sum(one[1][0] == reason for one in found) - 1
    more = "" if others < 1 else f" (and {others} more pod{'' if others == 1 else 's'})"
    return reason, f"Pod {pod.name}: {sentence}{more}"


def restarts(pods: Sequence[Pod], *, now: float) -> tuple[str, ...]:
    """A sentence about the last crash of a worker that serves again, if there was one lately."""
    crashed = [(pod.last_end, pod) for pod in pods if pod.last_end is not None and pod.problem is None]
    recent = sorted((end[0], end[1], pod.name) for end, pod in crashed if now - epoch(end[0]) < RECENT_SECONDS)
    return tuple(f"Pod {name}: its worker was restarted; at {at} it ended with {how}." for at, how, name in recent[-1:])


def foreign(names: Sequence[str]) -> tuple[str, ...]:
    """A sentence about pods that carry the JobQueue's label and are not its Deployment's."""
    if not names:
        return ()
    more = "" if len(names) == 1 else f" (and {len(names) - 1} more)"
    what = f"Pod {names[0]}{more} carries the label {JOBQUEUE_LABEL} of this JobQueue and is not of its Deployment"
    return (f"{what}: it is neither counted nor removed. Remove the label from it.",)


def paused(deployment: Deployment | None) -> tuple[str, str] | None:
    """A rollout that somebody has paused while a change waits for it."""
    if deployment is None or not (deployment.paused and deployment.rolling):
        return None
    what = f"Deployment {deployment.name} is paused, and a change of the pods waits"
    return "RolloutPaused", f"{what}. Resume it: kubectl rollout resume deployment/{deployment.name}"
