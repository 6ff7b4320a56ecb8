"""The picture of the KEDA benchmark: seconds to the first, tenth and hundredth pod object, by arm. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks._chart import Axis, bars
from benchmarks._keda_manifests import KEDA, KEDA_POLLING, KEDA_TUNED, PENSTOCK

ARMS = (PENSTOCK, KEDA, KEDA_POLLING, KEDA_TUNED)
GROUPS = {"first pod": "first_pod_s", "tenth pod": "tenth_pod_s", "hundredth pod": "hundredth_pod_s"}
SIZE = (860, 360)


def picture(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Medians as an SVG, on a logarithmic axis."""
    groups = {
        title: {arm.title: float(figures[f"{arm.name}_{key}"]["median"]) for arm in ARMS}
        for title, key in GROUPS.items()
    }
    seconds = Axis("seconds, logarithmic", 0.01, 100, (0.01, 0.1, 1, 10, 100), log=True)
    return bars("Commit of 1,000 jobs to the Nth pod object, median", y=seconds, groups=groups, size=SIZE)
