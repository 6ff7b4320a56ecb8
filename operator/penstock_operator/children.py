"""The objects that the operator keeps for one JobQueue: made without a surplus pod, repaired when they drift.

Owns the order of server-side applies and the two field managers: `penstock-template` for the whole but the replicas,
`penstock-scale` for the replicas alone, which change only through /scale from then on. An interrupted creation is
seen by its field managers and repeated. What was refused is tried again after a while, not at every look.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from . import manifests
from .cache import Cache
from .cluster import Cluster
from .credentials import Credentials, marked, noted, rolls_out
from .errors import ClusterError, Conflict, NotFound, Refused
from .resource import Deployment, JobQueue
from .template_warnings import template_warnings
from .turns import Turn

logger = logging.getLogger("penstock.operator.children")

TEMPLATE: Final = "penstock-template"
SCALE: Final = "penstock-scale"
RETRY_SECONDS: Final = 10.0
SCALE_ATTEMPTS: Final = 3


class NameTaken(Refused):
    """A Deployment of the child's name belongs to somebody else."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    digest: str
    error: ClusterError
    until: float


@dataclass(slots=True)
class Monitoring:
    """Whether PodMonitors are made: `labels` are those that each gets, None while the cluster knows no PodMonitors."""

    labels: Mapping[str, str] | None = None


@dataclass(slots=True, kw_only=True)
class Children:
    """The children of one JobQueue.

    `applied` is the digest and the generation of our last apply, `warnings` what is wrong with the template.
    """

    cluster: Cluster
    cache: Cache
    monitoring: Monitoring
    turn: Turn = field(default_factory=Turn)
    warnings: tuple[str, ...] = ()
    _warned: str = ""
    _monitored: str = ""
    applied: tuple[str, int] | None = None
    _refusal: _Refusal | None = None

    async def ensure(self, queue: JobQueue, credentials: Credentials | None = None) -> Deployment:
        """The Deployment as it should be, except for its replicas.

        Args:
            queue: whose it is.
            credentials: what its workers use now, None while that is not known.

        Raises:
            NameTaken: one of that name is not ours.
            ClusterError: the API server refused, or did not answer; `held` may still know an older Deployment.
        """
        held = self.held(queue)
        manifest = marked(manifests.deployment(queue), held, credentials, rollout=rolls_out(queue))
        digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
        if digest != self._warned:
            self._warned = digest
            self.warnings = template_warnings(queue.template, manifest["spec"]["template"])
        await self._monitor(queue, digest)
        if held is not None and self.applied == (digest, held.generation) and noted(manifest, held):
            return held
        if self._refusal is not None and self._refusal.digest == digest and time.monotonic() < self._refusal.until:
            raise self._refusal.error
        try:
            async with self.turn.at(self.cluster.bulk):
                held = await self._bring(queue, manifest)
                self.applied, self._refusal = (digest, held.generation), None
                await self._protect(queue)
        except ClusterError as error:
            self._refusal = _Refusal(digest, error, time.monotonic() + RETRY_SECONDS)
            raise
        return held

    def held(self, queue: JobQueue) -> Deployment | None:
        """Our Deployment as last seen, if there is one."""
        found = self.cache.deployment_of(queue)
        return found if found is not None and found.owner == queue.uid else None

    async def _bring(self, queue: JobQueue, manifest: Mapping[str, Any]) -> Deployment:
        held = self.cache.deployment_of(queue) or await self._unseen(queue)
        if held is not None and held.owner != queue.uid:
            raise NameTaken(f"Deployment {queue.child} exists and does not belong to JobQueue {queue.name}", status=409)
        if held is not None and TEMPLATE in held.managers:
            return await self._apply(manifest, TEMPLATE)
        # Applying without replicas first would start one pod too many; so would scaling to zero afterwards.
        replicas = 0 if held is None else held.replicas
        await self._apply({**manifest, "spec": {**manifest["spec"], "replicas": replicas}}, SCALE)
        await self._apply(manifest, TEMPLATE)
        metadata = {"name": queue.child, "namespace": queue.namespace}
        only = {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": metadata}
        return await self._apply({**only, "spec": {"replicas": replicas}}, SCALE)

    async def _monitor(self, queue: JobQueue, digest: str) -> None:
        """A PodMonitor where the cluster knows what that is; a missing one keeps no worker from its work."""
        if self.monitoring.labels is None:
            self._monitored = ""
        elif self._monitored != digest:
            self._monitored = digest
            try:
                found = manifests.pod_monitor(queue, more=self.monitoring.labels)
                async with self.turn.at(self.cluster.bulk):
                    await self.cluster.apply(found, manager=TEMPLATE)
            except ClusterError as error:
                logger.warning("%s: no PodMonitor: %s", queue.where, error)

    async def _unseen(self, queue: JobQueue) -> Deployment | None:
        """One that the watch did not show: somebody else's without our label, or ours from a moment ago."""
        try:
            found = await self.cluster.get("Deployment", queue.namespace, queue.child)
        except NotFound:
            return None
        self.cache.deployments.observe(found)
        return Deployment.read(found)

    async def _apply(self, manifest: Mapping[str, Any], manager: str) -> Deployment:
        found = await self.cluster.apply(manifest, manager=manager)
        self.cache.deployments.observe(found)
        return Deployment.read(found)

    async def _protect(self, queue: JobQueue) -> None:
        """A missing disruption budget is no reason to leave a queue without workers."""
        try:
            await self.cluster.apply(manifests.disruption_budget(queue), manager=TEMPLATE)
        except ClusterError as error:
            logger.warning("%s: no PodDisruptionBudget: %s", queue.where, error)

    async def scale(self, deployment: Deployment, replicas: int) -> Deployment:
        """Change the replicas of a Deployment whose spec is still as it was read; the view afterwards.

        Raises:
            Conflict: its spec has changed since, or it has gone; the cache has the newer state by then.
            ClusterError: refused, or no answer.
        """
        for attempt in range(SCALE_ATTEMPTS):
            try:
                await self.cluster.scale(deployment, replicas)
            except Conflict:
                now = await self._read(deployment)
                same = (now.generation, now.replicas, now.uid) == (
                    deployment.generation, deployment.replicas, deployment.uid,
                )  # fmt: skip
                if not same or attempt + 1 == SCALE_ATTEMPTS:
                    raise
                deployment = now  # only its status has moved on
                continue
            except NotFound as error:  # and no watch has told
                self.cache.deployments.gone(deployment.uid)
                raise Conflict(f"Deployment {deployment.name} has gone", status=404) from error
            break
        # The answer was a Scale, without the generation that tells our write from a stranger's.
        view = await self._read(deployment)
        if self.applied is not None and view.generation == deployment.generation + 1:
            self.applied = (self.applied[0], view.generation)
        return view

    async def _read(self, deployment: Deployment) -> Deployment:
        found = await self.cluster.get("Deployment", deployment.namespace, deployment.name)
        self.cache.deployments.observe(found)
        return Deployment.read(found)
