"""Scaling down without interrupting a job: which workers to cordon, to uncordon, and to remove. Pure.

The handshake: cordon the idlest in the database; they release what they have not started, finish, report drained and
turn unready; then their deletion cost is written, and only then is the Deployment scaled down by exactly their number.
The operator deletes no pod.

The replica set takes pods without a node first, then pending ones, then those that are not ready, and only then those
of a low deletion cost. So a pod that stays and is not ready is in the way of every scale-down, whatever its cost.

There is no memory here. Who is leaving is written in the database, so a new operator carries on. The caller remembers
only which pods it has just let go, until the watch shows them gone: they must not be called back meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Final

from penstock.plural import plural

from ...resources.resource import Deployment, Pod
from ..pods.worker_pods import UNREADY_SECONDS, PodRole, WorkerPod
from .replica_plan import ReplicaPlan
from .rollout import RolloutPhase, finishes_smaller, removed, rollout_phase, sizes_of

COST: Final = -1000
"""Deletion cost of a pod that may go; 0 is that of all others."""
_NAMED: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleDownPlan:
    """The actions to carry out now. `removable` pods may be removed; `scale_to` is None if none may be removed."""

    cordon: tuple[int, ...] = ()
    uncordon: tuple[int, ...] = ()
    clear_cost: tuple[Pod, ...] = ()
    removable: tuple[Pod, ...] = ()
    scale_to: int | None = None
    waiting_for: str = ""
    leaving: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class _Group:
    """Pods from which the same controller chooses its victims, and how many of them are to go."""

    members: list[WorkerPod]
    quota: int

    @property
    def stuck(self) -> list[WorkerPod]:
        """They go without a drain; those that the replica set prefers come first."""
        found = [one for one in self.members if one.removable]
        return sorted(found, key=lambda one: one.pod.ready)[: self.quota]

    @property
    def kept(self) -> list[WorkerPod]:
        """Of those that are leaving already, as many as are still to go."""
        return _leaving(self.members)[: self.quota - len(self.stuck)]

    @property
    def called_back(self) -> list[WorkerPod]:
        """The others."""
        return _leaving(self.members)[self.quota - len(self.stuck) :]

    @property
    def asked(self) -> list[WorkerPod]:
        """Who is to leave in addition."""
        return _idlest(self.members)[: self.quota - len(self.stuck) - len(self.kept)]

    @property
    def gone(self) -> list[WorkerPod]:
        """Who may go now."""
        return [*self.stuck, *(one for one in self.kept if one.may_go)]


def plan_scale_down(
    replicas: ReplicaPlan, *, deployment: Deployment, members: Sequence[WorkerPod], going: AbstractSet[str]
) -> ScaleDownPlan:
    """The next steps towards fewer replicas.

    Args:
        replicas: what the Deployment is to be asked for.
        deployment: as last seen.
        members: its pods that are not terminating.
        going: uids of pods just let go that the watch still shows.
    """
    here = [one for one in members if one.pod.uid not in going]
    phase = rollout_phase(deployment, here)
    surplus = deployment.replicas > replicas.target
    if replicas.target == 0 and deployment.replicas > 0:
        return _one_group(here, len(here), replicas, deployment, phase)
    if phase is RolloutPhase.ADVANCING:
        after = finishes_smaller(deployment, here, replicas.target) if surplus else None
        waits = "a rollout is under way" if surplus and after is None else ""
        return _steps([_Group(here, 0)], here, scale_to=after, waiting_for=waits)
    if phase is RolloutPhase.STALLED:
        return _stalled(here, replicas, deployment) if surplus else _steps([_Group(here, 0)], here)
    missing = max(0, deployment.replicas - len(here))
    if surplus and missing and deployment.blocked:  # they are not coming, so nobody has to leave for their sake
        return _steps([_Group(here, 0)], here, scale_to=max(replicas.target, len(here)))
    made = _one_group(here, max(0, min(len(here), deployment.replicas) - replicas.target), replicas, deployment, phase)
    if surplus and missing:
        return replace(made, removable=(), scale_to=None, waiting_for=_counted(missing, "about to be created"))
    return made


def _one_group(
    here: list[WorkerPod], quota: int, replicas: ReplicaPlan, deployment: Deployment, phase: RolloutPhase
) -> ScaleDownPlan:
    """Every pod is the same replica set's, or all of them go."""
    group = _Group(here, quota)
    gone = group.gone
    obstacle = ""
    if len(gone) < len(here):  # where all that is there may go, none can be a wrong one
        obstacle = "a rollout is under way" if phase is not RolloutPhase.COMPLETE else _obstacle([group])
    scale_to = max(replicas.target, deployment.replicas - len(gone)) if gone and not obstacle else None
    waits = obstacle if deployment.replicas > replicas.target else ""
    return _steps([group], here, scale_to=scale_to, waiting_for=waits)


