"""Failures end in a condition with a reason and a message, and never affect another queue."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from tests.kube.jobqueue.conftest import QUICK, Gate, JobQueues, Start, counts, enqueue, started
from tests.support.api_client import ApiClient
from tests.support.pods import ProcessPods
from tests.support.postgres_proxy import Proxy
from tests.support.waiting import eventually


def becomes(jobqueues: JobQueues, condition: str, status: str, reason: str, name: str = "emails") -> str:
    """Wait for a condition and return its sentence, as it was in the same moment."""

    def reported() -> tuple[str] | None:
        found = jobqueues.get(name).get("status", {}).get("conditions", ())
        mine = [one for one in found if (one["type"], one["status"], one["reason"]) == (condition, status, reason)]
        return (str(mine[0]["message"]),) if mine else None

    (sentence,) = eventually(reported, f"{condition} is {status}/{reason}") or ("",)
    return sentence


@pytest.fixture
def neighbor(jobqueues: JobQueues, operator: Start, pg_url: str) -> Callable[..., None]:
    """`neighbor(**changes)` makes the JobQueue `bad` next to a good one, and finally checks that the good one works."""

    def make(**changes: Any) -> None:
        jobqueues.create("bad", **(QUICK | {"worker__app": "a.b:c"} | changes))
        started(jobqueues, operator, pg_url)

    return make


def is_well(jobqueues: JobQueues) -> None:
    """The good one next to it is ready and reacts."""
    becomes(jobqueues, "Ready", "True", "Ready")
    assert jobqueues.deployment() is not None


def test_a_missing_secret_is_named_and_found_once_it_is_there(jobqueues: JobQueues, neighbor, pg_url: str):
    """Reason SecretUnreadable; the Deployment is there at zero; the Secret's coming heals it."""
    neighbor(databaseRef={"secretRef": {"name": "absent"}})
    sentence = becomes(jobqueues, "DatabaseReachable", "False", "SecretUnreadable", "bad")
    assert "Secret absent, key 'url'" in sentence
    becomes(jobqueues, "Ready", "False", "DatabaseUnreachable", "bad")
    made = eventually(lambda: jobqueues.deployment("bad"), "its Deployment is there")
    assert made["spec"]["replicas"] == 0
    is_well(jobqueues)
    jobqueues.secret(pg_url, "absent")
    becomes(jobqueues, "Ready", "True", "Ready", "bad")


def test_a_missing_key_of_a_secret_is_named(jobqueues: JobQueues, neighbor):
    """The key, not the value."""
    neighbor(databaseRef={"secretRef": {"name": "shop-postgres", "key": "dsn"}})
    sentence = becomes(jobqueues, "DatabaseReachable", "False", "SecretUnreadable", "bad")
    assert "has no key 'dsn'" in sentence
    is_well(jobqueues)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda parts: "not a url at all", "InvalidURL"),
        (lambda parts: urlunsplit(parts._replace(netloc="nobody:swordfish@127.0.0.1:1")), "Unreachable"),
        (lambda parts: urlunsplit(parts._replace(netloc=parts.netloc.replace(":", ":swordfish", 1))), "AuthFailed"),
        (lambda parts: urlunsplit(parts._replace(path="/postgres")), "SchemaMissing"),
    ],
    ids=["not a URL", "nobody listens", "a wrong password", "no schema"],
)
def test_a_url_that_does_not_work_has_a_reason_and_no_password_in_it(
    jobqueues: JobQueues, neighbor, pg_url: str, change, reason, operator: Start
):
    """Neither in the status nor in an event."""
    url = change(urlsplit(pg_url))
    jobqueues.secret(url, "other")
    neighbor(databaseRef={"secretRef": {"name": "other"}})
    becomes(jobqueues, "DatabaseReachable", "False", reason, "bad")
    is_well(jobqueues)
    reported = f"{jobqueues.get('bad')['status']}{[event['note'] for event in jobqueues.events()]}"
    assert "swordfish" not in reported
    assert str(urlsplit(pg_url).password) not in reported


def test_a_forbidden_call_is_a_condition_and_ends_with_the_right(
    jobqueues: JobQueues, operator: Start, pg_url: str, api: ApiClient, database: psycopg.Connection[Any]
):
    """Without the verb on /scale the queue says so; with it back, it scales."""
    started(jobqueues, operator, pg_url)
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{jobqueues.namespace}/roles/penstock"
    role = api.request("GET", path)
    rules = role["rules"]
    role["rules"] = [one for one in rules if "deployments/scale" not in one["resources"]]
    assert len(role["rules"]) < len(rules)
    api.request("PUT", path, role)
    eventually(lambda: not may_scale(jobqueues), "the right is gone")
    enqueue(database, 1, 0.0)
    sentence = becomes(jobqueues, "WorkersAvailable", "False", "Forbidden")
    assert "deployments/emails-worker/scale" in sentence
    assert "cannot patch resource" in sentence
    role = api.request("GET", path)
    api.request("PUT", path, role | {"rules": rules})
    eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 1, "scaled once allowed")


