"""The objects that the operator owns for one JobQueue: Deployment, disruption budget and PodMonitor.

Owns when an object is written: when the wanted manifest changes, when somebody changed its spec, labels or owner, and
when it was deleted. `owned_object` owns how it is written, `adoption` whether it is ours. A failed write is retried
after a pause that doubles, not at every reconciliation. A new Deployment starts with zero replicas.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ...errors import ChangesUndone, ClusterError, Conflict, NotFound
from ...kube.cache import Cache
from ...kube.client import Cluster
from ...kube.priority_gate import PriorityGate
from ...log_fields import log_fields
from ...resources.adoption import Meta, ObjectOwnership
from ...resources.resource import Deployment, JobQueue
from ..credentials import Credentials, marked, rolls_out
from ..failure_backoff import FailureBackoff
from ..template import manifests
from ..template.template_warnings import template_warnings
from .owned_object import OwnedObject
from .reverted_writes import UndoneWrites

logger = logging.getLogger("penstock.operator.owned_objects")

SCALE_ATTEMPTS: Final = 3


@dataclass(slots=True)
class Monitoring:
    """Settings for PodMonitors. `labels` are those each one gets; None if the cluster has no PodMonitor kind."""

    labels: Mapping[str, str] | None = None


@dataclass(slots=True)
class _Kept:
    """One owned object: digest and generation of our last write, and the pause after a failure."""

    applied: tuple[str, int] | None = None
    rest: FailureBackoff = field(default_factory=FailureBackoff)
    undone: UndoneWrites = field(default_factory=UndoneWrites)

    def stands(self, digest: str, existing: Meta | None, wanted: Mapping[str, Any]) -> bool:
        """Return True if there is nothing to write."""
        return (
            existing is not None
            and self.applied == (digest, existing.generation)
            and existing.intact(wanted["metadata"])
        )

    def repeats(self, digest: str, existing: Meta | None, wanted: Mapping[str, Any], generation: int) -> bool:
        """Return True if a write that left the object in `generation` was one of ours again, and changed something."""
        if self.applied is None or self.applied[0] != digest:
            return False
        return existing is None or existing.generation != generation or not existing.intact(wanted["metadata"])


@dataclass(slots=True, kw_only=True)
class OwnedObjects:
    """The owned objects of one JobQueue.

    `problem` is the error of the last write of an object other than the Deployment, None if it succeeded. `warnings`
    are sentences about the pod template.
    """

    cluster: Cluster
    cache: Cache
    monitoring: Monitoring
    gate: PriorityGate = field(default_factory=PriorityGate)
    problem: ClusterError | None = None
    warnings: tuple[str, ...] = ()
    resting_until: float = math.inf
    """When the first object that failed in the last `ensure` may be retried, by the monotonic clock."""
    _warned: str = ""
    _kept: dict[str, _Kept] = field(default_factory=dict)

    async def ensure(self, queue: JobQueue, credentials: Credentials | None = None) -> Deployment:
        """Write what differs; the Deployment as it should be, except for its replicas.

        Args:
            queue: the owner.
            credentials: what its workers use now; None while that is not known.

        Raises:
            NameTaken: a Deployment of that name has another owner.
            ClusterError: the API server refused, or did not answer; `existing` may still know an older Deployment.
        """
        self.resting_until = math.inf
        view, manifest = self.cache.deployment_of(queue), manifests.deployment(queue)
        ours = view is not None and view.meta.claim(manifest["metadata"]) is not ObjectOwnership.TAKEN
        wanted = marked(manifest, view if ours else None, credentials, rollout=rolls_out(queue))
        self._warn(queue, wanted)
        writes = OwnedObject(self.cluster, self.cache.deployments.observe)
        found = await self._keep(queue, wanted, None if view is None else view.meta, writes)
        await self._keep_others(queue)
        if found is not None:
            return Deployment.read(found)
        assert view is not None
        return view

    def _warn(self, queue: JobQueue, wanted: Mapping[str, Any]) -> None:
        if (digest := _digest(wanted)) != self._warned:
            self._warned = digest
            self.warnings = template_warnings(queue.template, wanted["spec"]["template"])

    async def _keep_others(self, queue: JobQueue) -> None:
        """A failure is kept in `problem`: without a disruption budget or monitor the queue still gets workers."""
        wanted = [manifests.disruption_budget(queue)]
        if self.monitoring.labels is not None:
            wanted.append(manifests.pod_monitor(queue, more=self.monitoring.labels))
        else:
            self._kept.pop("PodMonitor", None)
        problem = None
        for one in wanted:
            shelf = self.cache.others[one["kind"]]
            view = next(iter(shelf.found(queue.namespace, queue.name)), None)
            try:
                await self._keep(
                    queue, one, None if view is None else view.meta, OwnedObject(self.cluster, shelf.observe)
                )
            except ClusterError as error:
                if not (isinstance(error, NotFound) and one["kind"] == "PodMonitor"):  # the kind has just gone
                    problem = problem or error
        self.problem = problem

    async def _keep(
        self, queue: JobQueue, wanted: Mapping[str, Any], existing: Meta | None, writes: OwnedObject
    ) -> dict[str, Any] | None:
        """The object if it was written; None if it stands as wanted."""
        kept = self._kept.setdefault(wanted["kind"], _Kept())
        digest = _digest(wanted)
        stands = kept.stands(digest, existing, wanted)
        try:
            kept.undone.check(digest, stands=stands)
            if stands:
                kept.rest.succeeded()  # what was refused is not wanted any more
                return None
            kept.rest.check((queue.generation, digest))
            async with self.gate.through(self.cluster.bulk_gate):
                found = await writes.put(wanted, existing)
        except ChangesUndone:
            self.resting_until = min(self.resting_until, kept.undone.due_at)
            raise
        except ClusterError as error:
            if kept.rest.failed((queue.generation, digest), error):
                logger.warning("owned object not written", extra=log_fields(queue, error) | {"kind": wanted["kind"]})
            self.resting_until = min(self.resting_until, kept.rest.until or math.inf)
            raise
        generation = int(found["metadata"].get("generation", 0))
        if kept.repeats(digest, existing, wanted, generation) and kept.undone.repaired(wanted, existing):
            logger.warning(
                "every repair of the owned object is undone by another writer",
                extra=log_fields(queue) | {"kind": wanted["kind"]},
            )
        kept.applied = (digest, generation)
        kept.rest.succeeded()
        return found

    def existing(self, queue: JobQueue) -> Deployment | None:
        """Our Deployment as last seen, if there is one."""
        found = self.cache.deployment_of(queue)
        return found if found is not None and found.owner == queue.uid else None

    async def scale(self, deployment: Deployment, replicas: int) -> Deployment:
        """Change the replicas of a Deployment whose spec is still as observed; the view afterwards.

        Raises:
            Conflict: its spec has changed since, or it was deleted; the cache then has the newer state.
            ClusterError: refused, or no answer.
        """
        for attempt in range(SCALE_ATTEMPTS):
            try:
                await self.cluster.scale(deployment, replicas)
            except Conflict:
                now = await self._read(deployment)
                same = (now.generation, now.replicas, now.uid) == (
                    deployment.generation,
                    deployment.replicas,
                    deployment.uid,
                )
                if not same or attempt + 1 == SCALE_ATTEMPTS:
                    raise
                deployment = now  # only its status has moved on
                continue
            except NotFound as error:  # before the watch reported it
                self.cache.deployments.gone(deployment.uid)
                raise Conflict(f"Deployment {deployment.name} was deleted", status=404) from error
            break
        # The answer is a Scale, without the generation that distinguishes our write from another writer's.
        view = await self._read(deployment)
        kept = self._kept.get("Deployment")
        if kept is not None and kept.applied is not None and view.generation == deployment.generation + 1:
            kept.applied = (kept.applied[0], view.generation)
        return view

    async def _read(self, deployment: Deployment) -> Deployment:
        found = await self.cluster.get("Deployment", deployment.namespace, deployment.name)
        self.cache.deployments.observe(found)
        return Deployment.read(found)


def _digest(wanted: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
