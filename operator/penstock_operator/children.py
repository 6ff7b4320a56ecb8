"""The objects that the operator keeps for one JobQueue: made without a surplus pod, repaired when they drift.

Owns the order of server-side applies and the two field managers: `penstock-template` for the whole but the replicas,
`penstock-scale` for the replicas alone, which change only through /scale from then on. An interrupted creation is
seen by its field managers and repeated.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from . import manifests
from .cache import Cache
from .cluster import Cluster
from .errors import NotFound, Refused
from .resource import Deployment, JobQueue

TEMPLATE: Final = "penstock-template"
SCALE: Final = "penstock-scale"


class NameTaken(Refused):
    """A Deployment of the child's name belongs to somebody else."""


@dataclass(slots=True, kw_only=True)
class Children:
    """The children of one JobQueue. `applied` is the digest and the generation of our last apply."""

    cluster: Cluster
    cache: Cache
    applied: tuple[str, int] | None = field(default=None)

    async def ensure(self, queue: JobQueue) -> Deployment:
        """The Deployment as it should be, except for its replicas.

        Raises:
            NameTaken: one of that name is not ours.
            ClusterError: the API server refused, or did not answer.
        """
        held = self.cache.deployment_of(queue) or await self._unseen(queue)
        if held is not None and held.owner != queue.uid:
            raise NameTaken(f"Deployment {queue.child} exists and does not belong to JobQueue {queue.name}")
        manifest = manifests.deployment(queue)
        digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
        if held is not None and self.applied == (digest, held.generation):
            return held
        if held is None or TEMPLATE not in held.managers:
            await self._create(manifest, replicas=0 if held is None else held.replicas)
        else:
            await self._apply(manifest, TEMPLATE)
        await self.cluster.apply(manifests.disruption_budget(queue), manager=TEMPLATE)
        held = self.cache.deployment_of(queue)
        assert held is not None
        self.applied = (digest, held.generation)
        return held

    async def _unseen(self, queue: JobQueue) -> Deployment | None:
        """One that the watch did not show: somebody else's without our label, or ours from a moment ago."""
        try:
            found = await self.cluster.get("Deployment", queue.namespace, queue.child)
        except NotFound:
            return None
        self.cache.deployments.observe(found)
        return Deployment.read(found)

    async def _create(self, manifest: Mapping[str, Any], *, replicas: int) -> None:
        """Applying without replicas first would start one pod too many; so would scaling to zero afterwards."""
        spec = manifest["spec"]
        await self._apply({**manifest, "spec": {**spec, "replicas": replicas}}, SCALE)
        await self._apply(manifest, TEMPLATE)
        metadata = {"name": manifest["metadata"]["name"], "namespace": manifest["metadata"]["namespace"]}
        only = {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": metadata}
        await self._apply({**only, "spec": {"replicas": replicas}}, SCALE)

    async def _apply(self, manifest: Mapping[str, Any], manager: str) -> None:
        self.cache.deployments.observe(await self.cluster.apply(manifest, manager=manager))

    async def scale(self, deployment: Deployment, replicas: int) -> Deployment:
        """Change the replicas of a Deployment that is still as it was read; the view afterwards.

        Raises:
            Conflict: it has changed since; the cache has the newer state by then.
            ClusterError: refused, or no answer.
        """
        try:
            await self.cluster.scale(deployment, replicas)
        finally:
            # The answer is a Scale, without the generation that tells our write from a stranger's.
            found = await self.cluster.get("Deployment", deployment.namespace, deployment.name)
            self.cache.deployments.observe(found)
        view = Deployment.read(found)
        if self.applied is not None and view.generation == deployment.generation + 1:
            self.applied = (self.applied[0], view.generation)
        return view
