"""Manifests of the KEDA benchmark: KEDA's own, read from its module, and the objects of each side. Pure.

From KEDA's `config` folder come the definitions, the roles and their bindings. Its Deployments and Services are not
used, because KEDA runs as processes here: the API server reaches the metrics adapter through a Service of type
ExternalName. The adapter's APIService trusts the benchmark's authority.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks._operator_site import LABEL

KEDA_NAMESPACE: Final = "keda"
ADAPTER: Final = "keda-metrics-apiserver"
RUNS: Final = "bench-runs"
"""Label of pods that get a process; the others stay Pending."""
_GROUPS: Final = {
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings",
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "APIService": "/apis/apiregistration.k8s.io/v1/apiservices",
}
_FOLDERS: Final = ("crd/bases", "service_account", "rbac", "metrics-server")


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """One way to scale: an autoscaler with its settings.

    Args:
        name: of the arm, a word of figures' keys.
        title: in tables and pictures.
        keda: KEDA's, else Penstock's.
        spec: what a ScaledObject has in `spec`, or a JobQueue in `spec.scaling`, in addition to what every arm has.
        grace_seconds: of the worker's pods; Penstock's follow from drainTimeoutSeconds.
    """

    name: str
    title: str
    keda: bool
    spec: Mapping[str, Any] = field(default_factory=dict)
    grace_seconds: int = 30


_BEHAVIOR: Final = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "policies": [{"type": "Pods", "value": 100, "periodSeconds": 15}],
    },
    "scaleDown": {"stabilizationWindowSeconds": 5},
}
_TUNED: Final = {
    "pollingInterval": 1,
    "cooldownPeriod": 5,
    "advanced": {"horizontalPodAutoscalerConfig": {"behavior": _BEHAVIOR}},
}
LONG_GRACE_SECONDS: Final = 600
PENSTOCK: Final = Arm("penstock", "Penstock", keda=False)
PENSTOCK_TUNED: Final = Arm(
    "penstock_tuned",
    "Penstock, windows of 5 s",
    keda=False,
    spec={"scaleDown": {"stabilizationWindowSeconds": 5, "cooldownSeconds": 5}},
)
KEDA: Final = Arm("keda", "KEDA", keda=True)
KEDA_POLLING: Final = Arm("keda_polling", "KEDA, polls of 1 s", keda=True, spec={"pollingInterval": 1})
KEDA_TUNED: Final = Arm("keda_tuned", "KEDA, tuned", keda=True, spec=_TUNED)
KEDA_GRACE: Final = Arm(
    "keda_tuned_grace", "KEDA, tuned, long grace", keda=True, spec=_TUNED, grace_seconds=LONG_GRACE_SECONDS
)


def keda_objects(config: Path, *, authority: bytes, port: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """KEDA's own objects as (collection path, object), in an order in which each can be created.

    Args:
        config: the folder `config` of KEDA's module.
        authority: certificate that the API server is to trust for the adapter.
        port: where the adapter listens, on loopback.
    """
    for folder in _FOLDERS:
        for path in sorted((config / folder).glob("*.yaml")):
            for one in yaml.safe_load_all(path.read_text()):
                if one and one["kind"] in _GROUPS:
                    place = _GROUPS[one["kind"]].format(namespace=one["metadata"].get("namespace"))
                    yield place, _trusting(one, authority, port) if one["kind"] == "APIService" else one
    service = {"type": "ExternalName", "externalName": "localhost", "ports": [{"name": "https", "port": port}]}
    yield (
        f"/api/v1/namespaces/{KEDA_NAMESPACE}/services",
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": ADAPTER}, "spec": service},
    )


def _trusting(service: dict[str, Any], authority: bytes, port: int) -> dict[str, Any]:
    spec = {**service["spec"], "caBundle": base64.b64encode(authority).decode()}
    return {**service, "spec": {**spec, "service": {**spec["service"], "port": port}}}


def counting(queue: str) -> str:
    """What KEDA asks: jobs of the queue that may run now or do, as its documentation counts running ones too."""
    return (
        "SELECT count(*) FROM penstock.job WHERE (ord IS NOT NULL OR token IS NOT NULL)"
        f" AND queue = (SELECT id FROM penstock.queue WHERE name = '{queue}')"
    )


def scaled_object(name: str, arm: Arm, *, replicas: int, per_replica: int) -> dict[str, Any]:
    """A ScaledObject of the Deployment `NAME` and the queue of that name.

    Args:
        name: of all three.
        arm: with KEDA's settings.
        replicas: at most.
        per_replica: jobs for each, the trigger's target.
    """
    trigger = {
        "type": "postgresql",
        "metadata": {"query": counting(name), "targetQueryValue": str(per_replica)},
        "authenticationRef": {"name": "postgres"},
    }
    spec = {"scaleTargetRef": {"name": name}, "minReplicaCount": 0, "maxReplicaCount": replicas, "triggers": [trigger]}
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": name},
        "spec": {**spec, **arm.spec},
    }


def trigger_authentication(secret: str) -> dict[str, Any]:
    """How ScaledObjects come to the database's URL."""
    reference = {"parameter": "connection", "name": secret, "key": "url"}
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "TriggerAuthentication",
        "metadata": {"name": "postgres"},
        "spec": {"secretTargetRef": [reference]},
    }


