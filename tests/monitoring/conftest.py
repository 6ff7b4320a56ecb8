"""Prometheus' own programs, where this machine has them, and the chart's monitoring objects."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.chart import render

ALWAYS: Mapping[str, Any] = {
    name: {"render": "always"} for name in ("serviceMonitor", "podMonitor", "prometheusRule", "dashboards")
}


def program(name: str) -> str:
    """Where a program of the package `prometheus` is; skips where it is not, or fails where CI could install it."""
    found = shutil.which(name)
    if found is None:
        reason = f"{name} is not on PATH; Debian's package prometheus has it"
        (pytest.fail if os.environ.get("CI") and os.geteuid() == 0 else pytest.skip)(reason)
    return found


@pytest.fixture(scope="session")
def promtool() -> str:
    """Checks and tests rules."""
    return program("promtool")


@pytest.fixture(scope="session")
def prometheus() -> str:
    """The server."""
    return program("prometheus")


@pytest.fixture(scope="session")
def monitored() -> list[Any]:
    """The chart's objects on a cluster that has the Prometheus operator, in the namespace penstock."""
    return render(ALWAYS, namespace="penstock")
