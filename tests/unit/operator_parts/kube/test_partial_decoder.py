"""Deployments and pods of a list: the same views as of the whole objects, at a fraction of their memory."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from penstock_operator.kube.cache import Cache
from penstock_operator.kube.list_decoder import PAGE, decode_page, decoder, nothing
from penstock_operator.kube.partial_decoder import MAX_MANAGERS, PART_BYTES, TEXTS_BYTES, decode_workload_list
from penstock_operator.resources.child_object import ChildObject
from penstock_operator.resources.resource import DELETION_COST, JOBQUEUE_LABEL, PROTECTED, Deployment, Pod
from tests.unit.operator_parts.objects import deployment_object, pod_object

SMALL = [{"name": f"A{number}"} for number in range(60_000)]
"""More than a megabyte of JSON, and thirty of Python."""


def managed(manager: str, *annotations: str, **more: Any) -> dict[str, Any]:
    """An entry of managed fields, as the API server writes them."""
    fields: dict[str, Any] = {
        "f:annotations": {".": {}, **{f"f:{one}": {} for one in annotations}},
        "f:labels": {"f:x": {}},
    }
    spec: dict[str, Any] = {
        "f:replicas": {},
        "f:template": {"f:spec": {"f:containers": {'k:{"name":"worker"}': {".": {}}}}},
    }
    return {
        "manager": manager,
        "operation": "Apply",
        "apiVersion": "v1",
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": fields, "f:spec": spec},
        **more,
    }


def a_pod(**changes: Any) -> dict[str, Any]:
    """One with everything that its view reads."""
    container = {
        "name": "worker",
        "image": "shop:1",
        "env": [{"name": "A", "value": "b"}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 1}, "periodSeconds": 2, "timeoutSeconds": 3},
    }
    metadata = {
        "annotations": {DELETION_COST: "-1", **PROTECTED, "other": "x"},
        "managedFields": [managed("somebody", DELETION_COST), managed("penstock-disruption", *PROTECTED)],
        "deletionTimestamp": "2026-01-01T00:10:00Z",
        "deletionGracePeriodSeconds": 5,
    }
    status = {
        "phase": "Running",
        "startTime": "2026-01-01T00:00:01Z",
        "conditions": [{"type": "Ready", "status": "Unknown"}, {"type": "PodScheduled", "status": "True"}],
        "containerStatuses": [{"name": "worker", "restartCount": 2, "state": {"waiting": {"reason": "ErrImagePull"}}}],
    }
    spec = {
        "nodeName": "n-1",
        "terminationGracePeriodSeconds": 60,
        "containers": [container],
        "volumes": [{"name": "v"}],
    }
    return pod_object("a", metadata=metadata | changes.pop("metadata", {}), status=status, spec=spec | changes)


def a_deployment(**changes: Any) -> dict[str, Any]:
    """One with everything that its view reads."""
    template = {
        "metadata": {"annotations": {"penstock.dev/credentials": "abc"}, "labels": {"a": "b"}},
        "spec": {"containers": [{"name": "worker", "image": "shop:1"}]} | changes,
    }
    spec = {
        "replicas": 3,
        "paused": True,
        "progressDeadlineSeconds": 30,
        "template": template,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "50%"}},
        "selector": {"matchLabels": {}},
    }
    conditions = [
        {"type": "ReplicaFailure", "status": "True", "message": "quota"},
        {"type": "Progressing", "status": "False"},
    ]
    status = {
        "replicas": 4,
        "updatedReplicas": 1,
        "readyReplicas": 2,
        "observedGeneration": 1,
        "conditions": conditions,
    }
    made = deployment_object(spec=spec, status=status)
    made["metadata"]["managedFields"] = [managed("penstock-template"), managed("vpa", subresource="scale")]
    made["metadata"]["annotations"] = {"penstock.dev/credentials-seen": "def"}
    return made


@pytest.mark.parametrize(
    ("kind", "read", "found"),
    [
        ("Pod", Pod.read, a_pod()),
        ("Pod", Pod.read, pod_object("b")),
        ("Deployment", Deployment.read, a_deployment()),
        ("Deployment", Deployment.read, deployment_object()),
        ("PodDisruptionBudget", ChildObject.read, a_deployment()),
        ("PodMonitor", ChildObject.read, a_deployment()),
    ],
)
def test_the_view_is_that_of_the_whole_object(kind: str, read: Any, found: dict[str, Any]):
    """By the operator's list and by the watch's own."""
    ((listed,), _) = decode_page(json.dumps({"metadata": {}, "items": [found]}).encode(), nothing, decode=decoder(kind))
    assert read(listed) == read(found)
    if kind in {"Pod", "Deployment"}:
        page = {"kind": f"{kind}List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": [found]}
        watched = decode_workload_list(json.dumps(page).encode())
        assert watched is not None
        assert read(watched["items"][0]) == read(found)
        assert {key: watched[key] for key in ("kind", "apiVersion", "metadata")} == {
            key: page[key] for key in ("kind", "apiVersion", "metadata")
        }


@pytest.mark.parametrize("kind", ["Pod", "Deployment"])
def test_a_page_of_the_largest_objects_takes_little_more_than_its_own_bytes(kind: str):
    """Their author chooses their size; the page is what the API server sends."""
    one = a_pod(initContainers=SMALL) if kind == "Pod" else a_deployment(initContainers=SMALL)
    text = json.dumps(one, separators=(",", ":"))
    items = ",".join(text.replace(one["metadata"]["uid"], f"u-{number}") for number in range(4))
    page = f'{{"metadata":{{}},"items":[{items}]}}'.encode()
    cache = Cache(lambda _, __: None)
    shelf: Any = cache.pods if kind == "Pod" else cache.deployments
    shelf.listing()
    tracemalloc.start()
    try:
        objects, _ = decode_page(page, shelf.holds, decode=decoder(kind))
        shelf.replace(objects)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(shelf.views) == 4
    assert peak < 2 * len(page)
    assert PAGE * 1.5 * 2**20 < 80 * 2**20


@pytest.mark.parametrize(
    ("where", "maximum"), [("annotations", TEXTS_BYTES), ("labels", TEXTS_BYTES), ("ownerReferences", PART_BYTES)]
)
def test_what_nobody_of_ours_writes_is_left_out(where: str, maximum: int):
    """It is neither decoded nor kept; the object is there."""
    large: Any = {str(number): "" for number in range(maximum // 6)}
    large = [large] if where == "ownerReferences" else large
    one = a_pod(metadata={where: large})
    ((found,), _) = decode_page(json.dumps({"metadata": {}, "items": [one]}).encode(), nothing, decode=decoder("Pod"))
    assert where not in found["metadata"]
    assert Pod.read(found).name == "a"
    assert JOBQUEUE_LABEL


def test_managers_beyond_any_real_number_are_not_read():
    """Nor is a list of something else decoded sparingly."""
    one = a_pod(metadata={"managedFields": [managed("m")] * (MAX_MANAGERS + 50)})
    page = {"kind": "PodList", "metadata": {}, "items": [one]}
    found = decode_workload_list(json.dumps(page).encode())
    assert found is not None
    assert len(found["items"][0]["metadata"]["managedFields"]) == MAX_MANAGERS
    assert decode_workload_list(json.dumps(page | {"kind": "JobQueueList"}).encode()) is None


@pytest.mark.parametrize("kind", ["Pod", "Deployment", "PodDisruptionBudget", "PodMonitor"])
def test_a_list_brings_what_is_new_to_the_cache(kind: str):
    """Of what is known it has uid and version alone; a child that somebody edited is known no more."""
    cache = Cache(lambda _, __: None)
    shelf: Any = {"Pod": cache.pods, "Deployment": cache.deployments, **cache.others}[kind]
    for version in ("7", "8", "8"):
        found = a_pod() if kind == "Pod" else a_deployment()
        found["metadata"]["resourceVersion"] = version
        page = json.dumps({"metadata": {}, "items": [found]}).encode()
        shelf.listing()
        shelf.replace(decode_page(page, shelf.holds, decode=decoder(kind))[0])
        assert [one.resource_version for one in shelf.views.values()] == [version]
