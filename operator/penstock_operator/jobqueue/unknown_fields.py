"""Removes status fields that the installed JobQueue definition does not have. Pure.

An operator may be newer than the definition of the cluster. Server-side apply then rejects the whole status because
of one unknown field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

_FIELD: Final = re.compile(r"(?<!\S)\.status\.(\w+(?:\.\w+)*): field not declared in schema")


def undeclared(message: str) -> frozenset[str]:
    """The fields, as dotted paths below `status`, that the API server's refusal says it does not know."""
    return frozenset(_FIELD.findall(message))


def without(status: Mapping[str, Any], fields: AbstractSet[str]) -> dict[str, Any]:
    """The status without these fields; the given one is not changed."""
    made = dict(status)
    for path in fields:
        name, _, inner = path.partition(".")
        if not inner:
            made.pop(name, None)
        elif isinstance(made.get(name), Mapping):
            made[name] = without(made[name], {inner})
    return made