def may_scale(jobqueues: JobQueues) -> bool:
    """Whether the operator may change replicas, as the API server's own judge has it."""
    asked = {"verb": "patch", "group": "apps", "resource": "deployments", "subresource": "scale"}
    account = f"system:serviceaccount:{jobqueues.namespace}:penstock"
    spec = {"user": account, "resourceAttributes": {**asked, "namespace": jobqueues.namespace}}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    answer = jobqueues.api.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])


def test_a_template_that_the_api_server_refuses_is_reported_in_its_words(jobqueues: JobQueues, neighbor):
    """The part that our schema passes on is checked where it is applied."""
    container = {"name": "worker", "image": "shop:1", "volumeMounts": [{"name": "nowhere", "mountPath": "/x"}]}
    neighbor(worker__template={"spec": {"containers": [container]}})
    sentence = becomes(jobqueues, "WorkersAvailable", "False", "TemplateRejected", "bad")
    assert "nowhere" in sentence
    becomes(jobqueues, "Ready", "False", "WorkersUnavailable", "bad")
    is_well(jobqueues)


def test_a_deployment_of_somebody_else_is_left_alone(jobqueues: JobQueues, operator: Start, pg_url: str):
    """The name is taken; nothing of theirs is touched."""
    labels = {"app": "theirs"}
    spec = {
        "replicas": 0,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    }
    path = f"/apis/apps/v1/namespaces/{jobqueues.namespace}/deployments"
    theirs = jobqueues.api.request("POST", path, {"metadata": {"name": "emails-worker"}, "spec": spec})
    started(jobqueues, operator, pg_url)
    sentence = becomes(jobqueues, "WorkersAvailable", "False", "NameTaken")
    assert "does not belong to JobQueue emails" in sentence
    assert jobqueues.deployment()["spec"] == theirs["spec"]


@pytest.mark.parametrize(
    ("container", "reason", "words"),
    [
        ({"image": "nowhere:1"}, "ImagePull", "container worker"),
        ({"command": ["python", "-c", "raise SystemExit(3)"]}, "CrashLoop", "exit code 3"),
    ],
)
def test_workers_that_cannot_run_are_reported_and_can_be_removed(
    jobqueues: JobQueues, operator: Start, pods: ProcessPods, pg_url: str, container, reason, words
):
    """The reason of the pod, not only that it is not ready; and zero is still reached."""
    template = {"spec": {"containers": [{"name": "worker", "image": "shop:1", **container}]}}
    started(jobqueues, operator, pg_url, worker__template=template, scaling__mode="Fixed", replicas=1)
    sentence = becomes(jobqueues, "WorkersAvailable", "False", reason)
    assert words in sentence
    jobqueues.patch({"spec": {"replicas": 0}}, subresource="/scale")
    eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 0, "a stuck pod may go")


def test_of_two_jobqueues_on_one_queue_the_younger_is_refused_until_the_elder_goes(
    jobqueues: JobQueues, operator: Start, pg_url: str
):
    """The elder is unharmed; the younger has no Deployment, and takes over when the elder is deleted."""
    started(jobqueues, operator, pg_url)
    eventually(jobqueues.deployment, "the elder's Deployment")
    elder = jobqueues.get()["metadata"]["creationTimestamp"]

    def younger() -> bool:
        made = jobqueues.create("letters", **QUICK, queueName="emails")
        if made["metadata"]["creationTimestamp"] != elder:
            return True
        jobqueues.delete("letters")
        return False

    eventually(younger, "a JobQueue made in a later second: the API's times have no fractions")
    becomes(jobqueues, "Ready", "False", "DuplicateQueue", "letters")
    assert f"{jobqueues.namespace}/emails" in jobqueues.message("Ready", "letters")
    assert jobqueues.deployment("letters") is None
    is_well(jobqueues)
    jobqueues.delete()
    becomes(jobqueues, "Ready", "True", "Ready", "letters")


def test_a_database_that_is_away_changes_no_replica_count(
    jobqueues: JobQueues, operator: Start, pods: ProcessPods, pg_url: str, database: psycopg.Connection[Any], gate: Gate
):
    """An outage of the operator's way to it, longer than every window: nothing moves; back again, it ends at zero."""
    with Proxy(pg_url) as proxy:
        jobqueues.secret(proxy.url, "operators")
        reference = {"secretRef": {"name": "shop-postgres"}, "operatorSecretRef": {"name": "operators"}}
        started(jobqueues, operator, pg_url, databaseRef=reference)
        gate.enqueue(database, 8)
        eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 2, "two replicas")
        proxy.freeze()
        proxy.cut()
        becomes(jobqueues, "ScalingActive", "False", "SignalLost")
        becomes(jobqueues, "DatabaseReachable", "False", "Unreachable")
        gate.open()
        eventually(lambda: counts(database) == (0, 8, 0), "the workers' own way is whole")
        deadline = time.monotonic() + 5
        eventually(lambda: time.monotonic() > deadline, "longer than window and cooldown together")
        assert jobqueues.deployment()["spec"]["replicas"] == 2
        proxy.thaw()
        eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 0, "and then zero")
    reported = {"SignalLost", "SignalRestored"}
    eventually(lambda: reported <= {event["reason"] for event in jobqueues.events()}, "the events report both")
