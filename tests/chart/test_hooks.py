"""What the chart runs once: migrations before an install or upgrade, and `penstock doctor` for `helm test`."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import psycopg
import pytest

from tests.chart.test_install import get, has_role
from tests.support.chart import CHART, only, render
from tests.support.controlplane import ControlPlane
from tests.support.pod_env import Image
from tests.support.pods import ProcessPods
from tests.support.postgres import Database, Servers
from tests.support.waiting import eventually

MIGRATED: dict[str, Any] = {"migrations": {"enabled": True, "secretRef": {"name": "owner"}}}
EXAMINED: dict[str, Any] = {"doctor": {"secretRef": {"name": "anybody"}}}


@pytest.fixture
def blank(servers: Servers) -> Iterator[Database]:
    """A database without our schema."""
    with servers.newest.database(migrated=False) as database:
        yield database


@pytest.fixture
def machines(own_plane: ControlPlane, restricted: str, tmp_path: Path) -> Iterator[ProcessPods]:
    """A node that runs the worker's image as a process of this machine; the operator's pods stay pending."""
    image = Image(env={"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"})
    pods = ProcessPods(
        control_plane=own_plane,
        namespace=restricted,
        images={"penstock-worker:0.1.0": image},
        logs=tmp_path / "pods",
        selector="app.kubernetes.io/component in (migrate, doctor)",
        pace=0.1,
    )
    pods.start()
    try:
        yield pods
    finally:
        pods.stop()


def secret(plane: ControlPlane, namespace: str, name: str, url: str) -> None:
    body = {"metadata": {"name": name}, "stringData": {"url": url}}
    plane.request("POST", f"/api/v1/namespaces/{namespace}/secrets", body)


def test_an_install_migrates_first_and_the_doctor_finds_the_database_well(
    own_plane: ControlPlane, restricted: str, helm: helm_python.Config, machines: ProcessPods, blank: Database
):
    """Pod Security `restricted` admits both pods; the Job leaves nothing once it has succeeded."""
    for name in ("owner", "anybody"):
        secret(own_plane, restricted, name, blank.url)
    helm.install(CHART, "penstock", {**MIGRATED, **EXAMINED}, timeout=200)
    with psycopg.connect(blank.url) as db:
        assert db.execute("SELECT count(*) > 0 FROM penstock.schema_version").fetchone() == (True,)
    jobs = f"/apis/batch/v1/namespaces/{restricted}/jobs"
    eventually(lambda: not get(own_plane, jobs)["items"], "the Job is gone")
    assert [each.code for each in machines.exits()] == [0]
    helm.test("penstock", timeout=200)
    assert [each.code for each in machines.exits()] == [0, 0]


def test_a_migration_that_fails_changes_nothing_else_and_stays_to_be_read(
    own_plane: ControlPlane, restricted: str, helm: helm_python.Config, machines: ProcessPods, blank: Database
):
    """No operator of a new version meets a schema that it does not know."""
    secret(own_plane, restricted, "owner", "postgresql://nobody@127.0.0.1:1/nowhere")
    limits: dict[str, Any] = {"migrations": {**MIGRATED["migrations"], "timeoutSeconds": 25}}
    with pytest.raises(helm_python.HelmError):
        helm.install(CHART, "penstock", limits, timeout=200)
    assert not has_role(own_plane, restricted)
    (job,) = get(own_plane, f"/apis/batch/v1/namespaces/{restricted}/jobs")["items"]
    assert job["metadata"]["name"] == "penstock-migrate"
    assert machines.exits()[0].code == 1


def test_the_doctor_fails_the_test_of_a_database_without_the_schema(
    own_plane: ControlPlane, restricted: str, helm: helm_python.Config, machines: ProcessPods, blank: Database
):
    """`helm test` is a check, not a greeting."""
    secret(own_plane, restricted, "anybody", blank.url)
    helm.install(CHART, "penstock", EXAMINED, timeout=200)
    with pytest.raises(helm_python.HelmError):
        helm.test("penstock", timeout=200)
    assert [each.code for each in machines.exits()] == [1]


def test_by_default_nothing_runs_once():
    """Migrations and tests need a Secret that nobody has named."""
    assert not [each for each in render() if "helm.sh/hook" in each["metadata"].get("annotations", {})]
    with pytest.raises(helm_python.HelmError, match=r"migrations\.secretRef\.name is required"):
        render({"migrations": {"enabled": True}})


def test_what_runs_once_reaches_the_database_alone_and_has_no_token():
    """Each with a NetworkPolicy of its own, the migration's before its Job."""
    objects = render({**MIGRATED, "doctor": {**EXAMINED["doctor"], "role": "observer"}})
    job, pod = only(objects, "Job"), only(objects, "Pod")
    assert pod["spec"]["containers"][0]["args"] == ["doctor", "--for", "observer"]
    for spec, labels in ((pod["spec"], pod["metadata"]["labels"]), _template(job)):
        assert spec["automountServiceAccountToken"] is False
        policy = only(objects, "NetworkPolicy", f"penstock-{labels['app.kubernetes.io/component']}")["spec"]
        assert policy["podSelector"]["matchLabels"].items() <= labels.items()
        (egress,) = policy["egress"]
        assert {port["port"] for port in egress["ports"]} == {53, 5353, 5432, 6432}
        assert policy["ingress"] == []
    selected = only(objects, "Deployment")["spec"]["selector"]["matchLabels"]
    assert not selected.items() <= job["spec"]["template"]["metadata"]["labels"].items()
    weights = [
        int(only(objects, kind, "penstock-migrate")["metadata"]["annotations"]["helm.sh/hook-weight"])
        for kind in ("NetworkPolicy", "Job")
    ]
    assert weights == sorted(weights)


def _template(job: Any) -> tuple[Any, Any]:
    return job["spec"]["template"]["spec"], job["spec"]["template"]["metadata"]["labels"]
