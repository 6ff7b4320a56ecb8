"""Manifests that tests apply: a JobQueue of the ledger tasks, and its Secret."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

APP = "ledger_jobs:app"


def jobqueue_manifest(
    name: str,
    *,
    image: str,
    worker: Mapping[str, Any] | None = None,
    scaling: Mapping[str, Any] | None = None,
    container: Mapping[str, Any] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """A JobQueue as the how-to has it, that scales down within seconds.

    Args:
        name: of the JobQueue, and of its queue.
        image: of the worker.
        worker: changes of spec.worker.
        scaling: changes of spec.scaling.
        container: changes of the worker's container.
        spec: other fields of spec.
    """
    quick = {"stabilizationWindowSeconds": 1, "cooldownSeconds": 1}
    return {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "JobQueue",
        "metadata": {"name": name},
        "spec": {
            "databaseRef": {
                "secretRef": {"name": f"{name}-postgres"},
                "operatorSecretRef": {"name": f"{name}-postgres", "key": "operator"},
            },
            "worker": {
                "app": APP,
                "concurrency": 2,
                "drainTimeoutSeconds": 30,
                "template": _template(image, container or {}),
                **(worker or {}),
            },
            "scaling": {"maxReplicas": 5, "target": {"queueLatencySeconds": 5}, "scaleDown": quick, **(scaling or {})},
            **spec,
        },
    }


def _template(image: str, container: Mapping[str, Any]) -> dict[str, Any]:
    contained = {
        "name": "worker",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {"readOnlyRootFilesystem": True},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        **container,
    }
    return {"spec": {"containers": [contained], "volumes": [{"name": "tmp", "emptyDir": {}}]}}


def secret_manifest(name: str, values: Mapping[str, str]) -> dict[str, Any]:
    """A Secret with these texts."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}
