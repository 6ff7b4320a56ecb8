"""A list takes its time: what comes and goes meanwhile is newer than it."""

from __future__ import annotations

from penstock_operator.cache import Cache
from tests.unit.operator_parts.objects import jobqueue, pod_object


def cached() -> tuple[Cache, list[str]]:
    """A cache, and the names that it was told of."""
    told: list[str] = []
    return Cache(lambda _, name: told.append(name)), told


def test_what_came_while_a_list_was_under_way_stays():
    """A new JobQueue would else be unknown until the next list, a minute later."""
    cache, _ = cached()
    cache.pods.observe(pod_object("old"))
    cache.pods.listing()
    cache.pods.observe(pod_object("new", version="9"))
    cache.pods.replace([pod_object("old")])
    assert set(cache.pods.views) == {"uid-old", "uid-new"}
    cache.pods.listing()
    cache.pods.replace([pod_object("old")])
    assert set(cache.pods.views) == {"uid-old"}


def test_what_went_while_a_list_was_under_way_does_not_come_back():
    """Its ghost would be looked after until the next list."""
    cache, told = cached()
    cache.pods.observe(pod_object("a"))
    cache.pods.listing()
    cache.pods.observe(pod_object("a", version="9"), gone=True)
    told.clear()
    cache.pods.replace([pod_object("a")])
    assert not cache.pods.views
    assert not told


def test_what_changed_while_a_list_was_under_way_is_as_the_event_says():
    """A list of a moment ago is older than an event of now."""
    cache, _ = cached()
    cache.pods.observe(pod_object("a", version="1", ready=False))
    cache.pods.listing()
    cache.pods.observe(pod_object("a", version="9"))
    cache.pods.replace([pod_object("a", version="1", ready=False)])
    assert cache.pods.views["uid-a"].ready


def test_pods_and_deployments_are_found_by_their_jobqueue_also_when_a_label_is_edited():
    """By key, for there may be thousands."""
    cache, _ = cached()
    queue, other = jobqueue(), jobqueue(metadata={"name": "letters"})
    cache.pods.observe(pod_object("a", version="1"))
    assert [pod.name for pod in cache.pods_of(queue)] == ["a"]
    moved = pod_object(
        "a", version="2", metadata={"labels": {"penstock.dev/jobqueue": "letters"}, "resourceVersion": "2"}
    )
    cache.pods.observe(moved)
    assert not cache.pods_of(queue)
    assert [pod.name for pod in cache.pods_of(other)] == ["a"]
    cache.pods.observe(moved, gone=True)
    assert not cache.pods_of(other)
    assert cache.deployment_of(queue) is None
