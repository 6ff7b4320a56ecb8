"""Converts an annotation to a type that msgspec decodes; annotations that msgspec rejects become proxies.

Pure. An annotation that msgspec accepts stays unchanged, so most tasks have no proxy at all.
"""

from __future__ import annotations

import collections
import collections.abc
import dataclasses
import enum
import types
import typing
from typing import Annotated, Any, Literal, NewType, NotRequired, Required, Union

import msgspec

from . import conversions
from .proxies import choice, one_of, record

_ITERABLES = (collections.abc.Iterable, collections.abc.Iterator, collections.abc.Reversible)


def translated(hint: Any) -> Any:
    """The type for msgspec.

    Raises:
        TypeError: there is none.
    """
    if isinstance(hint, NewType):
        return translated(hint.__supertype__)
    if (value := getattr(hint, "__value__", None)) is not None:  # `type X = ...`
        return translated(value)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return Annotated[(translated(args[0]), *hint.__metadata__)]
    if origin is Literal:
        return one_of(args) if any(isinstance(one, enum.Enum) for one in args) else hint
    if origin in {Union, types.UnionType}:
        return _union(args)
    if origin in {Required, NotRequired}:
        return origin[translated(args[0])]
    if (origin or hint) in _ITERABLES:
        return list[translated(*args)] if args else list  # type: ignore[misc]
    if isinstance(origin, type) and args and not dataclasses.is_dataclass(origin) and not typing.is_typeddict(origin):
        return _with(hint, origin, tuple(one if one is ... else translated(one) for one in args))
    return _class(hint) if isinstance(hint, type) else hint


def _with(hint: Any, origin: Any, args: tuple[Any, ...]) -> Any:
    """The same generic with other arguments."""
    return hint if args == typing.get_args(hint) else origin[args]


def _union(args: tuple[Any, ...]) -> Any:
    members = tuple(translated(one) for one in args)
    made: Any = Union.__getitem__(members)
    if _fits(made):
        return made
    some = choice(tuple(one for one in members if one is not type(None)))
    return some | None if type(None) in members else some


def _class(kind: type) -> Any:
    """Freezegun's classes are the real ones; dataclasses and TypedDicts are made again if a field needs a proxy."""
    if kind.__module__.startswith("freezegun"):
        return next((base for base in kind.__mro__ if base.__module__ == "datetime"), kind)
    if not (dataclasses.is_dataclass(kind) or typing.is_typeddict(kind)) or _fits(kind):
        return kind
    fields: Any = kind
    hints = {name: translated(one) for name, one in typing.get_type_hints(kind, include_extras=True).items()}
    if dataclasses.is_dataclass(kind):
        return record(kind, hints)
    optional = {
        name for name in fields.__optional_keys__ if typing.get_origin(hints[name]) not in {Required, NotRequired}
    }
    keys = {name: NotRequired[hint] if name in optional else hint for name, hint in hints.items()}
    return typing.TypedDict(kind.__name__, keys)  # type: ignore[operator]


def _fits(hint: Any) -> bool:
    try:
        msgspec.json.Decoder(hint)
        return unsupported(hint) is None
    except (TypeError, NameError, RecursionError):
        return False


def unsupported(hint: Any) -> Any:
    """A class inside the type that has no JSON form here; None if there is none. Raises TypeError as msgspec does."""
    for part in parts(hint):
        if isinstance(part, msgspec.inspect.CustomType) and not conversions.is_supported(part.cls):
            return part.cls
    return None


def instead_of(kind: Any) -> str:
    """The types to use in place of a type that has no JSON form."""
    if hasattr(kind, "__fields__") and hasattr(kind, "parse_obj") and not conversions.is_model(kind):
        return "models of pydantic 1 are not supported: use pydantic 2, or pass model.dict()"
    return (
        "use numbers, text, dates, UUID, Decimal, enums, paths, lists, dicts, dataclasses, pydantic models, "
        "or Any for plain JSON"
    )


def holds(hint: Any, kinds: tuple[type[msgspec.inspect.Type], ...]) -> bool:
    """Return True if a type, or one inside it, is of these kinds."""
    return any(isinstance(part, kinds) for part in parts(hint))


def parts(hint: Any) -> typing.Iterator[Any]:
    """The types that msgspec finds in a type, itself included."""
    seen: set[int] = set()
    found = [msgspec.inspect.type_info(hint)]
    while found:
        part: Any = found.pop()
        yield part
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, tuple):
            found.extend(part)
        elif isinstance(part, (msgspec.inspect.Type, msgspec.inspect.Field)):
            found.extend(getattr(part, name) for name in part.__struct_fields__)
