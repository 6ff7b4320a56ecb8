"""A list takes its time: what comes and goes meanwhile is newer than it."""

from __future__ import annotations

import json

import pytest

from penstock_operator.kube.cache import Cache
from penstock_operator.kube.list_decoder import decode_page
from tests.unit.operator_parts.objects import jobqueue, pod_object, replica_set


def cached() -> tuple[Cache, list[str]]:
    """A cache, and the names that it reported."""
    reported: list[str] = []
    return Cache(lambda _, name: reported.append(name)), reported


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
    """Its ghost would be served until the next list."""
    cache, reported = cached()
    cache.pods.observe(pod_object("a"))
    cache.pods.listing()
    cache.pods.observe(pod_object("a", version="9"), gone=True)
    reported.clear()
    cache.pods.replace([pod_object("a")])
    assert not cache.pods.views
    assert not reported


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
    labels, owners = {"penstock.dev/jobqueue": "letters"}, [replica_set("letters-worker-1")]
    moved = pod_object("a", version="2", metadata={"labels": labels, "ownerReferences": owners})
    cache.pods.observe(moved)
    assert not cache.pods_of(queue)
    assert [pod.name for pod in cache.pods_of(other)] == ["a"]
    cache.pods.observe(moved, gone=True)
    assert not cache.pods_of(other)
    assert cache.deployment_of(queue) is None


def test_of_what_is_cached_in_just_that_version_a_list_need_say_no_more():
    """The other objects are decoded whole; the page says where the next starts."""
    cache, reported = cached()
    cache.pods.observe(pod_object("same", version="4"))
    cache.pods.observe(pod_object("changed", version="4", ready=False))
    cache.pods.listing()
    reported.clear()
    objects = [pod_object("same", version="4"), pod_object("changed", version="5"), pod_object("new", version="6")]
    page = {"kind": "PodList", "metadata": {"resourceVersion": "7", "continue": "here"}, "items": objects}
    found, more = decode_page(json.dumps(page).encode(), cache.pods.holds)
    assert more == "here"
    assert found == [{"metadata": {"uid": "uid-same", "resourceVersion": "4"}}, *objects[1:]]
    cache.pods.replace(found)
    assert {view.uid: view.ready for view in cache.pods.views.values()} == dict.fromkeys(
        ("uid-same", "uid-changed", "uid-new"), True
    )
    assert len(reported) == 2


def test_an_object_that_went_after_its_page_was_decoded_does_not_come_back_as_a_shadow():
    """Nothing could be read from uid and version alone; its own event has said that it is gone, or what it is now."""
    cache, _ = cached()
    cache.pods.observe(pod_object("gone", version="4"))
    cache.pods.observe(pod_object("odd", version="x4"))
    cache.pods.listing()
    page = json.dumps({"metadata": {}, "items": [pod_object("gone", version="4"), pod_object("odd", version="x4")]})
    found, more = decode_page(page.encode(), cache.pods.holds)
    assert [len(one) for one in found] == [1, 1]
    assert not more
    cache.pods.observe(pod_object("gone", version="8"), gone=True)
    cache.pods.observe(pod_object("odd", version="x9"))
    cache.pods.replace(found)
    assert {view.resource_version for view in cache.pods.views.values()} == {"x9"}


@pytest.mark.parametrize("page", [b"", b"no json", b"[]", b'{"items": [{}], "metadata": {}}', b'{"items": null}'])
def test_what_is_no_page_of_a_list_is_an_error(page: bytes):
    """Which the cluster's client reports as an API server that does not answer."""
    with pytest.raises(ValueError, match=r"."):
        decode_page(page, lambda _uid, _version: False)


def test_a_namespace_that_could_not_be_listed_stays_as_it_was():
    """Nothing is inferred from what nobody was allowed to see."""
    cache, _ = cached()
    cache.pods.observe(pod_object("a"))
    cache.pods.observe(pod_object("b", metadata={"namespace": "other"}))
    cache.pods.listing()
    cache.pods.replace([], spare={"other"})
    assert set(cache.pods.views) == {"uid-b"}
