"""The pure parts of `benchmarks/keda`: what attempts say, turns, manifests of both sides, the picture."""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import yaml
from benchmarks import _keda_manifests as manifests
from benchmarks._keda_build import version
from benchmarks._keda_ledger import Attempt, finished, interrupted, lost_seconds
from benchmarks._keda_picture import ARMS, GROUPS, picture
from benchmarks._operator_site import LABEL
from benchmarks._turns import turns

from penstock.jobqueue.policy import parse_policy

KEDA_ARMS = (manifests.KEDA, manifests.KEDA_POLLING, manifests.KEDA_TUNED, manifests.KEDA_GRACE)
PENSTOCK_ARMS = (manifests.PENSTOCK, manifests.PENSTOCK_TUNED)
TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"penstock.dev/jobqueue": "model"}},
    "spec": {
        "terminationGracePeriodSeconds": 600,
        "containers": [
            {
                "name": "worker",
                "command": ["penstock", "worker", "a:app", "--queue", "model"],
                "env": [
                    {"name": "PENSTOCK_DRAIN_TIMEOUT_SECONDS", "value": "600"},
                    {"name": "PENSTOCK_CONCURRENCY", "value": "1"},
                    {"name": "PENSTOCK_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                ],
            }
        ],
    },
}


def test_a_job_with_one_attempt_that_finished_was_not_interrupted() -> None:
    """Nor is one that still runs."""
    attempts = [Attempt(1, "a", 0.0, 5.0), Attempt(2, "b", 0.0, None)]
    assert interrupted(attempts) == set()
    assert lost_seconds(attempts) == 0
    assert finished(attempts) == {1: 5.0}


def test_a_job_whose_attempt_was_broken_off_and_started_again_is_interrupted_once_however_often() -> None:
    """Rows may come in any order; the work lost is that of each broken-off attempt."""
    attempts = [Attempt(7, "c", 300.0, 400.0), Attempt(7, "a", 0.0, None), Attempt(7, "b", 100.0, None)]
    assert interrupted(attempts) == {7}
    assert lost_seconds(attempts) == 300.0
    assert finished(attempts) == {7: 400.0}


def test_a_job_that_finished_and_ran_again_was_not_interrupted() -> None:
    """It ran twice, which is another fault; the first finish counts."""
    attempts = [Attempt(1, "a", 0.0, 5.0), Attempt(1, "b", 6.0, 9.0)]
    assert interrupted(attempts) == set()
    assert finished(attempts) == {1: 5.0}


@pytest.mark.parametrize("runs", [1, 4, 5])
def test_each_arm_has_one_turn_in_each_run_and_the_first_changes(runs: int) -> None:
    """Runs of what is compared are interleaved."""
    orders = list(turns("abcd", runs))
    assert len(orders) == runs
    assert all(sorted(order) == list("abcd") for order in orders)
    assert len({order[0] for order in orders}) == min(runs, 4)


@pytest.mark.parametrize("arm", KEDA_ARMS, ids=lambda arm: arm.name)
def test_a_scaled_object_counts_the_jobs_of_its_own_queue_and_has_the_settings_of_its_arm(arm: manifests.Arm) -> None:
    """Defaults are left to KEDA."""
    made = manifests.scaled_object("emails", arm, replicas=100, per_replica=10)
    spec = made["spec"]
    assert spec["scaleTargetRef"] == {"name": "emails"}
    assert {key: spec[key] for key in arm.spec} == dict(arm.spec)
    assert spec.get("pollingInterval") == arm.spec.get("pollingInterval")
    (trigger,) = spec["triggers"]
    assert "name = 'emails'" in trigger["metadata"]["query"]
    assert trigger["metadata"]["targetQueryValue"] == "10"


@pytest.mark.parametrize("arm", PENSTOCK_ARMS, ids=lambda arm: arm.name)
def test_a_job_queue_of_the_benchmark_is_valid_and_has_as_many_jobs_for_each_replica(arm: manifests.Arm) -> None:
    """Five slots with two jobs each are the ten jobs of KEDA's target."""
    made = manifests.job_queue("emails", arm, replicas=100, per_replica=10, concurrency=5, runs=True)
    policy = parse_policy(made)
    assert policy.scaling.target.jobs_per_slot * policy.worker.concurrency == 10
    assert policy.scaling.max_replicas == 100
    assert made["spec"]["worker"]["template"]["metadata"]["labels"][manifests.RUNS] == "yes"


def test_the_pods_of_kedas_deployment_are_those_of_the_operator_with_another_queue_grace_and_concurrency() -> None:
    """And without the operator's labels, so that it leaves them alone."""
    made = manifests.deployment("emails", TEMPLATE, model="model", runs=False, grace_seconds=30, concurrency=5)
    template = made["spec"]["template"]
    (worker,) = template["spec"]["containers"]
    assert made["spec"]["replicas"] == 0
    assert template["metadata"]["labels"] == made["spec"]["selector"]["matchLabels"] == {LABEL: "emails"}
    assert template["spec"]["terminationGracePeriodSeconds"] == 30
    assert worker["command"] == ["penstock", "worker", "a:app", "--queue", "emails"]
    assert [one.get("value") for one in worker["env"]] == ["30", "5", None]
    assert TEMPLATE["spec"]["containers"][0]["env"][0]["value"] == "600"


def test_kedas_own_objects_lack_its_deployments_and_trust_the_authority(tmp_path: Path) -> None:
    """KEDA runs as processes: its Service becomes a name of this machine."""
    documents: dict[str, list[Any]] = {
        "crd/bases/one.yaml": [{"kind": "CustomResourceDefinition", "metadata": {"name": "a"}}],
        "rbac/role.yaml": [{"kind": "Role", "metadata": {"name": "r", "namespace": "keda"}}, None],
        "metrics-server/all.yaml": [
            {"kind": "Deployment", "metadata": {"name": "d"}},
            {"kind": "Service", "metadata": {"name": "s"}},
            {"kind": "APIService", "metadata": {"name": "m"}, "spec": {"service": {"name": "keda"}, "group": "g"}},
        ],
    }
    for name, ones in documents.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump_all(ones))
    made = list(manifests.keda_objects(tmp_path, authority=b"ca", port=6443))
    assert [one["kind"] for _, one in made] == ["CustomResourceDefinition", "Role", "APIService", "Service"]
    assert made[1][0].endswith("/namespaces/keda/roles")
    spec = made[2][1]["spec"]
    assert base64.b64decode(spec["caBundle"]) == b"ca"
    assert spec["service"] == {"name": "keda", "port": 6443}
    assert made[3][1]["spec"]["externalName"] == "localhost"


def test_the_picture_has_a_bar_for_each_arm_and_pod() -> None:
    """And is well-formed."""
    figures = {
        f"{arm.name}_{key}": {"median": 1.0 + place} for place, arm in enumerate(ARMS) for key in GROUPS.values()
    }
    root = ET.fromstring(picture(figures))
    bars = [one for one in root.iter("{http://www.w3.org/2000/svg}rect") if float(one.get("width", "0")) > 20]
    assert len([one for one in bars if one.get("fill") != "white"]) == len(ARMS) * len(GROUPS)


def test_the_version_is_that_of_the_module() -> None:
    """It is printed with the figures."""
    assert [part.isdigit() for part in version().split(".")] == [True, True, True]
