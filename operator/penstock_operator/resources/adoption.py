"""The ownership rule for every owned object of a JobQueue. Pure.

An object is ours if the JobQueue is its controller. It is adopted if it carries our labels and nobody else controls it:
a JobQueue that was deleted with `--cascade=orphan`, or restored from a backup with a new uid, finds its objects again.
Any other object belongs to another owner. It is neither changed nor given an owner reference, which would delete it
together with the JobQueue.

A controller of the same kind and name with another uid is an earlier JobQueue of that name. It no longer exists, and
its reference only waits for the garbage collector.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

GROUP: Final = "penstock.dev/"
KIND: Final = "JobQueue"
TEMPLATE: Final = "penstock-template"
SCALE: Final = "penstock-scale"
OURS: Final = frozenset({TEMPLATE, SCALE})
_CONTROLLERS: Final = frozenset({"kube-controller-manager", "penstock-adoption"})
"""They write what belongs to them: a revision, a reference to an owner."""


class ObjectOwnership(enum.Enum):
    """The actions that a JobQueue may take on an object with its child's name."""

    OURS = enum.auto()
    ADOPTABLE = enum.auto()
    TAKEN = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """The fields that decide who owns an object, and whether it has changed since our last write.

    `applied` are the field managers that have applied it, `scaler` those of spec.replicas if we are not among them.
    `last_writer` is the field manager that wrote last, we and Kubernetes' own controllers apart.
    `created` says that an entry of ours is still that of a creation, which a later apply would ignore: fields that
    we drop would stay.
    """

    uid: str
    resource_version: str
    generation: int
    deleting: bool
    labels: Mapping[str, str] = field(repr=False)
    annotations: Mapping[str, str] = field(repr=False)
    owners: tuple[Mapping[str, Any], ...] = field(repr=False)
    applied: frozenset[str]
    created: bool
    scaler: str = ""
    last_writer: str = ""

    @classmethod
    def read(cls, metadata: Mapping[str, Any]) -> Self:
        """The view of an object's metadata."""
        managed = [one for one in metadata.get("managedFields") or () if not one.get("subresource")]
        return cls(
            uid=metadata["uid"],
            resource_version=metadata["resourceVersion"],
            generation=int(metadata.get("generation", 0)),
            deleting="deletionTimestamp" in metadata,
            labels=metadata.get("labels") or {},
            annotations=metadata.get("annotations") or {},
            owners=tuple(metadata.get("ownerReferences") or ()),
            applied=frozenset(one.get("manager", "") for one in managed if one.get("operation") == "Apply"),
            created=any(_is_creation(one) for one in managed),
            scaler=_scaler(metadata.get("managedFields") or ()),
            last_writer=_last_writer(managed),
        )

    @property
    def controller(self) -> Mapping[str, Any]:
        """Who controls it; empty if nobody does."""
        return next((one for one in self.owners if one.get("controller")), {})

    def claim(self, wanted: Mapping[str, Any]) -> ObjectOwnership:
        """The action that the JobQueue that wants `wanted`, the metadata of its child, may take on this one."""
        (owner,) = wanted["ownerReferences"]
        controller = self.controller
        if controller.get("uid") == owner["uid"]:
            return ObjectOwnership.OURS
        past = str(controller.get("apiVersion", "")).startswith(GROUP) and (
            controller.get("kind"),
            controller.get("name"),
        ) == (KIND, owner["name"])
        carries = all(self.labels.get(key) == value for key, value in identity_labels(wanted).items())
        return ObjectOwnership.ADOPTABLE if carries and (past or not controller) else ObjectOwnership.TAKEN

    def intact(self, wanted: Mapping[str, Any]) -> bool:
        """Return True if labels, annotations and controller are as wanted; changes of these move no generation."""
        return (
            self.claim(wanted) is ObjectOwnership.OURS
            and wanted.get("labels", {}).items() <= self.labels.items()
            and wanted.get("annotations", {}).items() <= self.annotations.items()
        )

    def owners_with(self, owner: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The references once `owner` controls it: those of others stay, the past goes."""
        return [*(one for one in self.owners if not one.get("controller") and one.get("uid") != owner["uid"]), owner]

    def somebody(self) -> str:
        """Who has it, for a sentence."""
        found = self.controller
        if found:
            return f"is controlled by {found.get('kind')} {found.get('name')}"
        return "does not have the labels of this JobQueue's objects"


def identity_labels(wanted: Mapping[str, Any]) -> dict[str, str]:
    """The labels by which a child is known: the manager's, and the JobQueue's name."""
    keys = ("app.kubernetes.io/managed-by", "penstock.dev/jobqueue")
    return {key: wanted["labels"][key] for key in keys}


def _is_creation(entry: Mapping[str, Any]) -> bool:
    return entry.get("manager") in OURS and entry.get("operation") == "Update" and not entry.get("subresource")


def _scaler(managed: Sequence[Mapping[str, Any]]) -> str:
    names = {
        str(one.get("manager")) for one in managed if "f:replicas" in (one.get("fieldsV1") or {}).get("f:spec", {})
    }
    return "" if names & OURS else ", ".join(sorted(names))


def _last_writer(managed: Sequence[Mapping[str, Any]]) -> str:
    others = [one for one in managed if one.get("manager") not in OURS | _CONTROLLERS]
    return str(max(others, key=lambda one: str(one.get("time", "")), default={}).get("manager", ""))


def settled_fields(managed: Sequence[Mapping[str, Any]], *, replicas: bool) -> list[dict[str, Any]]:
    """`managedFields` in which our creation reads as the applies that it stands for.

    An object is created by a POST, because an apply would take over one that somebody has just made. The API server
    notes that as an update, whose fields no later apply removes.

    Args:
        managed: as the object has them.
        replicas: the creation set `spec.replicas`, which has a manager of its own.
    """
    made: dict[tuple[Any, ...], dict[str, Any]] = {}
    for entry in managed:
        if not _is_creation(entry):
            _add(made, entry)
            continue
        fields: dict[str, Any] = {**entry.get("fieldsV1", {})}
        applied = {**entry, "operation": "Apply"}
        if replicas and "f:replicas" in fields.get("f:spec", {}):
            fields["f:spec"] = {key: value for key, value in fields["f:spec"].items() if key != "f:replicas"}
            _add(made, {**applied, "manager": SCALE, "fieldsV1": {"f:spec": {"f:replicas": {}}}})
        _add(made, {**applied, "manager": TEMPLATE, "fieldsV1": fields})
    return list(made.values())


def _add(made: dict[tuple[Any, ...], dict[str, Any]], entry: Mapping[str, Any]) -> None:
    """There may be one entry of a manager and operation; a second one's fields join it."""
    key = tuple(entry.get(part) for part in ("manager", "operation", "apiVersion", "subresource"))
    kept = made.setdefault(key, dict(entry))
    if kept.get("fieldsV1") != entry.get("fieldsV1"):
        kept["fieldsV1"] = _union(kept.get("fieldsV1", {}), entry.get("fieldsV1", {}))


def _union(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return {**one, **{key: _union(one.get(key, {}), value) for key, value in other.items()}}
