"""Creates, adopts and repairs one object that belongs to a JobQueue: the same steps for every kind.

Owns the order of writes. A missing object is created by a POST, which fails if another writer has just created one. An
existing object is changed only in exactly the version in which it was judged to be ours. An object of another owner is
never written.

Two field managers: `penstock-template` owns everything but the replicas of a Deployment, `penstock-scale` owns these.
They change only through /scale once the Deployment exists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ...errors import Conflict, NameTaken
from ...kube.client import Cluster
from ...resources.adoption import SCALE, TEMPLATE, Meta, ObjectOwnership, settled_fields

ATTEMPTS: Final = 4
"""Attempts of one repair while others write the object, usually a controller its status."""
_SCALED: Final = "Deployment"

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class OwnedObject:
    """Writes of one child.

    Args:
        cluster: the API server.
        observe: called with each of its answers.
    """

    cluster: Cluster
    observe: Callable[[Object], None]

    async def put(self, wanted: Mapping[str, Any], existing: Meta | None) -> Object:
        """Write the object as wanted and return it; fields of other managers stay.

        Args:
            wanted: without `spec.replicas`.
            existing: as last seen, None if there was none.

        Raises:
            NameTaken: an object of that name has another owner.
            Conflict: it changed during every attempt.
            ClusterError: refused, or no answer.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await (self._create(wanted) if existing is None else self._update(wanted, existing))
            except Conflict:
                if attempt == ATTEMPTS:
                    raise
            found = await self._find(wanted)
            existing = None if found is None else Meta.read(found["metadata"])
        raise AssertionError("not reached")

    async def _create(self, wanted: Mapping[str, Any]) -> Object:
        """Applying without replicas would start one pod too many; so would scaling to zero afterwards."""
        scaled = wanted["kind"] == _SCALED
        body = {**wanted, "spec": {**wanted["spec"], "replicas": 0}} if scaled else wanted
        made = await self.cluster.create(body, manager=SCALE if scaled else TEMPLATE)
        self.observe(made)
        existing = Meta.read((await self._settle(wanted, made))["metadata"])
        # A creation owns the API server's defaults, too; an apply owns what it says, and repeats without a write.
        return await self._apply(wanted, TEMPLATE, existing, latest=True)

    async def _update(self, wanted: Mapping[str, Any], existing: Meta) -> Object:
        metadata = wanted["metadata"]
        claim = existing.claim(metadata)
        if claim is ObjectOwnership.TAKEN:
            (owner,) = metadata["ownerReferences"]
            raise NameTaken(
                f"{wanted['kind']} {metadata['name']} exists and does not belong to JobQueue {owner['name']}: it "
                f"{existing.somebody()}. It is not changed; delete or rename it, or give the JobQueue another name.",
                status=409,
            )
        if claim is ObjectOwnership.ADOPTABLE:
            (owner,) = metadata["ownerReferences"]
            adopted = {"uid": existing.uid, "resourceVersion": existing.resource_version}
            existing = self._seen(
                await self.cluster.patch_metadata(wanted, adopted | {"ownerReferences": existing.owners_with(owner)})
            )
        first = wanted["kind"] == _SCALED and TEMPLATE not in existing.applied
        if existing.created or first:
            found = await self._find(wanted)
            if found is None:
                raise Conflict(f"{wanted['kind']} {metadata['name']} was deleted", status=404)
            if existing.created:
                found = await self._settle(wanted, found)
            existing = Meta.read(found["metadata"])
            if first and TEMPLATE not in existing.applied:
                return await self._divide(wanted, existing, int(found["spec"].get("replicas", 1)))
        return await self._apply(wanted, TEMPLATE, existing)

    async def _divide(self, wanted: Mapping[str, Any], existing: Meta, replicas: int) -> Object:
        """One that we have never applied: the replicas have their manager before the rest loses them."""
        spec = {**wanted["spec"], "replicas": replicas}
        await self._apply({**wanted, "spec": spec}, SCALE, existing)
        await self._apply(wanted, TEMPLATE, existing, latest=True)
        only = {"apiVersion": wanted["apiVersion"], "kind": wanted["kind"], "spec": {"replicas": replicas}}
        name = {key: wanted["metadata"][key] for key in ("name", "namespace")}
        return await self._apply({**only, "metadata": name}, SCALE, existing, latest=True)

    async def _settle(self, wanted: Mapping[str, Any], found: Object) -> Object:
        existing = Meta.read(found["metadata"])
        managed = settled_fields(found["metadata"].get("managedFields") or (), replicas=wanted["kind"] == _SCALED)
        change = {"uid": existing.uid, "resourceVersion": existing.resource_version, "managedFields": managed}
        made = await self.cluster.patch_metadata(wanted, change)
        self.observe(made)
        return made

    async def _apply(self, wanted: Mapping[str, Any], manager: str, existing: Meta, *, latest: bool = False) -> Object:
        """Apply to the object that was judged, in exactly that version; with `latest`, in any version."""
        only = {"uid": existing.uid} if latest else {"uid": existing.uid, "resourceVersion": existing.resource_version}
        made = await self.cluster.apply({**wanted, "metadata": {**wanted["metadata"], **only}}, manager=manager)
        self.observe(made)
        return made

    async def _find(self, wanted: Mapping[str, Any]) -> Object | None:
        metadata = wanted["metadata"]
        return await self.cluster.find(wanted["kind"], metadata["namespace"], metadata["name"])

    def _seen(self, found: Object) -> Meta:
        self.observe(found)
        return Meta.read(found["metadata"])
