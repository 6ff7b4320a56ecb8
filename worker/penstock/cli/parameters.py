"""Adds options from a table to a command, for options that are shared or too many for a signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

Parameter = tuple[Any, Any]
"""The annotation that typer reads, and the default."""


def with_parameters(function: Callable[..., Any], parameters: Mapping[str, Parameter]) -> Callable[..., Any]:
    """The function, with a signature of these keyword parameters; it is called with all of them."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    signature = [
        inspect.Parameter(name, keyword, default=default, annotation=annotation)
        for name, (annotation, default) in parameters.items()
    ]
    function.__signature__ = inspect.Signature(signature)  # type: ignore[attr-defined]
    function.__annotations__ = {name: annotation for name, (annotation, _) in parameters.items()}
    return function
