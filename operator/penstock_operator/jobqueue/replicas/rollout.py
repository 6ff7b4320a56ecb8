"""Predicts how a Deployment's controller splits spec.replicas between replica sets during a rollout. Pure.

While old and new pods exist together, the change is distributed over the replica sets in proportion to their sizes
(Kubernetes: `scale` in pkg/controller/deployment/sync.go, and `rolloutRolling` after it). Before the operator lowers
the replicas during a rollout, it must know how many pods each replica set loses.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from ...resources.resource import Deployment
from ..pods.worker_pods import PodRole, WorkerPod

_PERCENT: Final = 100


class RolloutPhase(enum.Enum):
    """Where a Deployment stands between two templates."""

    COMPLETE = "complete"
    ADVANCING = "advancing"
    """The controller replaces old pods as new ones become ready."""
    STALLED = "stalled"
    """New pods cannot become ready, or none can be made: it stays like this until somebody changes something."""


def rollout_phase(deployment: Deployment, members: Iterable[WorkerPod]) -> RolloutPhase:
    """Where this Deployment stands."""
    if not deployment.rolling:
        return RolloutPhase.COMPLETE
    roles = {one.role for one in members}
    stands = bool(deployment.blocked) or PodRole.STUCK in roles
    return (
        RolloutPhase.STALLED
        if deployment.observed and stands and PodRole.STARTING not in roles
        else RolloutPhase.ADVANCING
    )


def surge(deployment: Deployment, replicas: int) -> int:
    """Pods that a rolling update may have beyond `replicas`; a percentage is rounded up."""
    found = deployment.max_surge
    if found is None or replicas == 0:
        return 0
    if isinstance(found, int):
        return found
    percent = found.removesuffix("%")
    return -(-int(percent) * replicas // _PERCENT) if percent.isdecimal() else 0


def sizes_of(deployment: Deployment, members: Sequence[WorkerPod]) -> dict[str, int] | None:
    """Pods of each replica set, oldest first; None while what is seen does not agree with the Deployment's account."""
    counted = Counter(one.pod.replica_set for one in sorted(members, key=lambda one: one.pod.created))
    settled = deployment.observed and sum(counted.values()) == deployment.existing
    return dict(counted) if settled else None


def removed(sizes: Mapping[str, int], deployment: Deployment, after: int) -> dict[str, int]:
    """Pods that each replica set loses at most when the replicas become `after` during a rollout.

    Of two replica sets of one size the older one gives up more, and which that is cannot be seen: both may have to.
    """
    ways = _changes(sizes, deployment, after)
    return {name: max(max(0, -way[name]) for way in ways) for name in sizes}


def added(sizes: Mapping[str, int], deployment: Deployment, after: int) -> dict[str, int]:
    """Pods that each replica set gets at least when the replicas become `after` during a rollout."""
    ways = _changes(sizes, deployment, after)
    return {name: min(max(0, way[name]) for way in ways) for name in sizes}


def _changes(sizes: Mapping[str, int], deployment: Deployment, after: int) -> list[dict[str, int]]:
    """Every way in which the controller may share a change out, as far as its replica sets can be distinguished.

    It shares out over the replicas that are asked of each set, not over their pods. Of two equal sets either may come
    first; where pods are refused, a set is asked for more than it has; one set alone is set to exactly `after`.
    """
    whole = {name: after - size for name, size in sizes.items()} if len(sizes) == 1 and deployment.blocked else None
    if whole and deployment.paused and deployment.failure is None and deployment.existing == deployment.replicas:
        return [whole]  # nothing of the new template is asked for before somebody resumes it
    ways = [whole] if whole else []
    for name, unseen in [("", 0), *_unseen(sizes, deployment)]:
        asked = {**sizes, name: sizes.get(name, 0) + unseen} if unseen else dict(sizes)
        for order in (list(asked.items()), list(asked.items())[::-1]):
            way = _shared_out(sorted(order, key=lambda one: -one[1]), deployment, after)
            ways.append({one: way[one] + (unseen if one == name else 0) for one in sizes})
    return ways


def _unseen(sizes: Mapping[str, int], deployment: Deployment) -> list[tuple[str, int]]:
    """Whose pods may be missing, and how many; "" is a replica set without any. None are while nothing is blocked.

    More missing pods take more from the other sets until theirs is the biggest, so the numbers around that suffice.
    """
    limit = deployment.replicas + surge(deployment, deployment.replicas) - sum(sizes.values())
    if not deployment.blocked:
        return []
    found = []
    for name in ("", *sizes):
        equal = {size - sizes.get(name, 0) for size in sizes.values()}
        counts = {1, limit} | {size + step for size in equal for step in (-1, 0, 1)}
        found += [(name, count) for count in sorted(counts) if 1 <= count <= limit]
    return found


def _shared_out(ordered: Sequence[tuple[str, int]], deployment: Deployment, after: int) -> dict[str, int]:
    before = deployment.replicas + surge(deployment, deployment.replicas)
    allowed = after + surge(deployment, after)
    change, given = allowed - sum(size for _, size in ordered), {name: 0 for name, _ in ordered}
    if change == 0 or before == 0 or deployment.max_surge is None or (change > 0) != (after > deployment.replicas):
        return given
    for name, size in ordered:
        left, share = change - sum(given.values()), _rounded(size * allowed, before) - size
        given[name] = (min(share, left) if change > 0 else max(share, left)) if left else 0
    biggest, size = ordered[0]
    given[biggest] = max(given[biggest] + change - sum(given.values()), -size)
    return given


def _rounded(numerator: int, denominator: int) -> int:
    """Halves up, as the controller rounds what is not negative."""
    return (2 * numerator + denominator) // (2 * denominator)


def finishes_smaller(deployment: Deployment, members: Sequence[WorkerPod], target: int) -> int | None:
    """The replicas to which an advancing rollout can be lowered without removing a pod early; None if it cannot.

    The present pods stay within its surge: old pods go as new ones become ready, as they would anyway, and fewer new
    ones are created. The rollout then finishes without more pods than are wanted.
    """
    if sizes_of(deployment, members) is None or deployment.blocked or deployment.max_surge is None:
        return None
    for after in range(max(target, deployment.updated, 1), deployment.replicas):
        if after + surge(deployment, after) >= deployment.existing:
            return after
    return None
