"""Proxies for annotations that msgspec rejects: unions of similar types, literals of enums, dataclasses of such.

A value of a union is stored as plain JSON if it decodes to the same member; otherwise together with the member's name,
as `{"$type": "str", "$value": "2026-01-01"}` for text in `str | date` that could be a date.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ...errors import shown
from . import conversions
from .conversions import Chosen, Proxy, Sealed, as_builtins, give, sealed
from .json_values import encode_json, same
from .unknown_keys import Finder, unknown_keys

_TAG: Final = {"$type", "$value"}


def choice(members: tuple[Any, ...]) -> type[Proxy]:
    """A union. Members are types that msgspec takes."""
    ordered = sorted(members, key=lambda one: one is str)  # text takes whatever else could be
    return type(
        "Choice",
        (_Choice,),
        {
            "members": {_name(one): one for one in ordered},
            "finders": {_name(one): unknown_keys(msgspec.inspect.type_info(one)) for one in ordered},
        },
    )


def one_of(values: tuple[Any, ...]) -> type[Proxy]:
    """A literal, members of enums included."""
    return type("OneOf", (_OneOf,), {"values": values})


def record(kind: Any, hints: Mapping[str, Any]) -> type[Proxy]:
    """A dataclass with fields of such types; `hints` are its fields' as msgspec takes them."""
    fields = [one for one in dataclasses.fields(kind) if one.init]
    required = [one for one in fields if one.default is dataclasses.MISSING is one.default_factory]
    struct = msgspec.defstruct(
        kind.__name__,
        [
            (one.name, hints[one.name]) if one in required else (one.name, hints[one.name], msgspec.UNSET)
            for one in fields
        ],
        kw_only=True,
        forbid_unknown_fields=True,
    )
    return type(kind.__name__, (_Record,), {"kind": kind, "struct": struct})


class _Choice(Proxy):
    members: dict[str, Any]
    finders: dict[str, Finder | None]

    @classmethod
    def take(cls, value: Any) -> Chosen:
        value = value.value if isinstance(value, Sealed) else value
        given = as_builtins(value)
        name, typed = cls._find(given, like=value) or cls._find(given) or cls._none(value)
        json = msgspec.json.decode(encode_json(typed))
        found = cls._find(json, hook=conversions.decode_hook)
        if found is None or found[0] != name or not same(_value(typed), found[1]):
            json = {"$type": name, "$value": json}
        return Chosen(_value(typed), json)

    @classmethod
    def read(cls, json: Any) -> Any:
        if isinstance(json, dict) and json.keys() == _TAG and json["$type"] in cls.members:
            return msgspec.convert(
                json["$value"], cls.members[json["$type"]], dec_hook=conversions.decode_hook, str_keys=True
            )
        return (cls._find(json, hook=conversions.decode_hook) or cls._none(json))[1]

    @classmethod
    def _find(
        cls, given: Any, *, hook: Any = conversions.take, like: Any = dataclasses.MISSING
    ) -> tuple[str, Any] | None:
        """The first member that takes it; with `like`, that takes it as it is."""
        for name, member in cls.members.items():
            try:
                typed = msgspec.convert(given, member, dec_hook=hook, str_keys=hook is conversions.decode_hook)
            except (msgspec.ValidationError, TypeError, ValueError):
                continue
            finder = cls.finders[name]
            if finder is not None and any(finder(msgspec.to_builtins(given, str_keys=True, enc_hook=give))):
                continue
            if like is dataclasses.MISSING or same(_value(typed), like):
                return name, typed
        return None

    @classmethod
    def _none(cls, value: Any) -> Any:
        raise ValueError(f"Expected one of {', '.join(cls.members)}, got `{type(value).__name__}`")


class _OneOf(Proxy):
    values: tuple[Any, ...]

    @classmethod
    def take(cls, value: Any) -> Chosen:
        found = cls.read(getattr(value.value, "value", value.value) if isinstance(value, Sealed) else value)
        if isinstance(value, Sealed) and type(value.value) is not type(found):
            raise ValueError(f"Expected one of {', '.join(map(repr, cls.values))}")
        return Chosen(found, getattr(found, "value", found))

    @classmethod
    def read(cls, json: Any) -> Any:
        for one in cls.values:
            if getattr(one, "value", one) == json and isinstance(json, bool) is isinstance(one, bool):
                return one
        raise ValueError(f"Expected one of {', '.join(map(repr, cls.values))}")


class _Record(Proxy):
    kind: Any
    struct: type[msgspec.Struct]

    @classmethod
    def take(cls, value: Any) -> Chosen:
        if isinstance(value, cls.kind):
            given = {one.name: getattr(value, one.name) for one in dataclasses.fields(value) if one.init}
        elif isinstance(value, Mapping):
            given = dict(value)
        else:
            raise TypeError(f"Expected `{cls.kind.__name__}`, got `{type(value).__name__}`")
        typed = msgspec.convert(
            {name: sealed(item) for name, item in given.items()}, cls.struct, dec_hook=conversions.take
        )
        json = msgspec.json.decode(encode_json(typed))
        return Chosen(value if isinstance(value, cls.kind) else cls.read(json), json)

    @classmethod
    def read(cls, json: Any) -> Any:
        typed = msgspec.structs.asdict(
            msgspec.convert(json, cls.struct, dec_hook=conversions.decode_hook, str_keys=True)
        )
        return cls.kind(**{name: value for name, value in typed.items() if value is not msgspec.UNSET})


def _value(typed: Any) -> Any:
    return typed.value if isinstance(typed, Chosen) else typed


def _name(member: Any) -> str:
    return member.__name__ if isinstance(member, type) else shown(member)
