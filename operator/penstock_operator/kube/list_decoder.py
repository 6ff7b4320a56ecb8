"""Decodes one page of a list from the API server, and only the objects that are new. Pure.

Most objects of most lists are in the last list too. Of these only uid and version are read, and the parser skips the
rest, which is mostly managed fields. A list of 500 queues and their Deployments is six megabytes; decoding it fully
once a minute was half of the cost of an operator at rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from ..resources.large_objects import decode_jobqueue
from .partial_decoder import decode_child, decode_workload

Decode = Callable[[bytes | msgspec.Raw], dict[str, Any]]
"""One object as the API server sends it -> what is read of it."""
PAGE: Final = 50
"""Objects of one page, which is read as a whole; an object may have more than a megabyte."""
Known = Callable[[str, str], bool]
"""uid and resource version -> whether exactly that view is known already."""


class _ObjectVersion(msgspec.Struct, rename="camel"):
    uid: str
    resource_version: str


class _Named(msgspec.Struct):
    metadata: _ObjectVersion


class _Position(msgspec.Struct, rename={"more": "continue"}):
    more: str = ""


class _ListPage(msgspec.Struct):
    items: list[msgspec.Raw]
    metadata: _Position


_page, _named = msgspec.json.Decoder(_ListPage), msgspec.json.Decoder(_Named)


def nothing(_uid: str, _version: str) -> bool:
    """Nothing is known already."""
    return False


def decoder(kind: str) -> Decode:
    """Return the decoder for objects of a kind."""
    if kind == "JobQueue":
        return decode_jobqueue
    return decode_workload if kind in {"Deployment", "Pod"} else decode_child


def decode_page(data: bytes, known: Known, *, decode: Decode = msgspec.json.decode) -> tuple[list[dict[str, Any]], str]:
    """The objects, and where the next page starts, empty after the last; of a known object only uid and version.

    Args:
        data: as the API server sends it.
        known: of which uid and version are enough.
        decode: reads the others.

    Raises:
        ValueError: that is no page of a list.
    """
    page = _page.decode(data)
    found: list[dict[str, Any]] = []
    for item in page.items:
        it = _named.decode(item).metadata
        if known(it.uid, it.resource_version):
            found.append({"metadata": {"uid": it.uid, "resourceVersion": it.resource_version}})
        else:
            found.append(decode(item))
    return found, page.metadata.more
