"""Kinds of others that the operator makes use of where a cluster knows them."""

from __future__ import annotations

import contextlib
from typing import Any

from tests.support.api_client import ApiClient, ApiError
from tests.support.waiting import eventually


class PodMonitors:
    """The kind PodMonitor, which a cluster may know or not."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api
        self._path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/podmonitors.monitoring.coreos.com"

    def install(self) -> None:
        """Make it known; returns once it is served."""
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        names = {"plural": "podmonitors", "singular": "podmonitor", "kind": "PodMonitor"}
        spec = {"group": "monitoring.coreos.com", "scope": "Namespaced", "names": names, "versions": [version]}
        kind = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
        metadata = {"name": "podmonitors.monitoring.coreos.com"}
        self._api.apply(self._path, {**kind, "metadata": metadata, "spec": spec})
        eventually(lambda: self.of("default") is not None, "PodMonitors are served")

    def of(self, namespace: str) -> list[Any] | None:
        """Those of a namespace; None while the kind is not known, an AssertionError while that is changing."""
        try:
            path = f"/apis/monitoring.coreos.com/v1/namespaces/{namespace}/podmonitors"
            return list(self._api.request("GET", path)["items"])
        except ApiError as error:
            if error.status == 404:
                return None
            if error.status == 429 or error.status >= 500:
                raise AssertionError("its storage is on its way, or its end") from error
            raise

    def remove(self) -> None:
        """Make it unknown again."""
        with contextlib.suppress(ApiError):
            self._api.request("DELETE", self._path)
        eventually(lambda: self.of("default") is None, "PodMonitors are not served any more")