def _stalled(here: list[WorkerPod], replicas: ReplicaPlan, deployment: Deployment) -> ScaleDownPlan:
    """A rollout without progress: the decrease is shared out, so each replica set must have drained its own share."""
    sizes = sizes_of(deployment, here)
    if sizes is None:
        return _steps([_Group(here, 0)], here, waiting_for="the Deployment's controller has not caught up")
    groups = {name: [one for one in here if one.pod.replica_set == name] for name in sizes}
    wanted = replicas.target - replicas.extra
    options = {after: removed(sizes, deployment, after) for after in range(replicas.target, deployment.replicas)}
    safe = {after: shares for after, shares in options.items() if _leaves(groups, shares, wanted, after, deployment)}
    if not safe:
        waits = "a stalled rollout would remove workers that are needed"
        return _steps([_Group(here, 0)], here, waiting_for=waits)
    quotas = safe[min(safe)]
    leaving = {name: _Group(found, quotas[name]) for name, found in groups.items()}
    gone = {name: len(group.gone) for name, group in leaving.items()}
    covered = [after for after, shares in safe.items() if all(shares[name] <= gone[name] for name in shares)]
    obstacle = _obstacle(list(leaving.values()))
    scale_to = min(covered) if covered and not obstacle else None
    return _steps(list(leaving.values()), here, scale_to=scale_to, waiting_for=obstacle)


def _leaves(
    groups: dict[str, list[WorkerPod]], shares: dict[str, int], wanted: int, after: int, deployment: Deployment
) -> bool:
    """Return True if as many workers as are wanted are left, and no more than the rollout's next step lets be.

    The controller does not count new pods that are not ready as available, so for their sake it removes no old one.
    """
    drains = {name: max(0, shares[name] - sum(one.removable for one in found)) for name, found in groups.items()}
    left = sum(sum(not one.removable for one in found) - drains[name] for name, found in groups.items())
    newest = [(name, found) for name, found in groups.items() if len(found) == deployment.updated][-1:]
    unready = sum(_stays_unready(found, drains[name]) for name, found in newest)
    return wanted <= left <= after + unready


def _stays_unready(found: Sequence[WorkerPod], drains: int) -> int:
    """Return the number of workers that serve and stay though their pods are not ready: a sidecar, a gate, a probe."""
    unready = sum(one.role is PodRole.SERVING and one.seen.unready > UNREADY_SECONDS for one in found)
    return max(0, unready - max(0, drains - len(_leaving(found))))


def _steps(
    groups: Sequence[_Group], here: Sequence[WorkerPod], *, scale_to: int | None = None, waiting_for: str = ""
) -> ScaleDownPlan:
    kept = {one.pod.uid for group in groups for one in (*group.kept, *group.stuck)}
    ours = [one.pod for one in here if one.pod.cost == str(COST) and not one.pod.other_cost_manager]
    return ScaleDownPlan(
        cordon=tuple(one.worker.id for group in groups for one in group.asked if one.worker),
        uncordon=tuple(one.worker.id for group in groups for one in group.called_back if one.worker),
        clear_cost=tuple(pod for pod in ours if pod.uid not in kept),
        removable=() if scale_to is None else tuple(one.pod for group in groups for one in group.gone),
        scale_to=scale_to,
        waiting_for=waiting_for,
        leaving=sum(len(group.kept) + len(group.asked) for group in groups),
    )


def _leaving(members: Sequence[WorkerPod]) -> list[WorkerPod]:
    """Drained workers first, then by jobs in flight; the last ones are uncordoned first, because they still work."""
    found = [one for one in members if one.role is PodRole.LEAVING]
    return sorted(found, key=lambda one: (not one.drained, one.worker.in_flight if one.worker else 0))


def _idlest(members: Sequence[WorkerPod]) -> list[WorkerPod]:
    """Serving workers, those that hold least first, and of those the last that registered.

    A worker that was lost and came back has registered last. One whose pod does not become ready would be in the way
    of all others, so it comes before them.
    """
    found = [one for one in members if one.role is PodRole.SERVING and one.worker is not None]

    def order(one: WorkerPod) -> tuple[bool, int, int]:
        assert one.worker is not None
        return one.seen.unready <= UNREADY_SECONDS, one.worker.in_flight, -one.worker.id

    return sorted(found, key=order)


def _obstacle(groups: Sequence[_Group]) -> str:
    """Why the replica set could pick others than those that may go; empty if it could not, or if that harms nobody."""
    stays = [one for group in groups for one in _staying(group)]
    if starting := sum(one.role is PodRole.STARTING for one in stays):
        return _counted(starting, "starting")
    unready = sorted(one.pod.name for one in stays if not one.pod.ready)
    if not unready:
        return ""
    named = ", ".join(unready[:_NAMED]) + (" and others" if len(unready) > _NAMED else "")
    return f"pods {named} are not ready" if len(unready) > 1 else f"pod {named} is not ready"


def _staying(group: _Group) -> list[WorkerPod]:
    """Who must not be taken. A running pod that has long been unready is not among them: the deletion cost protects it.

    It does so only from victims that are not ready either, and where nobody else sets its cost.
    """
    gone = group.gone
    harmless = {one.pod.uid for one in (*gone, *(one for one in group.kept if one.drained))}
    by_cost = not any(one.pod.ready for one in gone)

    def protected(one: WorkerPod) -> bool:
        unready = one.seen.unready > UNREADY_SECONDS
        return by_cost and one.worker is not None and unready and not one.pod.other_cost_manager

    found = [one for one in group.members if one.pod.uid not in harmless and not one.removable]
    return [one for one in found if not protected(one)]


def _counted(pods: int, what: str) -> str:
    return f"{plural(pods, 'pod is', 'pods are')} {what}"
