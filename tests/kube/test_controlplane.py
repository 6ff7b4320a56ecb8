"""The control plane that every other test here stands on is a real one."""

from pathlib import Path

import pytest

from tests.support.api_client import ApiClient, ApiError
from tests.support.controlplane import ControlPlane
from tests.support.controlplane_build import ControlPlaneUnavailableError, commands
from tests.support.waiting import eventually


def test_the_api_server_is_the_version_that_the_module_names(control_plane: ControlPlane):
    """The binary is built with its version stamped in, so that clients negotiate as with a released one."""
    assert control_plane.request("GET", "/version")["gitVersion"] == "v1.37.2"


def test_a_namespace_is_usable_as_soon_as_a_test_has_it(control_plane: ControlPlane, namespace: str):
    """A pod is accepted at once: the service account that admission asks for is there."""
    pod = {"metadata": {"name": "one"}, "spec": {"containers": [{"name": "main", "image": "none"}]}}
    created = control_plane.request("POST", f"/api/v1/namespaces/{namespace}/pods", pod)
    assert created["spec"]["serviceAccountName"] == "default"


def test_a_service_account_has_the_rights_of_its_roles_and_no_more(control_plane: ControlPlane, namespace: str):
    """One token is refused before its role is bound, served after, and refused for what the role does not name."""
    client = control_plane.client(control_plane.service_account_token(namespace, "default"))
    pods, secrets = f"/api/v1/namespaces/{namespace}/pods", f"/api/v1/namespaces/{namespace}/secrets"
    assert refusal(client, pods) == 403

    roles = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    control_plane.request("POST", f"{roles}/roles", {"metadata": {"name": "reader"}, "rules": rules})
    binding = {
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
    }
    control_plane.request("POST", f"{roles}/rolebindings", binding)

    eventually(lambda: refusal(client, pods) is None, "the role takes effect")
    assert refusal(client, secrets) == 403


def test_a_custom_resource_rule_in_cel_is_enforced(control_plane: ControlPlane, namespace: str):
    """The server evaluates CEL and says the rule's own message, which older servers drop in silence."""
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {"low": {"type": "integer"}, "high": {"type": "integer"}},
                "x-kubernetes-validations": [{"rule": "self.low <= self.high", "message": "low is above high"}],
            }
        },
    }
    definition = {
        "metadata": {"name": "bands.test.penstock.dev"},
        "spec": {
            "group": "test.penstock.dev",
            "names": {"kind": "Band", "plural": "bands"},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    control_plane.request("POST", definitions, definition)
    try:
        bands = f"/apis/test.penstock.dev/v1/namespaces/{namespace}/bands"
        eventually(lambda: refusal(control_plane.client(), bands) is None, "the new kind is served")
        band = {"apiVersion": "test.penstock.dev/v1", "kind": "Band", "metadata": {"name": "one"}}
        with pytest.raises(ApiError, match="low is above high"):
            control_plane.request("POST", bands, {**band, "spec": {"low": 2, "high": 1}})
        control_plane.request("POST", bands, {**band, "spec": {"low": 1, "high": 2}})
    finally:
        control_plane.request("DELETE", f"{definitions}/bands.test.penstock.dev")


def test_assets_without_a_component_are_refused_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The usual test binaries hold no controller manager; that is said instead of a start that fails."""
    for name in ("etcd", "kube-apiserver"):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with pytest.raises(ControlPlaneUnavailableError, match=r"lacks kube-controller-manager$"):
        commands()


def refusal(client: ApiClient, path: str) -> int | None:
    """The status with which a GET is refused, None if it is served."""
    try:
        client.request("GET", path)
    except ApiError as error:
        return error.status
    return None
