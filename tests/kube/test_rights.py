"""The operator's rights in these tests are those of the chart, and the ones that it uses can be listed."""

import pytest

from tests.support.api_client import ApiError
from tests.support.chart import OperatorRights
from tests.support.controlplane import ControlPlane
from tests.support.waiting import eventually


def test_the_charts_roles_let_the_operator_read_pods_but_not_list_secrets(
    control_plane: ControlPlane, namespace: str, operator_rights: OperatorRights
):
    """Allowed is what a rule names; the kubeconfig presents the same account."""
    operator = control_plane.client(operator_rights.token)
    core = f"/api/v1/namespaces/{namespace}"
    assert operator.request("GET", f"{core}/pods")["items"] == []
    with pytest.raises(ApiError, match="cannot list resource"):
        operator.request("GET", f"{core}/secrets")
    control_plane.request("POST", f"{core}/secrets", {"metadata": {"name": "db"}, "stringData": {"url": "x"}})
    assert operator.request("GET", f"{core}/secrets/db")["data"] == {"url": "eA=="}
    with pytest.raises(ApiError, match="cannot list resource"):
        operator.request("GET", "/api/v1/namespaces/default/pods")
    assert operator_rights.token in operator_rights.kubeconfig.read_text()


def test_the_environment_is_the_charts_own(namespace: str, operator_rights: OperatorRights):
    """The operator under test has the settings of an installed one."""
    assert operator_rights.env["PENSTOCK_WATCH_NAMESPACES"] == namespace
    assert operator_rights.env["PENSTOCK_NAMESPACE"] == namespace
    assert operator_rights.env["PENSTOCK_HTTP_HOST"] == "127.0.0.1"


def test_what_an_account_asked_for_can_be_compared_with_its_rules(
    control_plane: ControlPlane, namespace: str, operator_rights: OperatorRights
):
    """Requests are recorded with verb, group and resource, served and refused ones apart."""
    operator = control_plane.client(operator_rights.token)
    operator.request("GET", f"/api/v1/namespaces/{namespace}/pods")
    with pytest.raises(ApiError):
        operator.request("GET", f"/api/v1/namespaces/{namespace}/secrets")
    used = control_plane.used_by
    account = f"system:serviceaccount:{namespace}:penstock"
    eventually(lambda: ("list", "", "pods") in used(account), "the request is recorded")
    assert ("list", "", "secrets") not in used(account)
    eventually(lambda: control_plane.refused_to(account) == {("list", "", "secrets")}, "the refusal too, and no other")
