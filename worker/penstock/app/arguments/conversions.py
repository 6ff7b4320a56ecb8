"""Python values that msgspec does not know by itself, to JSON and back: paths, pydantic models, subclasses, proxies.

Three directions: `take` a value that was given to a call, `give` it to the encoder, and read it from a job's JSON
(`decode_hook`). A proxy is a class that stands for an annotation in msgspec's types, and says itself how (`proxies`).
pydantic is used where the application has imported it, and never imported here.
"""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections import Counter, deque
from collections.abc import Iterable, Mapping, ValuesView
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Final, get_args, get_origin
from uuid import UUID

import msgspec


def _real(kind: Any) -> Any:
    """The class of the standard library, also while freezegun stands in for it."""
    return next(base for base in kind.__mro__ if base.__module__ == "datetime")


_DATETIME, _DATE, _TIME = ((_real(kind),) for kind in (datetime, date, time))
"""In tuples: freezegun replaces what a module holds by name."""
_NAMES: Final = ("year", "month", "day", "hour", "minute", "second", "microsecond")
_SCALARS: Final = (str, int, float, Decimal, UUID, PurePath)
"""Bases of which a subclass can be made from a plain value."""

_PLAIN: Final = (
    str,
    int,
    float,
    Decimal,
    *_DATETIME,
    *_DATE,
    Mapping,
    AbstractSet,
    deque,
    range,
    ValuesView,
)
"""Types that the encoder gets as plain values anywhere; other iterables might be infinite, or readable only once."""


class Chosen:
    """A proxied value as given, and its JSON as plain values. Not a dataclass, because msgspec would encode one."""

    __slots__ = ("json", "value")

    def __init__(self, value: Any, json: Any) -> None:
        self.value, self.json = value, json


class Sealed:
    """A member of an enum on its way to a proxy: msgspec would pass its value on, which may be another member's."""

    __slots__ = ("value",)

    def __init__(self, value: Enum) -> None:
        self.value = value


def sealed(value: Any) -> Any:
    """The value with the members of enums in it, and in its lists and dicts, sealed."""
    if isinstance(value, Enum):
        return Sealed(value)
    if type(value) in {list, tuple}:
        return [sealed(item) for item in value]
    if type(value) is dict:
        return {key: sealed(item) for key, item in value.items()}
    return value


class AlwaysInstance(type):
    """msgspec asks whether what a hook returned is an instance of the type; a proxy has none of its own."""

    def __instancecheck__(cls, instance: object) -> bool:
        """Whatever its hook made."""
        return True


class Proxy(metaclass=AlwaysInstance):
    """Stands for an annotation that msgspec does not take."""

    @classmethod
    @abstractmethod
    def take(cls, value: Any) -> Chosen:
        """A given value. Raises ValueError or TypeError."""

    @classmethod
    @abstractmethod
    def read(cls, json: Any) -> Any:
        """The value of plain JSON. Raises ValueError or TypeError."""


def is_supported(kind: Any) -> bool:
    """Return True if a class that msgspec does not know can be an argument all the same."""
    origin = get_origin(kind) or kind
    if not isinstance(origin, type):
        return False
    return issubclass(origin, (Proxy, *_SCALARS, *_DATETIME, *_DATE, deque, Counter)) or is_model(origin)


def is_model(kind: Any) -> bool:
    """A model of pydantic 2, if the application uses pydantic."""
    pydantic = sys.modules.get("pydantic")
    base = getattr(pydantic, "BaseModel", None)
    return base is not None and hasattr(base, "model_validate") and isinstance(kind, type) and issubclass(kind, base)


def take(kind: Any, value: Any) -> Any:
    """Msgspec's dec_hook for values that were given to a call."""
    origin = get_origin(kind) or kind
    if issubclass(origin, Proxy):
        return origin.take(value)
    value = value.value if isinstance(value, Sealed) else value
    return value if isinstance(value, origin) else decode_hook(kind, value)


