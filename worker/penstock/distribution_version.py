"""The version of the installed distribution: of logs, metrics, traces and the worker registry."""

from __future__ import annotations

import functools
from importlib.metadata import version


@functools.cache
def distribution_version() -> str:
    """The version of the distribution `penstock`; reading it costs a tenth of the import of the package."""
    return version("penstock")
