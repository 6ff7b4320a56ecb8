"""Encodes the arguments and the result of a task as JSON, and decodes them.

Owns the format of a job's arguments: a JSON object by parameter name, checked against the task's annotations twice, as
values when the job is enqueued and as JSON when it runs. No pickle, no import by name. Only the given arguments are
encoded: a parameter that is left out gets the default that the function has when the job runs. A value that JSON would
change silently (NaN, a datetime without an annotation, NUL) is rejected when the job is enqueued.
"""

from __future__ import annotations

import functools
import inspect
import re
import typing
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from ...errors import InvalidArguments, InvalidTask, UnencodableArgument, UnencodableResult, shown
from .conversions import Chosen, as_builtins, decode_hook, give, sealed, take
from .json_values import (
    MAX_PAYLOAD_BYTES,
    encode_json,
    encode_small,
    is_exact,
    is_large,
    json_refusal,
    lower,
    same,
    split,
    text_within_limit,
    written_out,
)
from .signature import annotations_of, signature_of
from .types import holds, instead_of, translated, unsupported
from .unique_key import key_of
from .unknown_keys import unknown_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "MAX_PAYLOAD_BYTES",
    "ArgumentCodec",
    "encode_headers",
    "encode_object",
    "encode_result",
    "result_reader",
]

_COMPARED = (msgspec.inspect.AnyType, msgspec.inspect.CustomType)
"""Where JSON may change a value: it is read back at the enqueue, and compared."""
_FLOAT = (msgspec.inspect.FloatType,)


