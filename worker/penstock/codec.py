"""Arguments and results of one task, to JSON and back.

Owns what a job may carry: a JSON object keyed by parameter name, checked against the task's signature twice: the values
themselves when they are enqueued, the JSON when it is run. No pickle, no import by name, nothing but the annotations.

Surprising: only the arguments that were given are encoded, so a parameter that is left out gets the function's default
of the day it runs. And a value that JSON would change in silence (NaN, a datetime in an unannotated place, NUL) is
refused when it is enqueued, not repaired.
"""

from __future__ import annotations

import functools
import inspect
import re
import typing
from typing import TYPE_CHECKING, Any

import msgspec

from .argument_key import key_of
from .errors import InvalidArguments, InvalidTask, UnencodableArgument, UnencodableResult
from .json_values import MAX_PAYLOAD_BYTES, bounded, encode, lower, refusal, same, split
from .settings import shown
from .shapes import unknown_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "MAX_PAYLOAD_BYTES", "ArgumentCodec", "annotations_of", "encode_headers", "encode_object", "encode_result",
    "result_reader",
]  # fmt: skip


class ArgumentCodec:
    """The arguments of one task.

    Args:
        task: the task's name, for errors.
        function: what the task calls; its annotations are resolved here, once.
        skip: leading parameters that are not arguments (an injected Context).

    Raises:
        InvalidTask: a parameter is positional-only, *args or **kwargs, or its type has no JSON form.
    """

    __slots__ = ("_any", "_decoder", "_defaults", "_has_optional", "_signature", "_struct", "_task", "_unknown")

    def __init__(self, *, task: str, function: Callable[..., Any], skip: int) -> None:
        self._task = task
        parameters = list(inspect.signature(function).parameters.values())[skip:]
        hints = annotations_of(function, task=task)
        types: dict[str, Any] = {}
        for parameter in parameters:
            types[parameter.name] = hints.get(parameter.name, Any)
            self._check_parameter(parameter, types[parameter.name])
        self._signature = inspect.Signature(parameters)
        self._any = frozenset(name for name, hint in types.items() if _holds(hint, msgspec.inspect.AnyType))
        self._defaults = optional = {one.name: one.default for one in parameters if one.default is not one.empty}
        self._has_optional = bool(optional)
        fields = [(name, hint, msgspec.UNSET) if name in optional else (name, hint) for name, hint in types.items()]
        self._struct: type[msgspec.Struct] = msgspec.defstruct(
            "Arguments", fields, kw_only=True, forbid_unknown_fields=True
        )
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(self._struct)
        self._unknown = unknown_keys(msgspec.inspect.type_info(self._struct))

    def _check_parameter(self, parameter: inspect.Parameter, hint: Any) -> None:
        where = f"task {self._task!r}, parameter {parameter.name!r}"
        if parameter.kind not in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
            raise InvalidTask(
                f"{where}: arguments are kept by name, so a parameter cannot be {parameter.kind.description}"
            )
        if parameter.name.startswith("__"):
            raise InvalidTask(f"{where}: the name of a parameter cannot begin with two underscores")
        try:
            unfit = _holds(hint, msgspec.inspect.CustomType)
            msgspec.json.Decoder(hint)
        except (TypeError, NameError) as error:
            raise InvalidTask(f"{where}: the type {shown(hint)} cannot be used: {error}") from error
        if unfit:
            raise InvalidTask(
                f"{where}: the type {shown(hint)} has no JSON form; use numbers, text, dates, UUID, Decimal, enums, "
                "lists, dicts, dataclasses, or Any for plain JSON"
            )

    def encode(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> str:
        """The arguments of a call as a JSON object.

        Raises:
            InvalidArguments: they do not fit the signature, by number, name or type.
            UnencodableArgument: a value has no JSON form, or JSON would change it.
            PayloadTooLarge: more than 256 KiB.
        """
        given = self._bind(args, kwargs)
        try:
            typed = msgspec.convert(given, self._struct)
            encoded = encode(typed)
            if self._unknown is not None:
                self._check_keys(msgspec.to_builtins(given, str_keys=True))
            if b"null" in encoded or b"\\u0000" in encoded:
                self._check_kept(typed)
            decoded = self._decoder.decode(encoded)
        except msgspec.ValidationError as error:
            raise self._invalid(error, given) from None
        except (TypeError, ValueError, RecursionError, OverflowError):
            raise self._unencodable(given) from None
        if self._any:
            self._check_unchanged(typed, decoded)
        return bounded(encoded, of=f"task {self._task!r}, arguments")

    def key(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> str:
        """What `Unique(by_args=True)` keys a call by; the same for equal arguments. The call fits the signature."""
        typed = msgspec.convert(self._bind(args, kwargs), self._struct)
        values = {name: value for name, value in msgspec.structs.asdict(typed).items() if value is not msgspec.UNSET}
        return key_of(values, self._defaults, plain=msgspec.to_builtins)

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
            return {name: value for name, value in arguments.items() if value is not msgspec.UNSET}
        return arguments

    def _check_keys(self, plain: Any) -> None:
        """Refuse keys that no annotation names: they would be dropped in silence. Raises InvalidArguments."""
        for path in self._unknown(plain) if self._unknown is not None else ():
            _, name, deeper = re.split(r"\.(\w+)", path, maxsplit=1)
            raise InvalidArguments(
                f"task {self._task!r}, parameter {name!r}: its type names no key at {deeper}, which would be lost"
            )

    def _invalid(self, error: Exception, given: Mapping[str, object]) -> InvalidArguments:
        """What msgspec says of a path, said of a parameter; the value is repeated only where the caller gave it."""
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
            if reason := refusal(value):
                return UnencodableArgument(f"task {self._task!r}, parameter {name!r}: {reason}")
        return UnencodableArgument(f"task {self._task!r}: the arguments have no JSON form")

    def _check_kept(self, typed: msgspec.Struct) -> None:
        for name in self._struct.__struct_fields__:
            value = getattr(typed, name)
            if value is not msgspec.UNSET and (reason := refusal(value)):
                raise UnencodableArgument(f"task {self._task!r}, parameter {name!r}: {reason}")

    def _check_unchanged(self, typed: msgspec.Struct, decoded: msgspec.Struct) -> None:
        for name in self._any:
            value = getattr(typed, name)
            if value is not msgspec.UNSET and not same(value, getattr(decoded, name)):
                raise UnencodableArgument(
                    f"task {self._task!r}, parameter {name!r}: {shown(value)} would not come back from JSON as it is; "
                    "annotate it with its type"
                )


def encode_result(value: object, *, task: str) -> str | None:
    """What a task returned, as JSON text; None stays None.

    Raises:
        UnencodableResult: the value has no JSON form.
        PayloadTooLarge: more than 256 KiB.
    """
    if value is None:
        return None
    if reason := refusal(value):
        raise UnencodableResult(f"task {task!r}, returned value: {reason}")
    return bounded(encode(value), of=f"task {task!r}, returned value")


def encode_object(value: Mapping[str, object], *, of: str) -> str:
    """A JSON object that is kept with a job and belongs to no signature; `of` names it in errors.

    Raises:
        UnencodableArgument: JSON or Postgres cannot hold it.
        PayloadTooLarge: more than 256 KiB.
    """
    if reason := refusal(value):
        raise UnencodableArgument(f"{of}: {reason}")
    return bounded(encode(value), of=of)


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
        if hint is Any or _holds(hint, msgspec.inspect.CustomType):
            return _as_it_is
        msgspec.json.Decoder(hint)
    except (TypeError, NameError, AttributeError):
        return _as_it_is
    return functools.partial(msgspec.convert, type=hint, str_keys=True)


def annotations_of(function: Callable[..., Any], *, task: str) -> dict[str, Any]:
    """The resolved annotations of a function.

    Raises:
        InvalidTask: one names something that its module does not have at run time.
    """
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        raise InvalidTask(
            f"task {task!r}: an annotation cannot be resolved when the module is imported: {error}"
        ) from error


def _as_it_is(value: Any) -> Any:
    return value


def _holds(hint: Any, kind: type[msgspec.inspect.Type]) -> bool:
    """Whether a type, or one inside it, is of this kind."""
    seen: set[int] = set()
    found = [msgspec.inspect.type_info(hint)]
    while found:
        part: Any = found.pop()
        if isinstance(part, kind):
            return True
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, tuple):
            found.extend(part)
        elif isinstance(part, (msgspec.inspect.Type, msgspec.inspect.Field)):
            found.extend(getattr(part, name) for name in part.__struct_fields__)
    return False
