"""Carries out the actions of one JobQueue: scales its Deployment, cordons workers, writes deletion costs.

Must not decide. The order matters: replicas are added first; workers are uncordoned before others are cordoned; the
deletion cost is written, and confirmed, before the Deployment is scaled down.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from ..database.client import DatabaseClient
from ..errors import NotFound
from ..kube.cache import Cache
from ..kube.client import Cluster
from ..resources.resource import Deployment, Pod
from .objects.owned_objects import OwnedObjects
from .observation import Observation
from .plan import Actions, plan
from .replicas.scale_down import COST, ScaleDownPlan

logger = logging.getLogger("penstock.operator.actions")

REMOVAL_SECONDS = 10.0
"""A released pod that the watch still shows after this long has survived: it is uncordoned, or released again."""


class ActionRunner:
    """Carries out actions for one JobQueue, and remembers which pods it released."""

    def __init__(self, *, cluster: Cluster, cache: Cache, owned: OwnedObjects) -> None:
        self._cluster, self._cache, self._owned = cluster, cache, owned
        self._removing: dict[str, float] = {}

    def removing(self, uids: Iterable[str], now: float) -> frozenset[str]:
        """Those of the pods that were released less than ten seconds ago, by monotonic `now`."""
        here = set(uids)
        self._removing = {uid: until for uid, until in self._removing.items() if uid in here and until > now}
        return frozenset(self._removing)

    async def apply(self, actions: Actions, seen: Observation) -> tuple[Actions, Deployment]:
        """Carry them out; the actions as refined by exact counts, and the Deployment afterwards.

        Raises:
            Conflict: the Deployment has changed since the observation.
            ClusterError: the API server refused, or did not answer.
            StoreError: the database did not cordon the workers.
        """
        deployment = seen.deployment
        assert deployment is not None
        if actions.scale_up_to is not None:
            deployment = await self._owned.scale(deployment, actions.scale_up_to)
        database, state = seen.sample.database, seen.sample.state
        if database is None or state is None or actions.scale_down is None:
            return actions, deployment
        if actions.scale_down.cordon:  # who holds least is decided by exact counts, not by reports that lag
            exact = seen.with_jobs_in_flight(await database.jobs_in_flight(state.id))
            actions = plan(exact) or actions
        if actions.scale_down is not None:
            deployment = await self._scale_down(actions.scale_down, deployment, database)
        return actions, deployment

    async def _scale_down(self, steps: ScaleDownPlan, deployment: Deployment, database: DatabaseClient) -> Deployment:
        await database.cordon(steps.uncordon, cordon=False)
        await database.cordon(steps.cordon, cordon=True)
        for pod in steps.clear_cost:
            await self._set_cost(pod, None)
        if steps.scale_to is None:
            return deployment
        for pod in steps.removable:
            await self._set_cost(pod, COST)  # every answer is awaited: the replica set must see all of them
        scaled = await self._owned.scale(deployment, steps.scale_to)
        until = time.monotonic() + REMOVAL_SECONDS
        self._removing |= {pod.uid: until for pod in steps.removable}
        return scaled

    async def _set_cost(self, pod: Pod, cost: int | None) -> None:
        try:
            self._cache.pods.observe(await self._cluster.set_deletion_cost(pod, cost))
        except NotFound:
            logger.info(
                "pod was deleted before its deletion cost was written",
                extra={"namespace": pod.namespace, "pod": pod.name},
            )