class ArgumentCodec:
    """The arguments of one task.

    Args:
        task: the task's name, for errors.
        function: what the task calls; its annotations are resolved here, once.
        skip: leading parameters that are not arguments (an injected Context).

    Raises:
        InvalidTask: a parameter is positional-only or **kwargs without Unpack, or its type has no JSON form.

    Attributes:
        invoke: calls the function with what `decode` returns as keywords.
    """

    __slots__ = (
        "_compared",
        "_decoder",
        "_defaults",
        "_has_numbers",
        "_has_optional",
        "_has_proxies",
        "_signature",
        "_struct",
        "_task",
        "_unknown",
        "invoke",
    )

    def __init__(self, *, task: str, function: Callable[..., Any], skip: int) -> None:
        self._task = task
        self._signature, self.invoke, hints = signature_of(
            function, annotations_of(function, task=task), skip=skip, of=f"task {task!r}"
        )
        parameters = self._signature.parameters.values()
        types = {one.name: self._type_of(one, hints.get(one.name, Any)) for one in parameters}
        self._compared = frozenset(name for name, hint in types.items() if holds(hint, _COMPARED))
        self._has_proxies = any(holds(hint, _COMPARED[1:]) for hint in types.values())
        self._has_numbers = bool(self._compared) or any(holds(hint, _FLOAT) for hint in types.values())
        self._defaults = {
            one.name: one.default for one in parameters if one.default is not one.empty and one.default is not UNSET
        }
        optional = {one.name for one in parameters if one.default is not one.empty or one.kind is one.VAR_POSITIONAL}
        self._has_optional = bool(optional)
        fields = [(name, hint, UNSET) if name in optional else (name, hint) for name, hint in types.items()]
        self._struct: type[msgspec.Struct] = msgspec.defstruct(
            "Arguments", fields, kw_only=True, forbid_unknown_fields=True
        )
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(self._struct, dec_hook=decode_hook)
        self._unknown = unknown_keys(msgspec.inspect.type_info(self._struct))

    def _type_of(self, parameter: inspect.Parameter, hint: Any) -> Any:
        """The type that a parameter's JSON is decoded to. Raises InvalidTask."""
        where = f"task {self._task!r}, parameter {parameter.name!r}"
        if parameter.name.startswith("__"):
            raise InvalidTask(f"{where}: the name of a parameter must not start with two underscores")
        try:
            found = translated(hint)
            msgspec.json.Decoder(found)
            unfit = unsupported(found)
        except RecursionError:
            raise InvalidTask(
                f"{where}: the type {shown(hint)} is recursive, so its fields cannot be unions of similar types, "
                "iterables or literals of an enum"
            ) from None
        except (TypeError, NameError, AttributeError) as error:
            raise InvalidTask(f"{where}: the type {shown(hint)} cannot be used: {error}") from error
        if unfit is not None:
            raise InvalidTask(f"{where}: the type {shown(hint)} has no JSON form; {instead_of(unfit)}")
        return list[found] if parameter.kind is parameter.VAR_POSITIONAL else found  # type: ignore[valid-type]

    def encode(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> str:
        """The arguments of a call as a JSON object.

        Raises:
            InvalidArguments: they do not fit the signature, by number, name or type.
            UnencodableArgument: a value has no JSON form, or JSON would change it.
            PayloadTooLarge: more than 256 KiB.
        """
        given = self._bind(args, kwargs)
        try:
            typed = self._typed(given)
            encoded = encode_small(typed)
            if large := self._has_numbers and is_large(encoded):
                encoded = written_out(encoded)
            if self._unknown is not None:
                self._check_keys(msgspec.to_builtins(given, str_keys=True, enc_hook=give))
            if b"null" in encoded or b"\\u0000" in encoded:
                self._check_kept(typed)
            decoded = self._decoder.decode(encoded)
        except msgspec.ValidationError as error:
            raise self._invalid(error, given) from None
        except (TypeError, ValueError, RecursionError, OverflowError):
            raise self._unencodable(given) from None
        if self._compared:
            self._check_unchanged(typed, decoded, self._compared)
        if large:
            self._check_unchanged(as_builtins(given), decoded, given.keys(), is_exact)
        return text_within_limit(encoded, of=f"task {self._task!r}, arguments")

    def key(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> str:
        """The key of a call for `Unique(by_args=True)`; the same for equal arguments. The call fits the signature."""
        typed = self._typed(self._bind(args, kwargs))
        values = {name: value for name, value in msgspec.structs.asdict(typed).items() if value is not UNSET}
        return key_of(values, self._defaults, plain=_key_part)

    def _bind(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> dict[str, Any]:
        try:
            return self._signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise InvalidArguments(f"task {self._task!r}: {error}") from None

    def decode(self, text: str) -> dict[str, object]:
        """The arguments of a job, by parameter name; those not given are absent.

        Raises:
            InvalidArguments: not a JSON object that fits the signature (enqueued by another version, or by hand).
        """
        try:
            arguments = msgspec.structs.asdict(self._decoder.decode(text))
            if self._unknown is not None:
                self._check_keys(msgspec.json.decode(text))
        except (msgspec.DecodeError, UnicodeError) as error:
            raise self._invalid(error, {}) from error
        except RecursionError as error:
            raise InvalidArguments(f"task {self._task!r}: the arguments are nested too deeply") from error
        if self._has_optional:
            return {name: value for name, value in arguments.items() if value is not UNSET}
        return arguments

    def _check_keys(self, plain: Any) -> None:
        """Refuse keys that no annotation names: they would be dropped in silence. Raises InvalidArguments."""
        for path in self._unknown(plain) if self._unknown is not None else ():
            _, name, deeper = re.split(r"\.(\w+)", path, maxsplit=1)
            raise InvalidArguments(
                f"task {self._task!r}, parameter {name!r}: its type has no key at {deeper}, which would be lost"
            )

    def _invalid(self, error: Exception, given: Mapping[str, object]) -> InvalidArguments:
        """The message of msgspec about a path, for a parameter; the value is repeated only if the caller passed it."""
        what, path = split(error)
        name = re.split(r"[.\[]", path.removeprefix("."), maxsplit=1)[0]
        if not name:
            return InvalidArguments(f"task {self._task!r}: {lower(what)}")
        deeper = path.removeprefix(f".{name}")
        inside = f" at {deeper}" if deeper else ""
        got = f" ({shown(given[name])})" if name in given else ""
        return InvalidArguments(f"task {self._task!r}, parameter {name!r}{inside}: {lower(what)}{got}")

    def _unencodable(self, given: Mapping[str, object]) -> UnencodableArgument:
        for name, value in given.items():
            if reason := json_refusal(value):
                return UnencodableArgument(f"task {self._task!r}, parameter {name!r}: {reason}")
        return UnencodableArgument(f"task {self._task!r}: the arguments have no JSON form")

    def _check_kept(self, typed: msgspec.Struct) -> None:
        for name in self._struct.__struct_fields__:
            value = getattr(typed, name)
            if value is not UNSET and (reason := json_refusal(value)):
                raise UnencodableArgument(f"task {self._task!r}, parameter {name!r}: {reason}")

    def _check_unchanged(
        self, given: Any, decoded: msgspec.Struct, names: Iterable[str], equal: Callable[[Any, Any], bool] = same
    ) -> None:
        for name in names:
            value = given[name] if isinstance(given, dict) else getattr(given, name)
            if value is not UNSET and not equal(value, getattr(decoded, name)):
                raise UnencodableArgument(
                    f"task {self._task!r}, parameter {name!r}: {shown(getattr(value, 'value', value))} would not come "
                    "back from JSON as it is; annotate it with its type"
                )

    def _typed(self, given: dict[str, Any]) -> msgspec.Struct:
        """The values converted to the annotated types; subclasses and iterables only where it is necessary."""
        try:
            known = {name: sealed(value) for name, value in given.items()} if self._has_proxies else given
            return msgspec.convert(known, self._struct, dec_hook=take)
        except msgspec.ValidationError as error:
            try:
                return msgspec.convert(as_builtins(given), self._struct, dec_hook=take)
            except (msgspec.ValidationError, RecursionError):
                raise error from None


def encode_result(value: object, *, task: str) -> str | None:
    """The return value of a task as JSON text; None stays None.

    Raises:
        UnencodableResult: the value has no JSON form.
        PayloadTooLarge: more than 256 KiB.
    """
    if value is None:
        return None
    if reason := json_refusal(value):
        raise UnencodableResult(f"task {task!r}, returned value: {reason}")
    return text_within_limit(encode_json(value), of=f"task {task!r}, returned value")


def encode_object(value: Mapping[str, object], *, of: str) -> str:
    """A JSON object that is kept with a job and belongs to no signature; `of` names it in errors.

    Raises:
        UnencodableArgument: JSON or Postgres cannot hold it.
        PayloadTooLarge: more than 256 KiB.
    """
    if reason := json_refusal(value):
        raise UnencodableArgument(f"{of}: {reason}")
    return text_within_limit(encode_json(value), of=of)


def encode_headers(headers: Mapping[str, str], *, task: str) -> str | None:
    """Headers as a JSON object of strings; none at all stays None. Raises as `encode_object`."""
    for name, value in headers.items():
        if not all(isinstance(part, str) for part in (name, value)):
            raise UnencodableArgument(f"task {task!r}, header {shown(name)}: must be text, got {type(value).__name__}")
    return encode_object(dict(headers), of=f"task {task!r}, headers") if headers else None


def result_reader(function: Callable[..., Any]) -> Callable[[Any], Any]:
    """Turns the JSON of a stored result into the function's return type, where that type has a JSON form."""
    try:
        hint = typing.get_type_hints(function, include_extras=True).get("return", Any)
        hint = translated(hint)
        if hint is Any or unsupported(hint) is not None:
            return _as_it_is
        msgspec.json.Decoder(hint)
    except (TypeError, NameError, AttributeError):
        return _as_it_is
    return functools.partial(msgspec.convert, type=hint, str_keys=True, dec_hook=decode_hook)


def _as_it_is(value: Any) -> Any:
    return value


def _key_part(value: object) -> object:
    """The part of a key for a value of a type outside the standard library."""
    return value.value if isinstance(value, Chosen) else give(value)
