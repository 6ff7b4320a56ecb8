"""The base of all parts of a manifest's policy, and the mark that links a field to a setting of the worker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import msgspec

_SETTING: Final = "setting"


class Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Shared settings of all structs: frozen, by keyword, camelCase in the manifest."""


def setting(name: str) -> msgspec.Meta:
    """Marks a field whose value is this field of a worker's `Settings`; None is the setting's default."""
    return msgspec.Meta(extra={_SETTING: name})


def settings_of(part: type[Part]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The settings that a part and the parts within it set, each with the path of attributes to its value."""
    for name, hint in get_type_hints(part, include_extras=True).items():
        for meta in getattr(hint, "__metadata__", ()):
            if isinstance(meta, msgspec.Meta) and _SETTING in (meta.extra or {}):
                yield str((meta.extra or {})[_SETTING]), (name,)
        for inner in _parts_in(hint):
            for found, path in settings_of(inner):
                yield found, (name, *path)


def _parts_in(hint: Any) -> Iterator[type[Part]]:
    """The parts that a field has at most one of."""
    if isinstance(hint, type) and issubclass(hint, Part):
        yield hint
    elif get_origin(hint) is Annotated:
        yield from _parts_in(get_args(hint)[0])
    elif get_origin(hint) is not tuple:
        for one in get_args(hint):
            yield from _parts_in(one)
