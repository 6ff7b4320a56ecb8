"""The unique key of a call: equal arguments have one key, in every process, however the call was written.

Pure. What Python calls equal is equal here: numbers of any kind, Decimals with other zeros, times in other zones, dicts
and sets in any order, a tuple and a list, an enum and its value. A bool is no number. An argument that equals its
default counts as absent: a parameter that a later release adds changes no key.

The version is a part of the key. Another way of making keys needs another version: else two releases that run side by
side would each think that the other's jobs are other jobs, and nobody could see why.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import hashlib
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

import msgspec

VERSION: Final = "v2"
"""Of keys by arguments. Before it, the key was the digest of the encoded arguments, without a version."""

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - subtracted from times that were shifted to UTC
_MICROSECOND: Final = timedelta(microseconds=1)

Plain = Callable[[object], object]


def key_of(values: Mapping[str, object], defaults: Mapping[str, object], *, plain: Plain) -> str:
    """The version and a digest.

    Args:
        values: the arguments that were given, by name, as the annotations have them.
        defaults: the function's defaults, by name.
        plain: plain values of an object that is none of the standard library's.
    """
    given = {name: canonical(value, plain) for name, value in values.items()}
    for name in given.keys() & defaults.keys():
        try:
            same = given[name] == canonical(defaults[name], plain)
        except (TypeError, ValueError, RecursionError):  # a default that no job could carry equals nothing
            same = False
        if same:
            del given[name]
    digest = hashlib.sha256(msgspec.json.encode(sorted(given.items()))).hexdigest()
    return f"{VERSION}:{digest}"


def canonical(value: object, plain: Plain) -> object:
    """Plain JSON that is the same for equal values and different for others: a kind and a content."""
    match value:
        case None | bool():
            return value
        case enum.Enum():
            return canonical(value.value, plain)
        case str():
            return ["text", str.__str__(value)]
        case int() | float() | Decimal():
            return ["number", _number(value)]
        case bytes() | bytearray() | memoryview():
            return ["bytes", base64.b64encode(value).decode()]
        case datetime() | date() | time() | timedelta():
            return _time(value)
        case UUID():
            return ["uuid", value.hex]
        case PurePath():
            return ["path", str(value)]
        case Mapping():
            return ["map", _sorted([canonical(key, plain), canonical(item, plain)] for key, item in value.items())]
        case AbstractSet():
            return ["set", _sorted(canonical(item, plain) for item in value)]
    fields = _fields(value)
    if fields is not None:
        return ["map", _sorted([["text", name], canonical(item, plain)] for name, item in fields.items())]
    if isinstance(value, Iterable):
        return ["list", [canonical(item, plain) for item in value]]
    return canonical(plain(value), plain)


def _sorted(items: Iterable[object]) -> list[object]:
    return sorted(items, key=msgspec.json.encode)


def _number(value: float | Decimal) -> str:
    """Sign, digits without zeros at the end, exponent: one text for what is equal, exactly."""
    exact = value if isinstance(value, Decimal) else Decimal(value)
    if not exact.is_finite():
        return str(exact)
    sign, digits, exponent = exact.as_tuple()
    text = "".join(map(str, digits)).lstrip("0")
    short = text.rstrip("0")
    if not short:
        return "0"
    assert isinstance(exponent, int)
    return f"{'-' * sign}{short}e{exponent + len(text) - len(short)}"


def _time(value: date | time | timedelta) -> list[object]:
    """Moments by their distance in microseconds, because a shift to UTC may leave the range of dates."""
    if isinstance(value, timedelta):
        return ["duration", value // _MICROSECOND]
    if isinstance(value, datetime):
        naive = datetime(*value.timetuple()[:6], value.microsecond)  # noqa: DTZ001
        moment = (naive - _EPOCH) // _MICROSECOND
        offset = value.utcoffset()
        return ["local", moment] if offset is None else ["moment", moment - offset // _MICROSECOND]
    if isinstance(value, time):
        clock = timedelta(hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond)
        offset = value.utcoffset()
        return ["clock", (clock if offset is None else clock - offset) // _MICROSECOND, offset is not None]
    return ["day", value.toordinal()]


def _fields(value: object) -> dict[str, object] | None:
    """The values that compare an object: the fields of a dataclass, a struct, an attrs class or a pydantic model."""
    kind: Any = type(value)
    if dataclasses.is_dataclass(kind):
        return {one.name: getattr(value, one.name) for one in dataclasses.fields(kind) if one.compare}
    if isinstance(value, msgspec.Struct):
        fields = {name: getattr(value, name) for name in kind.__struct_fields__}
        return fields if (tag := kind.__struct_config__.tag) is None else {**fields, "": tag}
    if (attributes := getattr(kind, "__attrs_attrs__", None)) is not None:
        return {one.name: getattr(value, one.name) for one in attributes if one.eq}
    if (names := getattr(kind, "model_fields", None)) is not None:
        return {**{name: getattr(value, name) for name in names}, **(getattr(value, "model_extra", None) or {})}
    return None