def decode_hook(kind: Any, json: Any) -> Any:
    """Msgspec's dec_hook for the JSON of a job."""
    origin = get_origin(kind) or kind
    if issubclass(origin, Proxy):
        return origin.read(json)
    if is_model(origin):
        return _model(origin, json)
    if issubclass(origin, deque):
        [item] = get_args(kind) or (Any,)
        return origin(msgspec.convert(json, list[item], dec_hook=decode_hook))  # type: ignore[valid-type]
    if issubclass(origin, Counter):
        [item] = get_args(kind) or (str,)
        return origin(msgspec.convert(json, dict[item, int], str_keys=True, dec_hook=decode_hook))  # type: ignore[valid-type]
    if issubclass(origin, _DATETIME):
        return _moment(origin, msgspec.convert(json, _DATETIME[0]))
    if issubclass(origin, _DATE):
        found = msgspec.convert(json, _DATE[0])
        return origin(found.year, found.month, found.day)
    base = next(one for one in _SCALARS if issubclass(origin, one))
    return origin(msgspec.convert(json, str if base in {PurePath, UUID} else base))


def give(value: Any) -> Any:
    """Msgspec's enc_hook: plain values of what it does not know. Raises TypeError."""
    if isinstance(value, Chosen):
        return value.json
    if isinstance(value, Sealed):
        return value.value
    if isinstance(value, PurePath):
        return str(value)
    if is_model(type(value)):
        return value.model_dump(mode="json", by_alias=True, round_trip=True)
    found = as_builtins(value) if isinstance(value, _PLAIN) else value
    if found is value:
        raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")
    return found


def as_builtins(value: Any) -> Any:
    """The value with everything inside as msgspec takes it: subclasses as their base, iterables as lists.

    Fields of objects and members of containers as well. What needs nothing is returned as it is.
    """
    kind = type(value)
    if value is None or isinstance(value, (bool, Enum, bytes, bytearray, memoryview)):
        return value
    if isinstance(value, str):
        return value if kind is str else str.__str__(value)
    if isinstance(value, int):
        return value if kind is int else int(value)
    if isinstance(value, float):
        return value if kind is float else float(value)
    if isinstance(value, Decimal):
        return value if kind is Decimal else Decimal(value)
    if isinstance(value, _DATETIME):
        return value if kind in _DATETIME else _moment(_DATETIME[0], value)
    if isinstance(value, _DATE):
        return value if kind in _DATE else _DATE[0](value.year, value.month, value.day)
    if isinstance(value, Mapping):
        return {as_builtins(key): as_builtins(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = map(as_builtins, value)
        return set(items) if isinstance(value, (set, frozenset)) else list(items)
    if isinstance(value, (UUID, PurePath, *_TIME)) or is_model(kind):
        return value
    if (names := _field_names(kind)) is not None:
        return {name: as_builtins(getattr(value, name)) for name in names}
    return [as_builtins(item) for item in value] if isinstance(value, Iterable) else value


def _field_names(kind: Any) -> list[str] | None:
    """Fields of a dataclass, a struct or an attrs class."""
    if hasattr(kind, "__dataclass_fields__"):
        return list(kind.__dataclass_fields__)
    if issubclass(kind, msgspec.Struct):
        return list(kind.__struct_fields__)
    attributes = getattr(kind, "__attrs_attrs__", None)
    return None if attributes is None else [one.name for one in attributes]


def _moment(kind: Any, value: Any) -> Any:
    return kind(*(getattr(value, name) for name in _NAMES), tzinfo=value.tzinfo, fold=value.fold)


def _model(kind: Any, json: Any) -> Any:
    """Validated as JSON, because strict models take their own dates only then. The error has no value in it."""
    try:
        return kind.model_validate_json(msgspec.json.encode(json))
    except ValueError as error:
        found = getattr(error, "errors", None)
        if found is None:
            raise
        said = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found(include_input=False, include_url=False)
        )
        raise ValueError(f"{kind.__name__}: {said}") from None
