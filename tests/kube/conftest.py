"""Fixtures of the tests that need the control plane: short ways to create a Deployment and to list its pods."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.support.api_client import ApiClient
from tests.support.controlplane import ControlPlane


@pytest.fixture
def api(control_plane: ControlPlane) -> ApiClient:
    """The administrator's client."""
    return control_plane.client()


@pytest.fixture
def deploy(api: ApiClient, namespace: str) -> Callable[..., str]:
    """`deploy("web", replicas=2, container={...}, **pod_spec)` creates a Deployment; returns its path."""

    def create(name: str, *, replicas: int, container: Mapping[str, Any], **pod_spec: Any) -> str:
        labels = {"app": name}
        template = {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "main", **container}], **pod_spec},
        }
        spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
        deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        api.request("POST", deployments, {"metadata": {"name": name}, "spec": spec})
        return f"{deployments}/{name}"

    return create


@pytest.fixture
def pods_of(api: ApiClient, namespace: str) -> Callable[[str], list[Any]]:
    """`pods_of("web")` lists the pod objects of that Deployment."""

    def listed(name: str) -> list[Any]:
        found = api.request("GET", f"/api/v1/namespaces/{namespace}/pods?labelSelector=app%3D{name}")
        return list(found["items"])

    return listed
