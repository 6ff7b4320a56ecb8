"""Decodes Deployments and pods of a list only as far as the views read them. Pure.

A tenant that may create Deployments can give one our label, no replicas, and a megabyte of small objects, which become
thirty in Python. A list of fifty of them exceeded the operator's memory. Fields that no view reads are skipped in the
parser; fields that one reads are measured first, and left out if they are larger than the operator ever writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

TEXTS_BYTES: Final = 128 * 1024
"""Bytes of an object's labels, or of its annotations: a JobQueue, which ours come from, has no more."""
PART_BYTES: Final = 64 * 1024
"""Bytes of owner references, and of a status."""
MAX_MANAGERS: Final = 100
"""Entries of managed fields; the API server keeps about ten."""

Maybe = Raw | UnsetType


class _Spec(Struct):
    replicas: Maybe = field(default=UNSET, name="f:replicas")


class _AnnotationFields(Struct):
    annotations: dict[str, Raw] | UnsetType = field(default=UNSET, name="f:annotations")


class _ManagedFields(Struct):
    metadata: _AnnotationFields | UnsetType = field(default=UNSET, name="f:metadata")
    spec: _Spec | UnsetType = field(default=UNSET, name="f:spec")


class _Managed(Struct, rename="camel", omit_defaults=True):
    manager: str = ""
    operation: str = ""
    subresource: str = ""
    time: str = ""
    fields: _ManagedFields | UnsetType = field(default=UNSET, name="fieldsV1")


class _Metadata(Struct, rename="camel"):
    uid: str
    name: str
    namespace: str
    resource_version: str
    generation: int | UnsetType = UNSET
    creation_timestamp: str | UnsetType | None = UNSET
    deletion_timestamp: str | UnsetType = UNSET
    deletion_grace_period_seconds: int | UnsetType = UNSET
    labels: Maybe = UNSET
    annotations: Maybe = UNSET
    owner_references: Maybe = UNSET
    managed_fields: list[_Managed] | UnsetType = UNSET


class _TemplateMetadata(Struct):
    annotations: Maybe = UNSET


class _WorkloadTemplate(Struct):
    metadata: _TemplateMetadata | UnsetType = UNSET


class _Probe(Struct, rename="camel"):
    period_seconds: float | UnsetType = UNSET
    timeout_seconds: float | UnsetType = UNSET


class _WorkloadContainer(Struct, rename="camel"):
    readiness_probe: _Probe | UnsetType = UNSET


class _Specification(Struct, rename="camel"):
    """Fields of a Deployment's spec, then those of a pod's."""

    replicas: int | UnsetType = UNSET
    paused: bool | UnsetType = UNSET
    progress_deadline_seconds: int | UnsetType = UNSET
    strategy: Maybe = UNSET
    template: _WorkloadTemplate | UnsetType = UNSET
    node_name: str | UnsetType = UNSET
    termination_grace_period_seconds: int | UnsetType = UNSET
    containers: list[_WorkloadContainer] | UnsetType = UNSET


class _Workload(Struct):
    metadata: _Metadata
    spec: _Specification | UnsetType = UNSET
    status: Maybe = UNSET


class _OtherObject(Struct):
    metadata: _Metadata


class _List(Struct, rename={"api_version": "apiVersion"}):
    items: list[Raw]
    metadata: dict[str, Any]
    kind: str = ""
    api_version: str = "v1"


_object, _child = msgspec.json.Decoder(_Workload), msgspec.json.Decoder(_OtherObject)
_list = msgspec.json.Decoder(_List)
LISTS: Final = frozenset({"PodList", "DeploymentList"})


def decode_workload(data: bytes | Raw) -> dict[str, Any]:
    """The fields of a Deployment or a pod that the views read.

    Raises:
        ValueError: that is neither.
    """
    found = _object.decode(data)
    made: dict[str, Any] = {"metadata": _metadata(found.metadata)}
    if (spec := found.spec) is not UNSET:
        made["spec"] = _plain(spec)
        _add(made["spec"], "strategy", spec.strategy, PART_BYTES)
        if spec.template is not UNSET and spec.template.metadata is not UNSET:
            inner: dict[str, Any] = {}
            _add(inner, "annotations", spec.template.metadata.annotations, TEXTS_BYTES)
            made["spec"]["template"] = {"metadata": inner}
    _add(made, "status", found.status, PART_BYTES)
    return made


def decode_child(data: bytes | Raw) -> dict[str, Any]:
    """The fields of any other child that the view reads: metadata, and an empty spec: a known object has none.

    Raises:
        ValueError: that is no object.
    """
    return {"metadata": _metadata(_child.decode(data).metadata), "spec": {}}


def _metadata(metadata: _Metadata) -> dict[str, Any]:
    made = _plain(metadata)
    for name, part, limit in (
        ("labels", metadata.labels, TEXTS_BYTES),
        ("annotations", metadata.annotations, TEXTS_BYTES),
        ("ownerReferences", metadata.owner_references, PART_BYTES),
    ):
        _add(made, name, part, limit)
    if metadata.managed_fields is not UNSET:
        made["managedFields"] = [_entry(one) for one in metadata.managed_fields[:MAX_MANAGERS]]
    return made


def decode_workload_list(data: bytes) -> dict[str, Any] | None:
    """A list of Deployments or pods as the API server sends it, or None: that is a list of something else.

    Raises:
        ValueError: that is no list.
    """
    page = _list.decode(data)
    if page.kind not in LISTS:
        return None
    items = [decode_workload(one) for one in page.items]
    return {"kind": page.kind, "apiVersion": page.api_version, "metadata": page.metadata, "items": items}


_RAW: Final = ("labels", "annotations", "ownerReferences", "managedFields", "strategy", "template")


def _plain(part: Struct) -> dict[str, Any]:
    """The scalars of a part, and a pod's containers."""
    left_out = {name: UNSET for name in part.__struct_fields__ if _camel(part, name) in _RAW}
    found: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(part, **left_out))
    return found


def _camel(part: Struct, name: str) -> str:
    return part.__struct_encode_fields__[part.__struct_fields__.index(name)]


def _add(made: dict[str, Any], name: str, part: Maybe, limit: int) -> None:
    if part is not UNSET and len(memoryview(part)) <= limit:
        made[name] = msgspec.json.decode(part)


def _entry(one: _Managed) -> Mapping[str, Any]:
    """An entry with the names alone of the fields that are asked for."""
    made: dict[str, Any] = {"manager": one.manager, "operation": one.operation}
    if one.subresource:
        made["subresource"] = one.subresource
    if one.time:
        made["time"] = one.time
    fields: dict[str, Any] = {}
    if one.fields is not UNSET:
        if one.fields.spec is not UNSET and one.fields.spec.replicas is not UNSET:
            fields["f:spec"] = {"f:replicas": {}}
        if one.fields.metadata is not UNSET and one.fields.metadata.annotations is not UNSET:
            fields["f:metadata"] = {"f:annotations": {key: {} for key in one.fields.metadata.annotations}}
    return made | {"fieldsV1": fields}
