"""JobQueues that cannot be served, next to one that is: a condition each, and no cost to the other."""

from __future__ import annotations

import json
import ssl
import time
import urllib.request
from typing import Any

from tests.kube.jobqueue.conftest import QUICK, JobQueues, Start, started
from tests.kube.jobqueue.operator_process import OperatorProcess
from tests.kube.jobqueue.test_failures import becomes
from tests.support.waiting import eventually
from tests.unit.jobqueue.examples import manifest

LEVELS = 4000
"""Four times what Python's parsers take by themselves; the API server takes 10,000."""


def container(**more: Any) -> dict[str, Any]:
    """A template whose worker has these fields more."""
    return {"spec": {"containers": [{"name": "worker", "image": "shop:1", **more}]}}


def row(jobqueues: JobQueues, name: str, accepted: str) -> str:
    """What `kubectl get` shows of it under READY."""
    url, api = jobqueues.api.url + jobqueues.path(name), jobqueues.api
    headers = {"Authorization": f"Bearer {api.token}", "Accept": accepted}
    context = ssl.create_default_context(cafile=str(api.ca_file))
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60, context=context) as answer:
        text = answer.read().decode()
    cells = text.partition('"cells":')[2].partition("]")[0]
    return str(json.loads(cells + "]")[1])


def samples(running: OperatorProcess) -> int:
    """Samples of databases so far."""
    page = running.page("/metrics")[1]
    name = "penstock_operator_sample_seconds_count"
    return round(float(next(line for line in page.splitlines() if line.startswith(name)).split()[-1]))


def test_a_jobqueue_that_cannot_be_served_has_a_condition_and_costs_its_neighbor_nothing(
    jobqueues: JobQueues, operator: Start, pg_url: str
):
    """A field that no pod has, a value of the wrong type, and a template nested beyond what Python reads by itself."""
    unknown = container()
    unknown["spec"]["nodeSelectr"] = {"disk": "fast"}
    jobqueues.create("unknown", **(QUICK | {"worker__template": unknown}))
    jobqueues.create("wrong", **(QUICK | {"worker__template": container(ports="http")}))
    nested = manifest(worker__template={"spec": {**container()["spec"], "deep": "DEEP"}})
    nested["metadata"]["name"] = "nested"
    text = json.dumps(nested).replace('"DEEP"', '{"a":' * LEVELS + "1" + "}" * LEVELS)
    jobqueues.api.read("POST", jobqueues.collection, text.encode())
    running = started(jobqueues, operator, pg_url)
    assert "nodeSelectr" in becomes(jobqueues, "WorkersAvailable", "False", "TemplateRejected", "unknown")
    assert "ports" in becomes(jobqueues, "WorkersAvailable", "False", "TemplateRejected", "wrong")
    becomes(jobqueues, "Ready", "True", "Ready")
    table = "application/json;as=Table;g=meta.k8s.io;v=v1"  # the object itself this test cannot read
    eventually(lambda: row(jobqueues, "nested", table) == "False", "its status is written")
    before, deadline = samples(running), time.monotonic() + 5
    eventually(lambda: time.monotonic() > deadline, "five seconds, in which there were ten samples and more")
    assert samples(running) - before <= 4
    assert "Traceback" not in running.text


def test_a_change_that_the_api_server_refuses_is_the_templates_fault_and_not_the_servers(
    jobqueues: JobQueues, operator: Start, pg_url: str
):
    """Server-side apply answers 500 to a field that it does not know; what runs goes on, and a good change heals."""
    started(jobqueues, operator, pg_url, scaling__minReplicas=1)
    eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 1, "one replica")
    worker = jobqueues.get()["spec"]["worker"]["template"]["spec"]
    jobqueues.patch({"spec": {"worker": {"template": {"spec": {**worker, "nodeSelectr": {"disk": "fast"}}}}}})
    sentence = becomes(jobqueues, "WorkersAvailable", "False", "TemplateRejected")
    assert "nodeSelectr" in sentence
    assert jobqueues.deployment()["spec"]["replicas"] == 1
    change = {"nodeSelectr": None, "nodeSelector": {"disk": "fast"}}
    jobqueues.patch({"spec": {"worker": {"template": {"spec": change}}}})
    eventually(
        lambda: jobqueues.deployment()["spec"]["template"]["spec"].get("nodeSelector") == {"disk": "fast"},
        "a change of the spec ends the pause",
    )
