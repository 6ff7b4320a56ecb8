"""Any pod template ends in a manifest or in one refusal, and what is odd about it is said."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from penstock_operator.jobqueue.template.pod_template import pod_template
from penstock_operator.jobqueue.template.template_schema import InvalidTemplate
from penstock_operator.jobqueue.template.template_warnings import template_warnings
from penstock_operator.resources.conditions import ObservedState, conditions_of
from penstock_operator.resources.resource import JobQueue
from tests.unit.jobqueue.verdicts import WORKER, pod
from tests.unit.operator_parts.objects import jobqueue
from tests.unit.operator_parts.templates import broken_templates, likely_templates


def warned(*containers: dict[str, Any], **spec: Any) -> str:
    """What the condition says about the template."""
    queue = jobqueue(worker__template=pod(*containers, **spec))
    found = template_warnings(queue.template, pod_template(queue))
    condition = conditions_of(ObservedState(policy=queue.policy, warnings=found))["WorkersAvailable"]
    assert condition.message.endswith(" ".join(found))
    return " ".join(found)


def test_a_variable_that_is_not_used_is_named():
    """Of several, each; one that says what the JobQueue says, none."""
    own = [
        {"name": "PENSTOCK_CONCURRENCY", "value": "9"},
        {"name": "PENSTOCK_QUEUE", "value": "emails"},
        {"name": "PENSTOCK_POD_NAME", "value": "me"},
        {"name": "PENSTOCK_LOG_LEVEL", "value": "debug"},
    ]
    said = "Not used from the template: PENSTOCK_CONCURRENCY, PENSTOCK_POD_NAME, which follow from the JobQueue."
    assert warned(WORKER | {"env": own}) == said
    assert "PENSTOCK_CONCURRENCY, which follows from" in warned(WORKER | {"env": own[:1]})
    assert warned(WORKER) == ""


@pytest.mark.parametrize(
    "proxy",
    [
        {"name": "proxy", "image": "gcr.io/cloud-sql-connectors/cloud-sql-proxy:2.14"},
        {"name": "pgbouncer", "image": "registry.example:5000/tools/pool@sha256:0a"},
        {"name": "linkerd-proxy", "image": "l"},
        {"name": "tunnel", "image": "cloudflare/cloudflared"},
    ],
)
def test_a_database_proxy_that_ends_before_the_drain_is_named(proxy):
    """As an ordinary container; as a native sidecar it ends after the worker."""
    assert f"Container {proxy['name']} looks like a database proxy" in warned(WORKER, proxy)
    assert warned(WORKER, initContainers=[proxy | {"restartPolicy": "Always"}]) == ""
    assert warned(WORKER, {"name": "logs", "image": "fluent/fluent-bit"}) == ""


@given(template=broken_templates)
def test_any_template_is_completed_or_refused_with_its_path(template):
    """Nulls and wrong types anywhere: a manifest or `InvalidTemplate`, never another error, and reading never fails."""
    queue, found, refusal = replace(jobqueue(), template=template), None, ""
    try:
        found = pod_template(queue)
    except InvalidTemplate as error:
        refusal = str(error)
    assert found is not None or refusal.startswith("spec.worker.template")
    if found is not None:
        assert json.loads(json.dumps(found)) == found
        assert None not in found["spec"].values()
        template_warnings(queue.template, found)
    JobQueue.read(
        {
            "metadata": {"name": "emails", "namespace": "shop", "uid": "u", "resourceVersion": "1"},
            "spec": {"databaseRef": {"secretRef": {"name": "s"}}, "worker": {"app": "a:b", "template": template}},
        }
    )


@given(template=likely_templates)
def test_what_is_added_never_overwrites(template):
    """Every value of the template is in the completed one, at its place; variables and ports may have moved."""
    spec = pod_template(replace(jobqueue(), template=template))["spec"]
    for mine, theirs in zip(spec["containers"], template["spec"]["containers"], strict=True):
        for name in ("image", "lifecycle", "livenessProbe"):
            assert theirs.get(name) is None or mine[name] == theirs[name]
        context = {k: v for k, v in (theirs.get("securityContext") or {}).items() if v and k != "capabilities"}
        assert context.items() <= mine.get("securityContext", {}).items()
        ports = theirs.get("ports") or []
        assert [one.items() >= old.items() for one, old in zip(mine.get("ports", []), ports, strict=False)] == [
            True for _ in ports
        ]
