"""Detects idle queues: nothing is read or written for them until something changes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from penstock.scaling import Bound, Decision, QueueSnapshot

from ..resources.resource import Deployment, Pod

_TIMED: Final = frozenset(
    {Bound.STABILIZATION, Bound.COOLDOWN, Bound.STEP_PERIOD, Bound.SCALE_UP_RATE, Bound.SIGNAL_LOST}
)


def at_rest(
    snapshot: QueueSnapshot | None, decision: Decision | None, deployment: Deployment | None, pods: Sequence[Pod]
) -> bool:
    """Nothing to do, nothing under way, and no window that time alone would open."""
    if snapshot is None or decision is None or deployment is None or decision.bound in _TIMED:
        return False
    idle = snapshot.ready == 0 and snapshot.in_flight == 0 and snapshot.due_soon == 0
    return idle and decision.desired == deployment.replicas == len(pods) and all(pod.ready for pod in pods)
