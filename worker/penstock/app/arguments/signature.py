"""The parameters of a task's jobs: those of its function by name, `*args` and `**kwargs: Unpack[TypedDict]` included.

Pure. `*args` is one argument of a job, a list under its name; the keys of an unpacked TypedDict are arguments of their
own. A worker calls by keyword, so a function with `*args` gets a caller of its own.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import Any

from msgspec import UNSET

from ...errors import InvalidTask


def signature_of(
    function: Callable[..., Any], hints: Mapping[str, Any], *, skip: int, of: str
) -> tuple[inspect.Signature, Callable[..., Any], dict[str, Any]]:
    """The signature of a job, what calls the function with its arguments as keywords, and the parameters' annotations.

    Args:
        function: the task's.
        hints: its annotations, resolved.
        skip: number of leading parameters that are not arguments; the caller passes them by position.
        of: the task, for errors.

    Raises:
        InvalidTask: a parameter cannot be kept by name.
    """
    found: list[Parameter] = []
    types = dict(hints)
    for parameter in list(inspect.signature(function).parameters.values())[skip:]:
        unpacked = typing.get_args(hints.get(parameter.name)) if parameter.kind is Parameter.VAR_KEYWORD else ()
        if unpacked and _is_unpack(hints[parameter.name]):
            keys = typing.get_type_hints(unpacked[0], include_extras=True)
            found.extend(_key(name, hint, unpacked[0]) for name, hint in keys.items())
            types.update({name: _bare(hint) for name, hint in keys.items()})
        elif parameter.kind in {Parameter.POSITIONAL_ONLY, Parameter.VAR_KEYWORD}:
            raise InvalidTask(
                f"{of}, parameter {parameter.name!r}: arguments are stored by name, so a parameter cannot be "
                f"{parameter.kind.description}"
            )
        else:
            found.append(parameter)
    try:
        signature = inspect.Signature(found)
    except ValueError as error:
        raise InvalidTask(f"{of}: {error}") from None
    return signature, _caller(function, found), types


def _is_unpack(hint: Any) -> bool:
    return typing.get_origin(hint) is typing.Unpack and typing.is_typeddict(typing.get_args(hint)[0])


def _key(name: str, hint: Any, kind: Any) -> Parameter:
    """Resolve a postponed annotation first, because TypedDict does not."""
    wrapped = typing.get_origin(hint)
    required = wrapped is typing.Required or (wrapped is not typing.NotRequired and name in kind.__required_keys__)
    default = Parameter.empty if required else UNSET
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default)


def _bare(hint: Any) -> Any:
    """Without Required and NotRequired."""
    wrapped = typing.get_origin(hint) in {typing.Required, typing.NotRequired}
    return typing.get_args(hint)[0] if wrapped else hint


def _caller(function: Callable[..., Any], parameters: list[Parameter]) -> Callable[..., Any]:
    rest = next((one.name for one in parameters if one.kind is Parameter.VAR_POSITIONAL), None)
    if rest is None:
        return function
    names = {one.name: one.default for one in parameters if one.kind is Parameter.POSITIONAL_OR_KEYWORD}

    def call(*before: Any, **values: Any) -> Any:
        more = values.pop(rest, ())
        first = [values.pop(name, default) for name, default in names.items()] if more else []
        return function(*before, *first, *more, **values)

    return call


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