def job_queue(name: str, arm: Arm, *, replicas: int, per_replica: int, concurrency: int, runs: bool) -> dict[str, Any]:
    """A JobQueue whose workers run the benchmark's tasks.

    Args:
        name: of the JobQueue and of its queue.
        arm: with Penstock's settings.
        replicas: at most.
        per_replica: jobs for each replica while there is no estimate of their run time.
        concurrency: jobs that a worker runs at once.
        runs: whether its pods get a process.
    """
    labels = {LABEL: name, **({RUNS: "yes"} if runs else {})}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "worker", "image": "worker:1"}]}}
    scaling = {"maxReplicas": replicas, "target": {"jobsPerSlot": per_replica // concurrency}, **arm.spec}
    worker = {
        "app": "benchmarks._keda_app:app",
        "concurrency": concurrency,
        "drainTimeoutSeconds": LONG_GRACE_SECONDS,
        "template": template,
    }
    return {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "JobQueue",
        "metadata": {"name": name},
        "spec": {"databaseRef": {"secretRef": {"name": "db"}}, "worker": worker, "scaling": scaling},
    }


def deployment(
    name: str, template: Mapping[str, Any], *, model: str, runs: bool, grace_seconds: int, concurrency: int
) -> dict[str, Any]:
    """A Deployment with the pods that the operator made for the JobQueue `model`, for the queue `name`.

    Args:
        name: of the Deployment, of its queue and in the pods' label.
        template: the pod template that Penstock's operator wrote.
        model: the JobQueue that it wrote it for.
        runs: whether the pods get a process.
        grace_seconds: from SIGTERM to SIGKILL.
        concurrency: jobs that a worker runs at once.
    """
    settings = {"PENSTOCK_DRAIN_TIMEOUT_SECONDS": grace_seconds, "PENSTOCK_CONCURRENCY": concurrency}
    labels = {LABEL: name, **({RUNS: "yes"} if runs else {})}
    spec = {**template["spec"], "terminationGracePeriodSeconds": grace_seconds}
    spec["containers"] = [_of_queue(one, model, name, settings) for one in spec["containers"]]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {LABEL: name}},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def _of_queue(container: Mapping[str, Any], model: str, name: str, settings: Mapping[str, int]) -> dict[str, Any]:
    def value(one: Mapping[str, Any]) -> Any:
        return {**one, "value": str(settings[one["name"]])} if one["name"] in settings else one

    command = [name if word == model else word for word in container.get("command", ())]
    return {**container, "command": command, "env": [value(one) for one in container["env"]]}
