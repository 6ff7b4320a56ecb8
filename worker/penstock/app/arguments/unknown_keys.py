"""Finds keys that a type does not have, before msgspec drops them silently.

A TypedDict, a dataclass and an attrs class are read by their fields alone, whatever else the object has: a release that
does not know a field would run a job without it. Pure: from a type to a function over plain JSON values, made once per
task. A type without such classes inside has none, and costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec import inspect

Paths = Callable[[Any], Iterator[str]]

_BY_FIELDS: Final = (inspect.DataclassType, inspect.TypedDictType)
_ARRAYS: Final = (list, tuple)


@dataclass(slots=True, eq=False)
class Finder:
    """Finds unknown keys in plain JSON values of one type.

    Attributes:
        kind: the values that it is about; others are another member's of a union.
        paths: the paths of such keys, as `.lines[1].colour`.
    """

    kind: type | tuple[type, ...]
    paths: Paths

    def __call__(self, value: Any) -> Iterator[str]:
        """The paths in a value of any kind."""
        return self.paths(value) if isinstance(value, self.kind) else iter(())


def unknown_keys(info: inspect.Type) -> Finder | None:
    """The finder of unknown keys in values of a type; None if there can be none.

    Args:
        info: of the type, from `msgspec.inspect`.
    """
    return _Finders().of(info)


class _Finders:
    """Finders by class: a class that contains itself is visited once."""

    def __init__(self) -> None:
        self._known: dict[Any, Finder | None] = {}

    def of(self, info: Any) -> Finder | None:
        match info:
            case inspect.Metadata(type=inner):
                return self.of(inner)
            case inspect.UnionType(types=types):
                return _any_of([found for one in types if (found := self.of(one)) is not None])
            case inspect.DictType(value_type=inner):
                return _each(Mapping, self.of(inner), lambda value: ((f"[{key!r}]", value[key]) for key in value))
            case inspect.TupleType(item_types=types):
                return _places([self.of(one) for one in types])
            case inspect.NamedTupleType(fields=fields):
                return _places([self.of(one.type) for one in fields])
            case inspect.DataclassType() | inspect.TypedDictType() | inspect.StructType():
                return self._object(info)
        items: Any = getattr(info, "item_type", None)  # every kind of list and set
        return None if items is None else _each(_ARRAYS, self.of(items), _numbered)

    def _object(self, info: Any) -> Finder | None:
        if info.cls in self._known:
            return self._known[info.cls]
        shape = _ObjectShape(closed=isinstance(info, _BY_FIELDS))
        found = self._known[info.cls] = Finder(Mapping, shape.paths)
        array = getattr(info, "array_like", False)
        shape.fields = {one.encode_name: self.of(one.type) for one in info.fields}
        if array or not (shape.closed or any(one not in {None, found} for one in shape.fields.values())):
            self._known[info.cls] = None
        return self._known[info.cls]


@dataclass(slots=True)
class _ObjectShape:
    """Keys of an object that are not fields (`closed`: msgspec would drop them), and what its fields find."""

    closed: bool
    fields: dict[str, Finder | None] = field(default_factory=dict)

    def paths(self, value: Any) -> Iterator[str]:
        for key, inner in value.items():
            if key not in self.fields:
                if self.closed:
                    yield f".{key}"
            elif (find := self.fields[key]) is not None:
                yield from (f".{key}{path}" for path in find(inner))


def _each(
    kind: type | tuple[type, ...], find: Finder | None, parts: Callable[[Any], Iterator[tuple[str, Any]]]
) -> Finder | None:
    if find is None:
        return None
    return Finder(kind, lambda value: (f"{name}{path}" for name, part in parts(value) for path in find(part)))


def _numbered(value: Any) -> Iterator[tuple[str, Any]]:
    return ((f"[{place}]", item) for place, item in enumerate(value))


def _places(finds: list[Finder | None]) -> Finder | None:
    """Of a tuple: each place has a type of its own."""
    if not any(finds):
        return None
    return Finder(
        _ARRAYS,
        lambda value: (
            f"[{place}]{path}"
            for place, (find, item) in enumerate(zip(finds, value, strict=False))
            if find is not None
            for path in find(item)
        ),
    )


def _any_of(finds: list[Finder]) -> Finder | None:
    """Of a union: a key is unknown if no member that takes the value knows it (a tag distinguishes structs)."""
    if len(finds) <= 1:
        return finds[0] if finds else None

    def paths(value: Any) -> Iterator[str]:
        found: list[list[str]] = [list(find.paths(value)) for find in finds if isinstance(value, find.kind)]
        return iter(min(found, key=len) if found else ())

    return Finder((Mapping, *_ARRAYS), paths)
