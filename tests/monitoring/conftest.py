"""Prometheus' own programs, where this machine has them, and the chart's monitoring objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.chart import render
from tests.support.prometheus import program

ALWAYS: Mapping[str, Any] = {name: {"render": "always"} for name in ("serviceMonitor", "prometheusRule", "dashboards")}


@pytest.fixture(scope="session")
def promtool() -> str:
    """Checks and tests rules."""
    return program("promtool")


@pytest.fixture(scope="session")
def monitored() -> list[Any]:
    """The chart's objects on a cluster that has the Prometheus operator, in the namespace penstock."""
    return render(ALWAYS, namespace="penstock")
