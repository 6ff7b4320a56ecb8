"""The JobQueue definition on a real API server: what it accepts, what it refuses and in which words, how it scales."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from penstock.errors import ManifestError
from penstock.jobqueue.manifests import load_manifests
from penstock.jobqueue.rules import RULES
from tests.kube.jobqueue.conftest import JobQueues
from tests.support.api_client import ApiError
from tests.support.controlplane import ControlPlane
from tests.unit.jobqueue.examples import REPOSITORY, manifest
from tests.unit.jobqueue.verdicts import ACCEPTED, CHANGES, NIGHTLY, REFUSED, scheduled


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_the_api_server_refuses_what_a_mirrored_rule_refuses(jobqueues: JobQueues, case):
    """In the rule's own words, with the field that the rule blames."""
    rule = next(one for one in RULES if one.name == case.rule)
    with pytest.raises(ApiError) as refused:
        jobqueues.create(case.resource, **case.changes)
    assert refused.value.status == 422
    assert rule.message in refused.value.message
    if rule.field != "metadata.name":
        assert case.blamed in refused.value.message


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_the_api_server_accepts_what_keeps_the_rules_and_fills_in_the_same_defaults(
    jobqueues: JobQueues, case, tmp_path
):
    """What local mode makes of the file is what the cluster stores."""
    stored = jobqueues.create(**case.changes)["spec"]
    file = tmp_path / "jobqueues.yaml"
    file.write_text(yaml.safe_dump(manifest(**case.changes)))
    (read,) = load_manifests(file)
    assert read.content["spec"] == stored


@pytest.mark.parametrize("case", CHANGES, ids=lambda case: case.name)
def test_the_api_server_holds_a_change_against_what_was_there(jobqueues: JobQueues, case):
    """A name cannot come, go or change; leaving Fixed takes the replicas along."""
    stored = jobqueues.create(**case.before)
    new = manifest(**case.after)
    new["metadata"] |= {"resourceVersion": stored["metadata"]["resourceVersion"]}
    if not case.refused:
        jobqueues.api.request("PUT", jobqueues.path("emails"), new)
        return
    with pytest.raises(ApiError, match="queueName is immutable") as refused:
        jobqueues.api.request("PUT", jobqueues.path("emails"), new)
    assert refused.value.status == 422


