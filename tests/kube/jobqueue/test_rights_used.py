"""What the chart grants is what the operator uses: neither a verb less nor a verb more, in both modes."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.kube.jobqueue.conftest import JobQueues, Start, counts, enqueue, started
from tests.kube.jobqueue.kinds import PodMonitors
from tests.support.chart import OperatorRights, render, rights
from tests.support.controlplane import ControlPlane
from tests.support.pods import ProcessPods
from tests.support.waiting import eventually

ROLES = "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles"


def granted(roles: list[Any]) -> set[tuple[str, str, str]]:
    """Verb, group and resource of every rule."""
    return {
        (verb, group, resource)
        for role in roles
        for rule in role["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def test_every_verb_that_the_chart_grants_is_used_and_none_is_missing(
    jobqueues: JobQueues,
    kinds: PodMonitors,
    operator: Start,
    pods: ProcessPods,
    pg_url: str,
    database: psycopg.Connection,
    control_plane: ControlPlane,
):
    """A whole life, 0 -> N -> 0 and a change of the template; then the API server's audit compared with the roles."""
    kinds.install()
    started(jobqueues, operator, pg_url)
    enqueue(database, 6, 0.1)
    eventually(lambda: counts(database)[1] == 6, "the jobs run")
    eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 0, "down through the drain")
    jobqueues.patch({"spec": {"worker": {"concurrency": 7}}})
    roles = jobqueues.api.request("GET", ROLES.format(jobqueues.namespace))["items"]
    account = f"system:serviceaccount:{jobqueues.namespace}:penstock"
    eventually(
        lambda: (
            (granted(roles) ^ control_plane.used_by(account)) == set() or _difference(roles, control_plane, account)
        ),
        "used is granted, and granted is used",
    )
    assert control_plane.refused_to(account) == set()


def _difference(roles: list[Any], plane: ControlPlane, account: str) -> bool:
    used, allowed = plane.used_by(account), granted(roles)
    raise AssertionError(f"not used: {sorted(allowed - used)}; used beyond the roles: {sorted(used - allowed)}")


@pytest.mark.parametrize("values", [{}, {"watchNamespaces": ["a", "b"]}, {"watchNamespaces": ["*"]}])
def test_secrets_are_never_listed_or_watched_in_any_mode(values: Any):
    """One namespace, some, or all: of Secrets there is the one by its name."""
    roles = [one for one in render(values) if one["kind"] in {"Role", "ClusterRole"}]
    assert {verb for verb, _, resource in granted(roles) if resource == "secrets"} == {"get"}
    assert not [one for one in granted(roles) if "*" in one]


def test_with_rights_in_all_namespaces_a_jobqueue_anywhere_is_served(
    jobqueues: JobQueues, everywhere: OperatorRights, operator: Start, pg_url: str
):
    """The operator lives in this namespace and its settings name none. Other tests' namespaces may be terminating."""
    running = started(jobqueues, operator, pg_url, **everywhere.env, KUBECONFIG=str(everywhere.kubeconfig))
    eventually(lambda: jobqueues.conditions()["Ready"] == ("True", "Ready"), "it is served")
    assert "forbidden: User" not in running.text  # as the API server says it of a right that is missing


@pytest.fixture
def everywhere(control_plane: ControlPlane, namespace: str, tmp_path: Any) -> OperatorRights:
    """The chart's cluster-wide roles."""
    folder = tmp_path / "everywhere"
    folder.mkdir()
    return rights(control_plane, namespace=namespace, folder=folder, values={"watchNamespaces": ["*"]})
