"""Real pod templates on the real API server: what it takes without us, it takes with what we add."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from penstock_operator.jobqueue.template.pod_template import labels, pod_template
from penstock_operator.jobqueue.template.template_schema import InvalidTemplate
from tests.kube.jobqueue.conftest import JobQueues, Start, started
from tests.kube.jobqueue.test_failures import becomes
from tests.support.api_client import ApiClient, ApiError
from tests.support.pods import ProcessPods
from tests.support.waiting import eventually
from tests.unit.jobqueue.verdicts import WORKER, pod
from tests.unit.operator_parts.objects import jobqueue
from tests.unit.operator_parts.templates import broken_templates, likely_templates

BOUNDED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def refusal(api: ApiClient, namespace: str, template: Any) -> str:
    """Why the API server would not apply a Deployment with that template; empty if it would."""
    name = "penstock-dry-run"
    spec = {"replicas": 0, "selector": {"matchLabels": labels(jobqueue())}, "template": template}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}?fieldManager=dry&force=true&dryRun=All"
    try:
        api.request("PATCH", path, body, content_type="application/apply-patch+yaml")
    except ApiError as error:
        return str(error)
    return ""


@given(template=likely_templates)
@BOUNDED
def test_what_the_api_server_accepts_it_accepts_completed(api: ApiClient, namespace: str, template):
    """Nothing that we add contradicts what is there, by the judgement of the API server itself."""
    completed = pod_template(replace(jobqueue(), template=template))
    bare = {"metadata": {"labels": labels(jobqueue())}, "spec": without_nulls(template["spec"])}
    if refusal(api, namespace, bare) == "":
        assert refusal(api, namespace, completed) == ""


@given(template=broken_templates)
@BOUNDED
def test_the_api_server_answers_every_template_that_we_pass_on(api: ApiClient, namespace: str, template):
    """With yes or with a reason, which the condition repeats; most wrong types do not get so far."""
    try:
        completed = pod_template(replace(jobqueue(), template=template))
    except InvalidTemplate:
        return
    refusal(api, namespace, completed)


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_nulls(one) for name, one in value.items() if one is not None}
    return [without_nulls(one) for one in value] if isinstance(value, list) else value


def test_templates_as_people_write_them_end_in_a_deployment_or_in_a_sentence(
    jobqueues: JobQueues, operator: Start, pg_url: str
):
    """Empty fields, root, a port of the chart's usual name; and what cannot be is said with its path."""
    chown = {"name": "chown", "image": "c:1", "securityContext": {"runAsUser": 0}}
    good: dict[str, dict[str, Any]] = {
        "empty": pod(WORKER | {"resources": None, "env": None}, securityContext=None, volumes=None, tolerations=None),
        "printed": {"metadata": {"creationTimestamp": None, "labels": None, "name": "x"}, **pod(WORKER)},
        "root": pod(WORKER, securityContext={"runAsUser": 0}),
        "chown": pod(WORKER, initContainers=[chown]),
        "admin": pod(WORKER | {"securityContext": {"capabilities": {"add": ["CAP_SYS_ADMIN"]}}}),
        "helm": pod(WORKER | {"ports": [{"name": "http", "containerPort": 80, "protocol": "TCP"}]}),
        "own-port": pod(WORKER | {"ports": [{"containerPort": 9464}]}),
        "host": pod(WORKER | {"ports": [{"containerPort": 9464, "hostPort": 9464}]}, hostNetwork=True),
        "windows": pod(WORKER, os={"name": "windows"}),
    }
    bad: dict[str, tuple[dict[str, Any], str]] = {
        # This API server allows no privileged containers, and that is what is reported: not a contradiction of ours.
        "privileged": (pod(WORKER | {"securityContext": {"privileged": True}}), "disallowed by cluster policy"),
        "ports": (pod(WORKER | {"ports": "80"}), "spec.containers[0].ports must be a list"),
        "context": (pod(WORKER, securityContext="none"), "spec.securityContext must be an object"),
        "init": (pod(WORKER, initContainers=[None]), "initContainers[0] must not be null"),
        "command": (pod(WORKER | {"command": "run"}), "command must be a list"),
    }
    for name, template in good.items():
        jobqueues.create(name, worker__template=template)
    for name, (template, _) in bad.items():
        jobqueues.create(name, worker__template=template)
    with pytest.raises(ApiError, match="value"):
        jobqueues.create("unquoted", worker__template=pod(WORKER | {"env": [{"name": "A", "value": 5}]}))
    started(jobqueues, operator, pg_url)
    for name in good:
        eventually(lambda name=name: jobqueues.deployment(name), f"the Deployment of {name}")  # type: ignore[misc]
        becomes(jobqueues, "Ready", "True", "Ready", name)
    for name, (_, words) in bad.items():
        assert words in becomes(jobqueues, "WorkersAvailable", "False", "TemplateRejected", name)


def test_a_worker_with_a_port_of_the_usual_name_and_a_variable_of_ours_becomes_ready(
    jobqueues: JobQueues, operator: Start, pods: ProcessPods, pg_url: str
):
    """The probes ask our port, and `$(PENSTOCK_POD_NAME)` is the pod's name."""
    worker = {
        "ports": [{"name": "http", "containerPort": 80}],
        "env": [{"name": "ME", "value": "I am $(PENSTOCK_POD_NAME)"}, {"name": "PENSTOCK_QUEUE", "value": "others"}],
        "command": ["sh", "-c", 'echo "$ME"; exec penstock worker "$PENSTOCK_APP" --queue "$PENSTOCK_QUEUE"'],
    }
    started(jobqueues, operator, pg_url, worker__template=pod(WORKER | worker), scaling__minReplicas=1)
    said = becomes(jobqueues, "WorkersAvailable", "True", "AllReady")
    assert "PENSTOCK_QUEUE, which follows from the JobQueue" in said
    (found,) = jobqueues.pods()
    assert f"I am {found['metadata']['name']}" in pods.log(found["metadata"]["name"])
