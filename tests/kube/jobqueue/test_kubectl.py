"""What kubectl shows and waits for: by kubectl itself where there is one, and always by the answers that it reads."""

from __future__ import annotations

import json
import ssl
import urllib.request
from typing import Any

from tests.kube.jobqueue.conftest import GROUP, JobQueues, Start, started
from tests.kube.jobqueue.test_definition import kubectl
from tests.support.controlplane import ControlPlane

USUAL = ["Name", "READY", "DEPTH", "INFLIGHT", "OLDEST", "DESIRED", "REPLICAS", "WHY", "AGE"]
WIDE = [
    "MODE",
    "MIN",
    "MAX",
    "BUSY",
    "DRAINING",
    "P95WAIT",
    "LATENCY",
    "DB",
    "STOP",
    "LASTSCALE",
    "NEXT",
    "OBSERVED",
    "EXPLANATION",
]


def asked(plane: ControlPlane, path: str, accept: str = "application/json") -> Any:
    """An answer in the form that kubectl asks for."""
    headers = {"Authorization": f"Bearer {plane.admin_token}", "Accept": accept}
    context = ssl.create_default_context(cafile=str(plane.ca_file))
    with urllib.request.urlopen(urllib.request.Request(plane.url + path, None, headers), context=context) as answer:
        return json.loads(answer.read())


def test_the_table_has_the_usual_columns_and_the_others_when_it_is_wide(
    jobqueues: JobQueues, control_plane: ControlPlane
):
    """The server makes the table; kubectl only prints it."""
    jobqueues.create()
    status = {
        "desiredReplicas": 3,
        "replicas": 2,
        "decision": {"desired": 3, "bound": "Latency", "explanation": "because"},
        "queue": {"ready": 7, "inFlight": 5, "oldestReadySeconds": 4},
        "throughput": {"p95WaitMilliseconds": 120},
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Ready",
                "message": "m",
                "observedGeneration": 1,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            },
        ],
    }
    jobqueues.patch({"status": status}, subresource="/status")
    table = asked(control_plane, jobqueues.collection, "application/json;as=Table;v=v1;g=meta.k8s.io")
    columns = table["columnDefinitions"]
    assert [one["name"] for one in columns if not one["priority"]] == USUAL
    assert [one["name"] for one in columns if one["priority"]] == WIDE
    assert all(one["description"] for one in columns)
    (row,) = table["rows"]
    cells = dict(zip([one["name"] for one in columns], row["cells"], strict=True))
    shown = [cells[name] for name in ("Name", "READY", "DEPTH", "INFLIGHT", "OLDEST", "DESIRED", "REPLICAS", "WHY")]
    assert shown == ["emails", "True", 7, 5, 4, 3, 2, "Latency"]
    assert (cells["P95WAIT"], cells["MODE"], cells["EXPLANATION"]) == (120, "Auto", "because")


def test_every_field_can_be_explained(jobqueues: JobQueues, control_plane: ControlPlane):
    """The descriptions that `kubectl explain` prints are served, down to the last field."""
    served = asked(control_plane, f"/openapi/v3{GROUP}")["components"]["schemas"]["dev.penstock.v1alpha1.JobQueue"]
    target = served["properties"]["spec"]["properties"]["scaling"]["properties"]["target"]["properties"]
    assert "Maximum time that a ready job should wait" in target["queueLatencySeconds"]["description"]
    jobqueues.create()
    output = kubectl(control_plane, jobqueues.namespace, "explain", "jq.spec.scaling.target.queueLatencySeconds")
    assert "Maximum time that a ready job should wait" in output
    assert "FIELDS:" in kubectl(control_plane, jobqueues.namespace, "explain", "jobqueue.status.throughput")


def test_kubectl_waits_for_ready_and_prints_the_wide_table(
    jobqueues: JobQueues, operator: Start, pg_url: str, control_plane: ControlPlane
):
    """After a change of the spec too: the wait is for the generation that was observed."""
    started(jobqueues, operator, pg_url)
    jobqueues.patch({"spec": {"worker": {"concurrency": 7}}})
    output = kubectl(control_plane, jobqueues.namespace, "wait", "--for=condition=Ready", "jq/emails", "--timeout=150s")
    assert "condition met" in output
    assert jobqueues.get()["status"]["observedGeneration"] == jobqueues.get()["metadata"]["generation"]
    first, second = kubectl(control_plane, jobqueues.namespace, "get", "penstock", "-o", "wide").splitlines()
    assert first.split()[-len(WIDE) :] == WIDE
    assert second.split()[:2] == ["emails", "True"]
