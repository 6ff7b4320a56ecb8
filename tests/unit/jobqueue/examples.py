"""Manifests and snapshots that the claims of this folder start from."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from penstock.jobqueue.policy import QueuePolicy, parse_policy
from penstock.scaling import QueueSnapshot

REPOSITORY = Path(__file__).parents[3]
CRD = REPOSITORY / "crds" / "jobqueue.yaml"

LEAST: Mapping[str, Any] = {
    "apiVersion": "penstock.dev/v1alpha1",
    "kind": "JobQueue",
    "metadata": {"name": "emails"},
    "spec": {
        "databaseRef": {"secretRef": {"name": "shop-postgres"}},
        "worker": {
            "app": "shop.jobs:app",
            "template": {"spec": {"containers": [{"name": "worker", "image": "shop:1"}]}},
        },
    },
}
"""The smallest manifest that is valid."""


def manifest(**changes: Any) -> dict[str, Any]:
    """`LEAST` with changes; `scaling__minReplicas=3` sets spec.scaling.minReplicas, None takes a field away."""
    made: dict[str, Any] = copy.deepcopy(dict(LEAST))
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = made["spec"]
        for parent in parents:
            place = place.setdefault(parent, {})
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
    return made


def policy(**changes: Any) -> QueuePolicy:
    """The policy of `manifest(**changes)`."""
    return parse_policy(manifest(**changes))


def snapshot(**changes: Any) -> QueueSnapshot:
    """A sample at time 0 of an empty queue, with changes."""
    empty: dict[str, Any] = {
        "ready": 0,
        "deferred": 0,
        "due_soon": 0,
        "in_flight": 0,
        "dead": 0,
        "oldest_ready_seconds": None,
        "sampled_at": 0.0,
    }
    return QueueSnapshot(**(empty | changes))
