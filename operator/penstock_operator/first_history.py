"""The replicas that a decision comes to, and what an operator that has just come may assume of those before. Pure."""

from __future__ import annotations

import time
from collections.abc import Sequence

from penstock.scaling import History

from .api_object import epoch
from .cache import Cache
from .fleet import Member
from .replica_plan import ReplicaPlan, plan_replicas
from .resource import Deployment, JobQueue


def wanted_replicas(
    cache: Cache,
    queue: JobQueue,
    deployment: Deployment,
    desired: int,
    members: Sequence[Member],
    *,
    starts: float | None = None,
) -> ReplicaPlan:
    """With replacements for pods that serve nothing, as far as the connection budget and `maxReplicas` allow.

    `starts` is how many seconds a pod takes until it serves; None while that is not known.
    """
    assert queue.policy is not None
    budget = queue.policy.scaling.connection_budget
    stopping = sum(not pod.finished for pod in cache.gone_pods_of(queue))  # what has ended holds no connection
    allow = None if budget is None else max(0, budget.max_connections // budget.per_worker - stopping)
    return plan_replicas(
        desired,
        deployment,
        members,
        connections_allow=allow,
        max_replicas=queue.policy.scaling.max_replicas,
        startup_seconds=starts,
    )


def first_history(
    cache: Cache, queue: JobQueue, deployment: Deployment, members: Sequence[Member], now: float
) -> History:
    """The replicas found are right, and were added when the status says.

    But for those that are there in place of pods that serve nothing.
    """
    found = deployment.replicas - wanted_replicas(cache, queue, deployment, deployment.replicas // 2, members).extra
    last = queue.status.get("lastScale") or {}
    added_at = None
    if last.get("time") and last.get("to", 0) > last.get("from", 0):
        added_at = now - max(0.0, time.time() - epoch(last["time"]))
    return History.starting(found, now=now, added_at=added_at)