STRUCTURE: list[tuple[dict[str, Any], str]] = [
    ({"worker__concurrency": 0}, "spec.worker.concurrency"),
    ({"worker__concurrency": 10_001}, "spec.worker.concurrency"),
    ({"worker__concurrency": "5"}, "spec.worker.concurrency"),
    ({"worker__concurency": 5}, "spec.worker.concurency"),
    ({"worker__app": None}, "spec.worker.app"),
    ({"worker__app": "shop.jobs"}, "spec.worker.app"),
    ({"worker__executor": "async"}, "spec.worker.executor"),
    ({"worker__template": {"spec": {"containers": []}}}, "spec.worker.template.spec.containers"),
    (
        {"worker__template": {"spec": {"containers": [{"name": "worker", "image": "a"}] * 2}}},
        "spec.worker.template.spec.containers",
    ),
    (
        {"worker__template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "worker", "image": "a"}]}}},
        "spec.worker.template.spec.restartPolicy",
    ),
    ({"queueName": "a b"}, "spec.queueName"),
    ({"queueName": "a" * 64}, "spec.queueName"),
    ({"databaseRef": {}}, "spec.databaseRef.secretRef"),
    ({"databaseRef": {"secretRef": {"name": "s", "key": "a/b"}}}, "spec.databaseRef.secretRef.key"),
    ({"databaseRef": {"secretRef": {"name": "s", "key": ".."}}}, "spec.databaseRef.secretRef.key"),
    ({"databaseRef": {"secretRef": {"name": "s"}, "directKey": "."}}, "spec.databaseRef.directKey"),
    ({"databaseRef": {"secretRef": {"name": "../../b/secrets/s"}}}, "spec.databaseRef.secretRef.name"),
    ({"databaseRef": {"secretRef": {"name": "S"}}}, "spec.databaseRef.secretRef.name"),
    ({"databaseRef": {"secretRef": {"name": "s\n"}}}, "spec.databaseRef.secretRef.name"),
    (
        {"databaseRef": {"secretRef": {"name": "s"}, "operatorSecretRef": {"name": ".."}}},
        "spec.databaseRef.operatorSecretRef.name",
    ),
    ({"stopPolicy": "Pause"}, "spec.stopPolicy"),
    ({"scaling__mode": "Manual"}, "spec.scaling.mode"),
    ({"scaling__maxReplicas": 0}, "spec.scaling.maxReplicas"),
    ({"scaling__target": {"utilizationPercent": 101}}, "spec.scaling.target.utilizationPercent"),
    ({"scaling__steps": [{"above": 1, "change": 1}] * 17}, "spec.scaling.steps"),
    ({"limits__maxInFlight": 0}, "spec.limits.maxInFlight"),
    ({"retry__maxAttempts": 1001}, "spec.retry.maxAttempts"),
    ({"retentionSeconds": 59}, "spec.retentionSeconds"),
    ({"schedules": [NIGHTLY, NIGHTLY]}, "spec.schedules"),
    ({"schedules": [{**NIGHTLY, "name": f"s{number}"} for number in range(101)]}, "spec.schedules"),
    (scheduled(name="a b"), "spec.schedules[0].name"),
    (scheduled(name="n" * 64), "spec.schedules[0].name"),
    (scheduled(name="-nightly"), "spec.schedules[0].name"),
    (scheduled(task=None), "spec.schedules[0].task"),
    (scheduled(task="send report"), "spec.schedules[0].task"),
    (scheduled(task="send_report\n"), "spec.schedules[0].task"),
    (scheduled(task="t" * 201), "spec.schedules[0].task"),
    (scheduled(priority=4), "spec.schedules[0].priority"),
    (scheduled(suspend="no"), "spec.schedules[0].suspend"),
    (scheduled(cron="1" * 201), "spec.schedules[0].cron"),
    (scheduled(cron=None, everySeconds=0), "spec.schedules[0].everySeconds"),
    (scheduled(timeZone="Europe/Berlin\n"), "spec.schedules[0].timeZone"),
    (scheduled(args=[1]), "spec.schedules[0].args"),
    (scheduled(missed="Never"), "spec.schedules[0].missed"),
    (scheduled(overlap="skip"), "spec.schedules[0].overlap"),
    (scheduled(jitterSeconds=3601), "spec.schedules[0].jitterSeconds"),
    (scheduled(leadSeconds=-1), "spec.schedules[0].leadSeconds"),
    (scheduled(startDate="2026-01-02"), "spec.schedules[0].startDate"),
    (scheduled(paused=True), "spec.schedules[0].paused"),
]


@pytest.mark.parametrize(("changes", "field"), STRUCTURE, ids=lambda value: value if isinstance(value, str) else "")
def test_structure_is_refused_alike_on_the_cluster_and_on_a_laptop(jobqueues: JobQueues, changes, field, tmp_path):
    """Both name the field."""
    with pytest.raises(ApiError) as refused:
        jobqueues.create(**changes)
    assert refused.value.status in {400, 422}
    assert field in refused.value.message
    file = tmp_path / "jobqueues.yaml"
    file.write_text(yaml.safe_dump(manifest(**changes)))
    with pytest.raises(ManifestError) as raised:
        load_manifests(file)
    assert field in str(raised.value)


def test_the_shops_file_is_applied_by_kubectl_and_listed_with_our_columns(
    jobqueues: JobQueues, control_plane: ControlPlane
):
    """Client-side apply, strict validation; twice, for the second time changes nothing."""
    file = REPOSITORY / "examples" / "shop" / "jobqueues.yaml"
    first = kubectl(control_plane, jobqueues.namespace, "apply", "-f", str(file))
    assert first.count("created") == 4
    assert kubectl(control_plane, jobqueues.namespace, "apply", "-f", str(file)).count("unchanged") == 4
    columns = kubectl(control_plane, jobqueues.namespace, "get", "jq").splitlines()[0].split()
    assert columns == ["NAME", "READY", "DEPTH", "INFLIGHT", "OLDEST", "DESIRED", "REPLICAS", "WHY", "AGE"]


def test_kubectl_scale_works_in_mode_fixed_and_is_refused_in_mode_auto(
    jobqueues: JobQueues, control_plane: ControlPlane
):
    """The refusal says what to do instead."""
    jobqueues.create("fixed", scaling__mode="Fixed", replicas=1)
    kubectl(control_plane, jobqueues.namespace, "scale", "jq/fixed", "--replicas=4")
    assert jobqueues.get("fixed")["spec"]["replicas"] == 4
    jobqueues.create("auto")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        kubectl(control_plane, jobqueues.namespace, "scale", "jq/auto", "--replicas=4")
    assert "replicas is only for mode Fixed: in mode Auto the operator decides" in refused.value.stderr
    assert "replicas" not in jobqueues.get("auto")["spec"]


def test_scale_shows_replicas_and_selector_of_the_status(jobqueues: JobQueues):
    """What a generic tool reads."""
    jobqueues.create(scaling__mode="Fixed", replicas=3)
    jobqueues.patch({"status": {"replicas": 2, "selector": "a=b"}}, subresource="/status")
    scale = jobqueues.api.request("GET", f"{jobqueues.path('emails')}/scale")
    assert (scale["spec"]["replicas"], scale["status"]["replicas"], scale["status"]["selector"]) == (3, 2, "a=b")


def test_leaving_mode_fixed_takes_the_replicas_along_in_one_write(jobqueues: JobQueues):
    """Without it, the change is refused."""
    jobqueues.create(scaling__mode="Fixed", replicas=3)
    with pytest.raises(ApiError, match="replicas is only for mode Fixed"):
        jobqueues.patch({"spec": {"scaling": {"mode": "Auto"}}})
    left = jobqueues.patch({"spec": {"scaling": {"mode": "Auto"}, "replicas": None}})
    assert "replicas" not in left["spec"]


def test_a_status_cannot_be_written_with_the_spec_and_the_spec_not_with_the_status(jobqueues: JobQueues):
    """Two writers, two paths."""
    jobqueues.create()
    assert "status" not in jobqueues.patch({"status": {"replicas": 5}})
    written = jobqueues.patch(
        {"status": {"replicas": 5}, "spec": {"worker": {"concurrency": 9}}}, subresource="/status"
    )
    assert (written["status"]["replicas"], written["spec"]["worker"]["concurrency"]) == (5, 5)


def kubectl(plane: ControlPlane, namespace: str, *arguments: str) -> str:
    """Its output; the test is skipped where there is no kubectl.

    Raises:
        CalledProcessError: it failed; `stderr` says why.
    """
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl on PATH")
    command = ["kubectl", "--kubeconfig", str(plane.admin_kubeconfig), "-n", namespace, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, json.dumps(command[:1]), done.stdout, done.stderr)
    return done.stdout
