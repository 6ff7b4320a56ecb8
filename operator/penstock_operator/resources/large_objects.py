"""Leaves out JobQueues that are too large: dozens of them would exhaust the operator's memory for everyone. Pure.

The API server accepts 1.5 MiB, the definition passes most of a pod template unchecked, and Python needs thirty times as
much for a list of small objects. The JSON of the spec is therefore measured before it is decoded, and its values are
counted before it is kept. Of an object that is too large, only names, versions and status remain.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec

MAX_BYTES: Final = 128 * 1024
"""Bytes of a spec's JSON; a large pod template has twenty thousand."""
MAX_VALUES: Final = 10_000
"""Values in a spec, lists and objects included; a large pod template has a thousand."""
STATUS_BYTES: Final = 64 * 1024
"""A larger status is not ours, and reads as none."""
SPEC_BYTES: Final = "specBytes"
"""Key of the size of a spec that was left out; the definition has no such field."""
_EMPTY: Final = msgspec.Raw(b"{}")


class _JobQueueMetadata(msgspec.Struct, rename="camel", omit_defaults=True):
    """The fields of a JobQueue's metadata that are read."""

    uid: str
    name: str
    namespace: str
    resource_version: str
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class _ListedJobQueue(msgspec.Struct):
    metadata: _JobQueueMetadata
    spec: msgspec.Raw = _EMPTY
    status: msgspec.Raw = _EMPTY


class _JobQueueList(msgspec.Struct, rename={"api_version": "apiVersion"}):
    items: list[msgspec.Raw]
    metadata: dict[str, Any]
    kind: str = "JobQueueList"
    api_version: str = "penstock.dev/v1alpha1"


_jobqueue, _page = msgspec.json.Decoder(_ListedJobQueue), msgspec.json.Decoder(_JobQueueList)


def decode_jobqueue(data: bytes | msgspec.Raw) -> dict[str, Any]:
    """The fields of a JobQueue that are read, without its spec if that is too large.

    Raises:
        ValueError: that is no JobQueue.
    """
    found = _jobqueue.decode(data)
    made: dict[str, Any] = {"metadata": msgspec.to_builtins(found.metadata)}
    if len(bytes(found.status)) <= STATUS_BYTES:
        made["status"] = msgspec.json.decode(found.status)
    if (size := len(bytes(found.spec))) > MAX_BYTES:
        return made | {SPEC_BYTES: size}
    return made | {"spec": msgspec.json.decode(found.spec)}


def decode_jobqueue_list(data: bytes) -> dict[str, Any]:
    """A list of JobQueues as the API server sends it, each read as `decode_jobqueue` does.

    Raises:
        ValueError: that is no list.
    """
    page = _page.decode(data)
    items = [decode_jobqueue(one) for one in page.items]
    return {"kind": page.kind, "apiVersion": page.api_version, "metadata": page.metadata, "items": items}


def too_large(found: Mapping[str, Any]) -> str | None:
    """None, or why the spec of a JobQueue is not read."""
    spec = found.get("spec")
    size = found.get(SPEC_BYTES) if spec is None else _bytes_of(spec)
    if isinstance(size, int) and size > MAX_BYTES:
        return f"The spec is too large: {size} bytes of JSON, at most {MAX_BYTES} are read. {_ADVICE}"
    if _has_more_values(spec, MAX_VALUES):
        return f"The spec is too large: more than {MAX_VALUES} values, lists and objects included. {_ADVICE}"
    return None


_ADVICE: Final = "Move large content to a ConfigMap or an image."


def _has_more_values(value: Any, limit: int) -> bool:
    """Count no further than that, and without recursion: specs may be nested as deeply as they like."""
    count, left = 0, [value]
    while left and count <= limit:
        one = left.pop()
        parts = one.values() if isinstance(one, Mapping) else one if isinstance(one, list) else ()
        count += 1
        if len(parts) > limit:
            return True
        left.extend(parts)
    return count > limit


def _bytes_of(spec: object) -> int:
    """Bytes of the spec as JSON, even if it is not UTF-8: the reader of the field reports that."""
    try:
        return len(msgspec.json.encode(spec))
    except UnicodeEncodeError:
        return len(json.dumps(spec))
