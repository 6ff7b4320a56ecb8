"""What is applied for a JobQueue."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.settings import Settings
from penstock_operator.jobqueue.template import manifests
from tests.unit.jobqueue.verdicts import WORKER, pod
from tests.unit.operator_parts.objects import jobqueue


def worker_of(queue: Any) -> dict[str, Any]:
    """The container named worker of its Deployment."""
    containers = manifests.deployment(queue)["spec"]["template"]["spec"]["containers"]
    return dict(next(one for one in containers if one["name"] == "worker"))


def env_of(queue: Any) -> dict[str, Any]:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in worker_of(queue)["env"]}


def test_the_deployment_has_no_replicas_of_its_own():
    """That number has a field manager and a path of its own."""
    assert "replicas" not in manifests.deployment(jobqueue())["spec"]


def test_children_belong_to_the_jobqueue_and_block_nothing():
    """Owned, so that deletion needs no operator."""
    for child in (manifests.deployment(jobqueue()), manifests.disruption_budget(jobqueue())):
        (owner,) = child["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == ("JobQueue", "u-1", True)
        assert child["metadata"]["name"] == "emails-worker"


def test_the_urls_come_only_by_reference_to_the_secret():
    """No value of a Secret is in a manifest."""
    env = env_of(jobqueue(databaseRef={"secretRef": {"name": "s", "key": "url"}, "directKey": "direct"}))
    assert env["PENSTOCK_DATABASE_URL"] == {"secretKeyRef": {"name": "s", "key": "url"}}
    assert env["PENSTOCK_DIRECT_URL"] == {"secretKeyRef": {"name": "s", "key": "direct"}}
    assert "PENSTOCK_DIRECT_URL" not in env_of(jobqueue())


@given(
    concurrency=st.integers(1, 500),
    extra=st.one_of(st.none(), st.integers(0, 500)),
    grace=st.integers(1, 10_000),
    strategy=st.sampled_from(["Exponential", "Linear", "Constant"]),
    executor=st.sampled_from(["Async", "Thread", "Process"]),
)
def test_what_the_pod_receives_reads_back_as_what_the_jobqueue_says(concurrency, extra, grace, strategy, executor):
    """Through the environment and back, for any manifest."""
    queue = jobqueue(
        worker__concurrency=concurrency,
        worker__maxDemand=None if extra is None else concurrency + extra,
        worker__executor=executor,
        worker__drainTimeoutSeconds=grace,
        retry={"maxAttempts": 7, "backoff": {"strategy": strategy}},
    )
    values = {name: value for name, value in env_of(queue).items() if isinstance(value, str)}
    settings = Settings.from_env(values, urls=False)
    assert (settings.app, settings.queue) == ("shop.jobs:app", "emails")
    assert (settings.concurrency, settings.max_demand) == (concurrency, concurrency + (extra or 0))
    assert settings.min_demand == concurrency // 2
    assert (settings.executor, settings.max_attempts) == (executor.lower(), 7)
    assert (settings.backoff_strategy, settings.drain_timeout_seconds) == (strategy.lower(), grace)


def test_a_variable_that_follows_from_the_resource_is_ours_and_every_other_is_the_templates():
    """A log level is theirs, a concurrency is not."""
    env = [
        {"name": "PENSTOCK_CONCURRENCY", "value": "99"},
        {"name": "PENSTOCK_LOG_LEVEL", "value": "debug"},
        {"name": "SHOP_SMTP", "value": "mail:25"},
    ]
    found = env_of(jobqueue(worker__template=pod(WORKER | {"env": env})))
    assert found["PENSTOCK_CONCURRENCY"] == "5"
    assert (found["PENSTOCK_LOG_LEVEL"], found["SHOP_SMTP"]) == ("debug", "mail:25")
    names = [one["name"] for one in worker_of(jobqueue(worker__template=pod(WORKER | {"env": env})))["env"]]
    assert len(names) == len(set(names))


def test_a_silent_template_is_completed_to_pass_pod_security_restricted():
    """For every container, and for init containers."""
    sidecar = {"name": "sidecar", "image": "s:1"}
    template = pod(WORKER, sidecar, initContainers=[{"name": "first", "image": "f:1"}])
    spec = manifests.pod_template(jobqueue(worker__template=template))["spec"]
    assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    for container in (*spec["containers"], *spec["initContainers"]):
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert spec["automountServiceAccountToken"] is False


def test_what_the_template_says_itself_stays():
    """Command, probes, port, security context, grace."""
    container = WORKER | {
        "command": ["mine"],
        "ports": [{"name": "http", "containerPort": 80}],
        "readinessProbe": {"exec": {"command": ["true"]}},
        "securityContext": {"runAsUser": 7},
    }
    queue = jobqueue(worker__template=pod(container, terminationGracePeriodSeconds=7200))
    spec, worker = manifests.pod_template(queue)["spec"], worker_of(queue)
    assert worker["command"] == ["mine"]
    assert worker["ports"][0] == {"name": "http", "containerPort": 80}
    assert worker["readinessProbe"] == {"exec": {"command": ["true"]}}
    assert worker["securityContext"]["runAsUser"] == 7
    assert spec["terminationGracePeriodSeconds"] == 7200
    assert env_of(queue)["PENSTOCK_DRAIN_TIMEOUT_SECONDS"] == "7200"


@pytest.mark.parametrize("template", [pod(WORKER), {"metadata": {"labels": {"team": "a"}}, **pod(WORKER)}])
def test_the_users_template_is_not_changed_and_its_labels_are_kept_under_ours(template):
    """Built again each time; ours win."""
    queue = jobqueue(worker__template=template)
    before = repr(queue.template)
    made = manifests.pod_template(queue)
    assert repr(queue.template) == before
    assert manifests.labels(queue).items() <= made["metadata"]["labels"].items()
    assert made["metadata"]["labels"].get("team") == template.get("metadata", {}).get("labels", {}).get("team")


def test_the_circuit_breaker_and_the_deadline_reach_the_pod():
    """Both are the JobQueue's to say; a template's own variables of that name do not count."""
    env = env_of(jobqueue(circuitBreaker={"failurePercent": 40, "openSeconds": 9}, jobDeadlineSeconds=77))
    assert env["PENSTOCK_CIRCUIT_FAILURE_PERCENT"] == "40"
    assert float(env["PENSTOCK_CIRCUIT_OPEN_SECONDS"]) == 9
    assert float(env["PENSTOCK_JOB_DEADLINE_SECONDS"]) == 77
    assert env["PENSTOCK_CIRCUIT_MINIMUM_CALLS"] == "20"
    given_ = [{"name": "PENSTOCK_CIRCUIT_FAILURE_PERCENT", "value": "1"}]
    env = env_of(jobqueue(worker__template=pod({"name": "worker", "image": "a", "env": given_})))
    assert env["PENSTOCK_CIRCUIT_FAILURE_PERCENT"] == "0"


def test_a_podmonitor_scrapes_the_workers_and_names_the_jobqueue():
    """Labels of the cluster's Prometheus and our own, which win; owned like the other children."""
    made = manifests.pod_monitor(jobqueue(), more={"release": "prometheus", "penstock.dev/jobqueue": "theirs"})
    assert made["metadata"]["labels"] == {"release": "prometheus", **manifests.labels(jobqueue())}
    assert made["metadata"]["ownerReferences"][0]["uid"] == "u-1"
    assert made["spec"]["selector"]["matchLabels"] == manifests.labels(jobqueue())
    (endpoint,) = made["spec"]["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["relabelings"][0]["targetLabel"]) == ("penstock", "jobqueue")
    assert any(port["name"] == endpoint["port"] for port in worker_of(jobqueue())["ports"])
