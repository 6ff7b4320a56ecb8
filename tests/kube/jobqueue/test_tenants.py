"""A tenant who may write JobQueues in one namespace, and an operator that may read the Secrets of two."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
import yaml

from tests.kube.jobqueue.conftest import QUICK, JobQueues, Start, started
from tests.support.api_client import ApiClient, ApiError
from tests.support.chart import OperatorRights, rights
from tests.support.controlplane import ControlPlane
from tests.support.kube_fixtures import new_namespace
from tests.support.waiting import eventually
from tests.unit.jobqueue.examples import CRD, manifest

DEFINITION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/jobqueues.penstock.dev"


@pytest.fixture
def neighbor(control_plane: ControlPlane) -> Iterator[str]:
    """Another tenant's namespace, watched by the same operator."""
    with new_namespace(control_plane, f"neighbor-{secrets.token_hex(3)}") as name:
        yield name


@pytest.fixture
def operator_rights(control_plane: ControlPlane, namespace: str, neighbor: str, tmp_path: Path) -> OperatorRights:
    """The chart's roles in both namespaces."""
    values = {"watchNamespaces": [namespace, neighbor]}
    return rights(control_plane, namespace=namespace, folder=tmp_path, values=values)


@pytest.fixture
def older_definition(definition: Any, jobqueues: JobQueues) -> Iterator[None]:
    """A definition without a pattern for the names of Secrets, as an operator may meet after its own upgrade."""
    given = yaml.safe_load(CRD.read_text())
    older = copy.deepcopy(given)
    _strip(older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["databaseRef"])
    _install(jobqueues, older, accepts=True)
    try:
        yield
    finally:
        _install(jobqueues, given, accepts=False)


@pytest.fixture
def older_status(definition: Any, jobqueues: JobQueues) -> Iterator[list[str]]:
    """A definition without some fields of the status; their names."""
    given = yaml.safe_load(CRD.read_text())
    older = copy.deepcopy(given)
    properties = older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    _strip(properties["spec"]["properties"]["databaseRef"])  # what shows that it is in force
    names = ["observedAt", "drainingReplicas"]
    for name in names:
        del properties["status"]["properties"][name]
    _install(jobqueues, older, accepts=True)
    try:
        yield names
    finally:
        _install(jobqueues, given, accepts=False)


def _strip(schema: Any) -> None:
    schema.pop("pattern", None)
    for field in schema.get("properties", {}).values():
        _strip(field)


def _install(jobqueues: JobQueues, definition: Any, *, accepts: bool) -> None:
    """Return when the API server judges by it: of a few servers' caches the last has seen it."""
    jobqueues.api.apply(DEFINITION, definition)
    probe = manifest(databaseRef={"secretRef": {"name": "../x"}})
    probe["metadata"]["name"] = "probe"  # one that is there would be a conflict before it is judged

    def judged() -> bool:
        try:
            jobqueues.api.request("POST", f"{jobqueues.collection}?dryRun=All", probe)
        except ApiError as error:
            if error.status != 422:
                raise
            return not accepts
        return accepts

    eventually(judged, "the definition is in force")


def read_secrets(plane: ControlPlane, account: str) -> set[tuple[str, str]]:
    """Namespace and name of each Secret that the account has asked for."""
    return {
        (one["objectRef"].get("namespace", ""), one["objectRef"].get("name", ""))
        for one in plane.audit()
        if one["user"]["username"] == account and one.get("objectRef", {}).get("resource") == "secrets"
    }


@pytest.mark.usefixtures("older_definition")
def test_the_operator_never_reads_a_secret_outside_the_jobqueues_namespace(
    jobqueues: JobQueues, neighbor: str, operator: Start, pg_url: str, control_plane: ControlPlane, api: ApiClient
):
    """Though the definition accepts the name and its roles allow the call: a condition, and no request at all."""
    JobQueues(api, neighbor).secret(pg_url, "postgres")
    escape = f"../../{neighbor}/secrets/postgres"
    references = {
        "traversal": {"secretRef": {"name": escape}},
        "operators": {"secretRef": {"name": "shop-postgres"}, "operatorSecretRef": {"name": escape}},
        "encoded": {"secretRef": {"name": escape.replace("/", "%2f").replace(".", "%2e")}},
        "key": {"secretRef": {"name": "shop-postgres", "key": escape}},
        "direct": {"secretRef": {"name": "shop-postgres"}, "directKey": escape},
        "client": {"secretRef": {"name": "shop-postgres"}, "clientCertificateSecretRef": {"name": escape}},
        "own": {"secretRef": {"name": "shop-postgres"}, "operatorClientCertificateSecretRef": {"name": escape}},
    }
    for name, reference in references.items():
        jobqueues.create(name, **(QUICK | {"databaseRef": reference}))
    started(jobqueues, operator, pg_url)
    for name in references:
        eventually(lambda name=name: jobqueues.conditions(name)["Ready"] == ("False", "InvalidSpec"), name)  # type: ignore[misc]
        assert "spec.databaseRef" in jobqueues.message("Ready", name)
        assert jobqueues.deployment(name) is None
    account = f"system:serviceaccount:{jobqueues.namespace}:penstock"
    asked = eventually(lambda: read_secrets(control_plane, account), "the log has its reads")
    assert asked == {(jobqueues.namespace, "shop-postgres")}


def test_a_database_on_the_operators_machine_is_refused_where_the_setting_says_so(
    jobqueues: JobQueues, operator: Start, pg_url: str
):
    """As in a pod; by its address and by a name of this machine, and nothing is connected to."""
    parts = urlsplit(pg_url)
    login = parts.netloc.rpartition("@")[0]
    for name, host in (("address", "127.0.0.1"), ("name", "localhost"), ("link", "169.254.169.254")):
        jobqueues.secret(urlunsplit(parts._replace(netloc=f"{login}@{host}:{parts.port}")), name)
        jobqueues.create(name, **(QUICK | {"databaseRef": {"secretRef": {"name": name}}}))
    operator(PENSTOCK_LOOPBACK_DATABASES="refuse")
    for name, what in (("address", "loopback"), ("name", "loopback"), ("link", "link-local")):
        eventually(
            lambda name=name: jobqueues.conditions(name).get("DatabaseReachable") == ("False", "InvalidURL"),  # type: ignore[misc]
            name,
        )
        assert what in jobqueues.message("DatabaseReachable", name)


def test_a_definition_that_lacks_fields_of_the_status_costs_these_alone(
    older_status: list[str], jobqueues: JobQueues, operator: Start, pg_url: str
):
    """The API server refuses a status with an undeclared field as a whole; the rest is written without it."""
    process = started(jobqueues, operator, pg_url)
    status = jobqueues.get()["status"]
    assert status["observedGeneration"] == 1
    assert status.keys().isdisjoint(older_status)
    assert all(f"status.{name}" in process.text for name in older_status)
