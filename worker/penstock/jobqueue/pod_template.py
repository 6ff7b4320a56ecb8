"""The structure of a pod template that the rules rely on, as the definition's schema has it. Pure.

The API server has checked it before an operator reads a JobQueue; a manifest from elsewhere is checked here: a
rule never meets a container without a name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

_NonEmptyName = Annotated[str, msgspec.Meta(min_length=1)]


class _Variable(msgspec.Struct):
    name: _NonEmptyName


class _Container(msgspec.Struct):
    name: _NonEmptyName
    env: list[_Variable] | None = None


class _PodSpec(msgspec.Struct, rename="camel"):
    containers: Annotated[list[_Container], msgspec.Meta(min_length=1)]
    termination_grace_period_seconds: int | None = None


class _Template(msgspec.Struct):
    spec: _PodSpec


def check_template(template: Mapping[str, Any]) -> None:
    """Check that the template has the structure that the rules rely on.

    Raises:
        msgspec.ValidationError: a part that they read is missing or has another type; its path is below `spec.worker`.
    """
    try:
        msgspec.convert(template, _Template)
    except msgspec.ValidationError as error:
        text = str(error).replace("`$.", "`$.worker.template.")
        raise msgspec.ValidationError(text) from error
