"""Scaling down without interrupting a job: who is cordoned, who is called back, who may go. Pure.

The handshake: cordon the idlest in the database; they hand back what is unstarted, finish, report drained and turn
unready; then their deletion cost is written, and only then, with no pod still starting and no rollout under way, is the
Deployment scaled down by exactly their number. A pod is never deleted by us.

Surprising: there is no memory here. Who is leaving is written in the database, so a new operator carries on. The caller
alone remembers those it has just let go, until the watch shows them gone: they must not be called back meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final

from .resource import Pod

STARTING_SECONDS: Final = 30.0
"""A pod that is neither ready nor registered for so long is stuck, not starting; it holds nothing and may go."""
COST: Final = -1000
"""Deletion cost of a pod that may go; 0 is everybody's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """A worker as the database knows it."""

    id: int
    pod: str
    state: str
    in_flight: int

    @property
    def leaving(self) -> bool:
        """Whether it has been asked to take nothing more."""
        return self.state in {"cordoned", "drained"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do now. `go` are the pods whose removal is safe; `scale_to` is None while nothing may go."""

    cordon: tuple[int, ...] = ()
    call_back: tuple[int, ...] = ()
    uncost: tuple[Pod, ...] = ()
    go: tuple[Pod, ...] = ()
    scale_to: int | None = None
    waiting_for: str = ""
    leaving: int = field(default=0, compare=False)


def rows(workers: Sequence[Mapping[str, Any]], held: Mapping[int, int] | None = None) -> dict[str, WorkerRow]:
    """The workers of a snapshot by pod; the youngest row of a pod counts, for a container may have been restarted.

    `held` are the jobs that each holds exactly, by the worker's id; without it their own reports count, which lag.
    """
    found: dict[str, WorkerRow] = {}
    for one in sorted(workers, key=lambda worker: int(worker["id"])):
        if one.get("pod"):
            holds = int(one.get("in_flight") or 0) if held is None else held.get(int(one["id"]), 0)
            row = WorkerRow(id=int(one["id"]), pod=one["pod"], state=one["state"], in_flight=holds)
            found[row.pod] = row
    return found


def plan(
    *,
    desired: int,
    replicas: int,
    pods: Sequence[Pod],
    workers: Mapping[str, WorkerRow],
    going: AbstractSet[str],
    rolling: bool,
    waiting: Mapping[str, float],
) -> Plan:
    """The next acts towards `desired` from the `replicas` that the Deployment asks for.

    Args:
        desired: of the decision.
        replicas: spec.replicas of the Deployment.
        pods: of this queue, not terminating.
        workers: by pod name, from the latest snapshot.
        going: uids of pods just let go that the watch still shows.
        rolling: a rollout is under way, which would share a decrease out.
        waiting: uid -> seconds for which a pod has been seen not to serve; no wall clock, which may be set.
    """
    here = [pod for pod in pods if pod.uid not in going]
    removable, starting = _never_served(here, workers, waiting)
    surplus = _surplus(desired, replicas, here, rolling=rolling)
    stuck = removable[:surplus]
    wanted = surplus - len(stuck)
    kept, back = (leaving := _leaving(here, workers))[:wanted], leaving[wanted:]
    more = _idlest(here, workers)[: wanted - len(kept)]
    go = (*stuck, *(pod for pod in kept if workers[pod.name].state == "drained" and not pod.ready))
    # Where all that is there may go, the replica set cannot pick a wrong one.
    obstacle = "" if len(go) == len(here) else _obstacle(starting, rolling=rolling)
    return Plan(
        cordon=tuple(workers[pod.name].id for pod in more),
        call_back=tuple(workers[pod.name].id for pod in back),
        uncost=tuple(pod for pod in here if pod.cost == str(COST) and not pod.foreign_cost and pod not in kept),
        go=() if obstacle else go,
        scale_to=max(desired, replicas - len(go)) if go and not obstacle else None,
        waiting_for=obstacle if replicas > desired else "",
        leaving=len(kept) + len(more),
    )


def _surplus(desired: int, replicas: int, here: Sequence[Pod], *, rolling: bool) -> int:
    """How many pods are to leave.

    A drained pod is not ready, and a rollout waits for ready ones: draining a part of the pods meanwhile would make
    each wait for the other. All of them may always go; there may be more than `replicas` of them.
    """
    if desired == 0 and replicas > 0:
        return len(here)
    return 0 if rolling else max(0, replicas - desired)


def _never_served(
    pods: Sequence[Pod], workers: Mapping[str, WorkerRow], waiting: Mapping[str, float]
) -> tuple[list[Pod], list[Pod]]:
    """Pods that hold nothing because no worker ever registered from them: stuck ones, and those still starting."""
    unknown = [pod for pod in pods if pod.name not in workers and not pod.ready]
    stuck = [pod for pod in unknown if pod.problem is not None or waiting.get(pod.uid, 0.0) > STARTING_SECONDS]
    return stuck, [pod for pod in unknown if pod not in stuck]


def _leaving(pods: Sequence[Pod], workers: Mapping[str, WorkerRow]) -> list[Pod]:
    """The drained, then those that hold least: whoever is called back from the end is called back to work."""
    found = [pod for pod in pods if pod.name in workers and workers[pod.name].leaving]
    return sorted(found, key=lambda pod: (workers[pod.name].state != "drained", workers[pod.name].in_flight))


def _idlest(pods: Sequence[Pod], workers: Mapping[str, WorkerRow]) -> list[Pod]:
    """Running workers, those that hold least first, and of those the youngest."""
    running = [pod for pod in pods if pod.name in workers and workers[pod.name].state == "running"]
    return sorted(running, key=lambda pod: (workers[pod.name].in_flight, -pod.created, pod.name))


def _obstacle(starting: Sequence[Pod], *, rolling: bool) -> str:
    """Why the replica set could pick others than those that may go; empty if it could not."""
    if rolling:
        return "a rollout is under way"
    return f"{len(starting)} pods are starting" if starting else ""
