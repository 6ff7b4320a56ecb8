"""JobQueues that are too large for the operator's memory are neither decoded nor kept, and say so."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from penstock_operator.kube.cache import Cache
from penstock_operator.kube.list_decoder import decode_page, decoder
from penstock_operator.kube.watches import SparingResponse
from penstock_operator.resources.large_objects import MAX_BYTES, MAX_VALUES, decode_jobqueue
from penstock_operator.resources.resource import JobQueue
from tests.unit.jobqueue.examples import manifest

STATUS = {"conditions": [{"type": "Ready", "status": "True", "reason": "Ready"}]}


def found(uid: str = "u-1", *, version: str = "10", **template: Any) -> dict[str, Any]:
    """A JobQueue with those fields in the spec of its pods."""
    made = manifest()
    made["spec"]["worker"]["template"]["spec"] |= template
    made["metadata"] |= {
        "uid": uid,
        "name": f"emails-{uid}",
        "namespace": "shop",
        "generation": 3,
        "resourceVersion": version,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{"manager": "kubectl"}],
        "annotations": {"note": "x" * 1000},
    }
    return made | {"status": STATUS}


BYTES: dict[str, Any] = {"x": "x" * MAX_BYTES}
OBJECTS: dict[str, Any] = {"x": [{"a": []}] * (MAX_VALUES // 2)}
LARGE: dict[str, tuple[dict[str, Any], str]] = {
    "many bytes": (BYTES, "bytes of JSON"),
    "many values": (OBJECTS, "values"),
}


def listed(one: dict[str, Any]) -> dict[str, Any]:
    """As a list gives it."""
    page = json.dumps({"metadata": {}, "items": [one]}, separators=(",", ":")).encode()
    ((made,), _) = decode_page(page, lambda _uid, _version: False, decode=decoder("JobQueue"))
    return made


@pytest.mark.parametrize(("template", "rule"), LARGE.values(), ids=LARGE.keys())
@pytest.mark.parametrize("deliver", [listed, dict], ids=["by a list", "by a watch"])
def test_what_is_too_large_is_an_invalid_spec_of_which_nothing_is_kept(deliver: Any, template: Any, rule: str):
    """The message has the rule; names, versions and status are read."""
    queue = JobQueue.read(deliver(found(**template)))
    assert queue.policy is None
    assert queue.template == {}
    assert queue.invalid is not None
    assert queue.invalid.startswith("The spec is too large: ")
    assert rule in queue.invalid
    assert "ConfigMap" in queue.invalid
    assert (queue.uid, queue.name, queue.generation, queue.status) == ("u-1", "emails-u-1", 3, STATUS)


@pytest.mark.parametrize("deliver", [listed, dict], ids=["by a list", "by a watch"])
def test_a_large_real_template_is_read(deliver: Any):
    """A hundred containers, each with forty variables."""
    variables = [{"name": f"VARIABLE_{number}", "value": "v"} for number in range(40)]
    others = [{"name": f"other-{number}", "image": "shop:1", "env": variables[:20]} for number in range(60)]
    worker = {"name": "worker", "image": "shop:1", "env": variables}
    queue = JobQueue.read(deliver(found(containers=[worker, *others])))
    assert queue.invalid is None
    assert queue.template["spec"]["containers"] == [worker, *others]


def test_deep_nesting_is_counted_without_recursion():
    """The API server accepts 10,000 levels."""
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    assert JobQueue.read(found(x=deep)).invalid is None


def test_a_list_of_the_largest_jobqueues_takes_little_memory():
    """Each was more than thirty megabytes; what the page itself has is not counted."""
    size = 1_200_000
    item = json.dumps(found(x="PLACE"), separators=(",", ":")).replace(
        '"PLACE"', "[" + ",".join(['{"a":[]}'] * (size // 9)) + "]"
    )
    items = ",".join(item.replace('"u-1"', f'"u-{number}"') for number in range(4))
    page = f'{{"metadata":{{}},"items":[{items}]}}'.encode()
    cache = Cache(lambda _, __: None)
    cache.jobqueues.listing()
    tracemalloc.start()
    try:
        objects, _ = decode_page(page, cache.jobqueues.holds, decode=decoder("JobQueue"))
        cache.jobqueues.replace(objects)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(cache.jobqueues.views) == 4
    assert peak < 3 * len(page)


def test_a_status_that_is_not_ours_is_none():
    """Its author must not fill the memory by it either."""
    assert "status" not in decode_jobqueue(json.dumps(found() | {"status": {"x": "x" * 100_000}}).encode())


async def test_the_watchs_own_list_is_decoded_sparingly():
    """And everything else as it is."""
    page = {
        "kind": "JobQueueList",
        "apiVersion": "penstock.dev/v1alpha1",
        "metadata": {"resourceVersion": "7", "continue": "on"},
        "items": [found(**BYTES)],
    }

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(page)

    application = web.Application()
    application.router.add_get("/{any:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        async with aiohttp.ClientSession(f"http://{host}:{port}", response_class=SparingResponse) as session:
            async with session.get("/apis/penstock.dev/v1alpha1/jobqueues") as answered:
                sparing = await answered.json()
            async with session.get("/api/v1/pods") as answered:
                assert await answered.json() == page
    finally:
        await runner.cleanup()
    (item,) = sparing.pop("items")
    assert "spec" not in item
    assert sparing == {key: page[key] for key in ("kind", "apiVersion", "metadata")}
