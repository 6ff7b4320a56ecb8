"""Command-line arguments of the operator: the same settings as its environment variables, for the chart's extraArgs.

`--log-level=debug` is PENSTOCK_LOG_LEVEL=debug. An argument wins over the variable. One that is unknown, or without a
value, is an error, for it would do nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

from .errors import SettingsError
from .settings import OperatorSettings


def with_arguments(environ: Mapping[str, str], arguments: Sequence[str]) -> dict[str, str]:
    """The environment with what the arguments set.

    Args:
        environ: as the process has it.
        arguments: each `--name=value`, without the program's name.

    Raises:
        SettingsError: an argument that names no setting, or has no value.
    """
    names = {f"--{one.name.replace('_', '-')}": f"PENSTOCK_{one.name.upper()}" for one in fields(OperatorSettings)}
    found = dict(environ)
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name not in names or not equals:
            known = ", ".join(f"{each}=VALUE" for each in sorted(names))
            raise SettingsError(f"unknown argument {argument!r}: use one of {known}")
        found[names[name]] = value
    return found
