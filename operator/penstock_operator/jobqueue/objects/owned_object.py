"""Creating, adopting and repairing one object that belongs to a JobQueue: the same steps for every kind.

Owns the order of writes. An object that is not there is created by a POST, which fails if somebody has just made one;
one that is there is changed only in the very version in which it was judged to be ours. What is somebody else's is
never written.

Two field managers: `penstock-template` has the whole but the replicas of a Deployment, `penstock-scale` has these. They
change only through /scale once the Deployment is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ...errors import Conflict, NameTaken
from ...kube.client import Cluster
from ...resources.adoption import SCALE, TEMPLATE, Claim, Meta, settled

ATTEMPTS: Final = 4
"""Of one repair whose object others write meanwhile: a controller its status, for the most part."""
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

    async def put(self, wanted: Mapping[str, Any], held: Meta | None) -> Object:
        """Have the object as wanted and return it; fields that others manage stay theirs.

        Args:
            wanted: without `spec.replicas`.
            held: as last seen, None if there was none.

        Raises:
            NameTaken: one of that name is somebody else's.
            Conflict: it has changed again and again meanwhile.
            ClusterError: refused, or no answer.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await (self._create(wanted) if held is None else self._update(wanted, held))
            except Conflict:
                if attempt == ATTEMPTS:
                    raise
            found = await self._find(wanted)
            held = None if found is None else Meta.read(found["metadata"])
        raise AssertionError("not reached")

    async def _create(self, wanted: Mapping[str, Any]) -> Object:
        """Applying without replicas would start one pod too many; so would scaling to zero afterwards."""
        scaled = wanted["kind"] == _SCALED
        body = {**wanted, "spec": {**wanted["spec"], "replicas": 0}} if scaled else wanted
        made = await self.cluster.create(body, manager=SCALE if scaled else TEMPLATE)
        self.observe(made)
        held = Meta.read((await self._settle(wanted, made))["metadata"])
        # A creation owns the API server's defaults, too; an apply owns what it says, and repeats without a write.
        return await self._apply(wanted, TEMPLATE, held, whichever=True)

    async def _update(self, wanted: Mapping[str, Any], held: Meta) -> Object:
        metadata = wanted["metadata"]
        claim = held.claim(metadata)
        if claim is Claim.TAKEN:
            (owner,) = metadata["ownerReferences"]
            raise NameTaken(
                f"{wanted['kind']} {metadata['name']} exists and does not belong to JobQueue {owner['name']}: it "
                f"{held.somebody()}. It is left as it is; delete or rename it, or give the JobQueue another name.",
                status=409,
            )
        if claim is Claim.ADOPTABLE:
            (owner,) = metadata["ownerReferences"]
            adopted = {"uid": held.uid, "resourceVersion": held.resource_version}
            held = self._seen(
                await self.cluster.patch_metadata(wanted, adopted | {"ownerReferences": held.owners_with(owner)})
            )
        first = wanted["kind"] == _SCALED and TEMPLATE not in held.applied
        if held.created or first:
            found = await self._find(wanted)
            if found is None:
                raise Conflict(f"{wanted['kind']} {metadata['name']} has gone", status=404)
            if held.created:
                found = await self._settle(wanted, found)
            held = Meta.read(found["metadata"])
            if first and TEMPLATE not in held.applied:
                return await self._divide(wanted, held, int(found["spec"].get("replicas", 1)))
        return await self._apply(wanted, TEMPLATE, held)

    async def _divide(self, wanted: Mapping[str, Any], held: Meta, replicas: int) -> Object:
        """One that we have never applied: the replicas have their manager before the rest loses them."""
        spec = {**wanted["spec"], "replicas": replicas}
        await self._apply({**wanted, "spec": spec}, SCALE, held)
        await self._apply(wanted, TEMPLATE, held, whichever=True)
        only = {"apiVersion": wanted["apiVersion"], "kind": wanted["kind"], "spec": {"replicas": replicas}}
        name = {key: wanted["metadata"][key] for key in ("name", "namespace")}
        return await self._apply({**only, "metadata": name}, SCALE, held, whichever=True)

    async def _settle(self, wanted: Mapping[str, Any], found: Object) -> Object:
        held = Meta.read(found["metadata"])
        managed = settled(found["metadata"].get("managedFields") or (), replicas=wanted["kind"] == _SCALED)
        change = {"uid": held.uid, "resourceVersion": held.resource_version, "managedFields": managed}
        made = await self.cluster.patch_metadata(wanted, change)
        self.observe(made)
        return made

    async def _apply(
        self, wanted: Mapping[str, Any], manager: str, held: Meta, *, whichever: bool = False
    ) -> Object:  # fmt: skip
        """Apply to the object that was judged, in just that version; `whichever`: we have written it since."""
        only = {"uid": held.uid} if whichever else {"uid": held.uid, "resourceVersion": held.resource_version}
        made = await self.cluster.apply({**wanted, "metadata": {**wanted["metadata"], **only}}, manager=manager)
        self.observe(made)
        return made

    async def _find(self, wanted: Mapping[str, Any]) -> Object | None:
        metadata = wanted["metadata"]
        return await self.cluster.find(wanted["kind"], metadata["namespace"], metadata["name"])

    def _seen(self, found: Object) -> Meta:
        self.observe(found)
        return Meta.read(found["metadata"])
