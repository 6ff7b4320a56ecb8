"""What is read from the cluster, what the cache makes of events and lists, and which queue is whose."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_operator.errors import SettingsError
from penstock_operator.kube.cache import Cache, newer
from penstock_operator.loops.ownership import without_duplicates
from penstock_operator.resources.resource import Deployment, Pod
from penstock_operator.settings import OperatorSettings
from tests.unit.operator_parts.objects import deployment_object, jobqueue, pod_object


def test_a_spec_that_breaks_a_rule_becomes_invalid_with_the_sentence():
    """An operator of another version than the definition may meet one."""
    found = jobqueue(scaling__minReplicas=11)
    assert found.policy is None
    assert "minReplicas must not be above maxReplicas" in (found.invalid or "")


@pytest.mark.parametrize(
    ("change", "rolling"),
    [
        ({}, False),
        ({"status": {"updatedReplicas": 1}}, True),
        ({"status": {"observedGeneration": 0}}, True),
        ({"status": {"replicas": 3}}, True),
    ],
)
def test_a_rollout_is_under_way_until_every_pod_is_of_the_latest_spec(change, rolling):
    """By the Deployment's own account."""
    assert Deployment.read(deployment_object(**change)).rolling is rolling


def waiting(reason: str, **more: Any) -> Any:
    return {"containerStatuses": [{"name": "worker", "state": {"waiting": {"reason": reason, "message": "m"}}, **more}]}


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        ({}, None),
        (waiting("ContainerCreating"), None),
        (waiting("ImagePullBackOff"), ("ImagePull", "container worker: m")),
        (waiting("CreateContainerConfigError"), ("ContainerConfig", "container worker: m")),
        (
            waiting("CrashLoopBackOff", lastState={"terminated": {"exitCode": 3}}),
            ("CrashLoop", "container worker exited: exit code 3"),
        ),
        (
            {"conditions": [{"type": "PodScheduled", "reason": "Unschedulable", "message": "no node"}]},
            ("Unschedulable", "no node"),
        ),
    ],
)
def test_what_keeps_a_pod_from_running_is_read_from_its_status(status, problem):
    """The kubelet's and the scheduler's words."""
    assert Pod.read(pod_object("a", status=status)).problem == problem


def test_a_pod_that_has_ended_is_as_good_as_gone():
    """Evicted pods keep their objects."""
    assert Pod.read(pod_object("a", status={"phase": "Failed"})).terminating


def test_an_event_older_than_what_is_cached_changes_nothing():
    """Our own write's answer may overtake the watch."""
    reported: list[tuple[str, str]] = []
    cache = Cache(lambda namespace, name: reported.append((namespace, name)))
    cache.pods.observe(pod_object("a", version="7"))
    cache.pods.observe(pod_object("a", version="6", ready=False))
    seen = [cache.pods.views["uid-a"].ready]
    cache.pods.observe(pod_object("a", version="10", ready=False))
    seen.append(cache.pods.views["uid-a"].ready)
    assert seen == [True, False]
    assert reported == [("shop", "emails")] * 2


def test_a_change_that_does_not_matter_wakes_nobody():
    """Our own status, a pod's heartbeat."""
    reported: list[str] = []
    cache = Cache(lambda _, name: reported.append(name))
    cache.pods.observe(pod_object("a", version="1"))
    cache.pods.observe(pod_object("a", version="2"))
    cache.deployments.observe(deployment_object())
    found = deployment_object()
    found["metadata"]["resourceVersion"] = "6"
    cache.deployments.observe(found)
    assert reported == ["emails", "emails"]


def test_a_list_removes_what_no_event_ever_said_was_gone():
    """After a watch gap, absence is the only sign."""
    reported: list[str] = []
    cache = Cache(lambda _, name: reported.append(name))
    for name in ("a", "b"):
        cache.pods.observe(pod_object(name))
    reported.clear()
    cache.pods.replace([pod_object("b"), pod_object("c")])
    assert set(cache.pods.views) == {"uid-b", "uid-c"}
    assert reported == ["emails", "emails"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 50), st.booleans()), max_size=30))
def test_events_in_any_order_end_at_the_newest(events):
    """As far as nothing is deleted."""
    cache = Cache(lambda *_: None)
    newest: dict[str, tuple[int, bool]] = {}
    for name, version, ready in events:
        cache.pods.observe(pod_object(name, version=str(version), ready=ready))
        if name not in newest or version > newest[name][0]:
            newest[name] = (version, ready)
    assert {view.name: view.ready for view in cache.pods.views.values()} == {
        name: ready for name, (_, ready) in newest.items()
    }


def test_versions_that_are_no_numbers_count_as_newer_if_they_differ():
    """They are opaque by contract."""
    assert newer("10", "9")
    assert not newer("9", "10")
    assert newer("x", "9")
    assert not newer("x", "x")


def test_the_elder_of_two_keeps_the_queue_whatever_their_order():
    """By creation, then by uid; one that is being deleted keeps nothing."""
    elder = jobqueue(metadata={"uid": "b", "name": "one"}, queueName="q")
    younger = jobqueue(metadata={"uid": "a", "name": "two", "creationTimestamp": "2026-01-02T00:00:00Z"}, queueName="q")
    for order in ([elder, younger], [younger, elder]):
        refusals = {queue.name: refusal for queue, refusal in without_duplicates(order)}
        assert refusals["one"] is None
        assert refusals["two"] is not None
        assert refusals["two"][0] == "DuplicateQueue"
        assert "shop/one" in refusals["two"][1]
    leaving = jobqueue(metadata={"uid": "b", "name": "one", "deletionTimestamp": "2026-01-03T00:00:00Z"}, queueName="q")
    assert {queue.name: refusal for queue, refusal in without_duplicates([leaving, younger])}["two"] is None


def test_settings_come_from_the_environment_with_defaults():
    """What the chart writes."""
    given_ = OperatorSettings.from_env({"PENSTOCK_NAMESPACE": "ops", "PENSTOCK_POD_NAME": "p-0"})
    assert (given_.watch_namespaces, given_.everywhere) == (("ops",), False)
    assert OperatorSettings.from_env({"PENSTOCK_WATCH_NAMESPACES": "a, b,a"}).watch_namespaces == ("a", "b")
    assert OperatorSettings.from_env({"PENSTOCK_WATCH_NAMESPACES": "*"}).everywhere


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PENSTOCK_WATCH_NAMESPACES", "A"),
        ("PENSTOCK_WATCH_NAMESPACES", ","),
        ("PENSTOCK_NAMESPACE", "a b"),
        ("PENSTOCK_HTTP_PORT", "70000"),
        ("PENSTOCK_LOG_LEVEL", "loud"),
        ("PENSTOCK_LOG_FORMAT", "xml"),
    ],
)
def test_a_setting_that_breaks_its_rule_is_named(variable, value):
    """Variable, rule and value."""
    with pytest.raises(SettingsError, match=f"{variable} must .*got"):
        OperatorSettings.from_env({variable: value})
