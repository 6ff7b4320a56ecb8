"""What is known of the watches, by their requests: which are open, which are refused, which nobody asks for."""

from __future__ import annotations

import pytest

from penstock_operator.kube.watch_health import (
    ABANDONED_SECONDS,
    NEVER_SECONDS,
    RESOURCES,
    STALE_SECONDS,
    STUCK_SECONDS,
    WatchHealth,
)

SERVER = "https://10.0.0.1:443"
PATHS = {
    "jobqueues": "/apis/penstock.dev/v1alpha1/{where}jobqueues",
    "deployments": "/apis/apps/v1/{where}deployments",
    "pods": "/api/v1/{where}pods",
}


class Site:
    """Watches of some namespaces, and a clock."""

    def __init__(self, *namespaces: str) -> None:
        self.now, self.reopened = 1000.0, 0
        self.health = WatchHealth(namespaces=namespaces, reopened=self._count, clock=lambda: self.now)

    def _count(self) -> None:
        self.reopened += 1

    def url(self, resource: str, namespace: str, *, watch: bool = True) -> str:
        where = "" if namespace == "*" else f"namespaces/{namespace}/"
        query = "watch=true&timeoutSeconds=300" if watch else "limit=500"
        return f"{SERVER}{PATHS[resource].format(where=where)}?{query}"

    def answer(self, resource: str, namespace: str, status: int = 200, *, watch: bool = True) -> None:
        url = self.url(resource, namespace, watch=watch)
        self.health.asked(url)
        self.health.answered(url, status)

    def open_all(self, *namespaces: str) -> None:
        for resource in RESOURCES:
            for namespace in namespaces:
                self.answer(resource, namespace)


def test_nothing_is_ready_before_every_watch_is_open():
    """A list is not a watch; the sentence names the first that is missing."""
    site = Site("shop")
    assert site.health.ready() == "jobqueues in namespace shop are not watched: not requested yet"
    site.answer("jobqueues", "shop", watch=False)
    assert not site.health.watching("jobqueues")
    site.open_all("shop")
    assert site.health.ready() is None
    assert all(site.health.watching(resource) for resource in RESOURCES)


@pytest.mark.parametrize("resource", RESOURCES)
def test_one_watch_that_is_lost_is_seen_while_the_others_live(resource: str):
    """By its resource alone."""
    site = Site("*")
    site.open_all("*")
    site.health.failed(site.url(resource, "*"), "the API server did not answer (ClientConnectorError)")
    assert [one for one in RESOURCES if not site.health.watching(one)] == [resource]
    assert f"{resource} in all namespaces are not watched" in (site.health.ready() or "")
    site.answer(resource, "*")
    assert site.health.ready() is None


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_a_watch_that_is_refused_is_not_open(status: int):
    """By the code of the answer."""
    site = Site("shop")
    site.open_all("shop")
    site.answer("pods", "shop", status)
    assert site.health.ready() == f"pods in namespace shop are not watched: HTTP {status}"


def test_a_namespace_without_rights_is_no_reason_not_to_serve_the_others():
    """It shows in the metric; where all namespaces are forbidden, nothing is watched at all."""
    site = Site("shop", "absent")
    site.open_all("shop")
    for resource in RESOURCES:
        site.answer(resource, "absent", 403)
    assert site.health.ready() is None
    assert not site.health.watching("pods")
    site.answer("pods", "shop", 403)
    assert site.health.ready() == "pods in namespace shop are not watched: HTTP 403"


def test_a_stream_that_nobody_asks_for_again_is_not_open_for_ever():
    """The API server ends each within five minutes; one that is older was forgotten."""
    site = Site("shop")
    site.open_all("shop")
    site.now += STALE_SECONDS
    assert site.health.ready() == "jobqueues in namespace shop are not watched: the watch has gone silent"
    assert site.health.abandoned() == "jobqueues in namespace shop have no watch"


def test_a_resource_that_the_server_does_not_know_is_asked_for_by_nobody():
    """The definition is not installed: discovery ends without it; a run that starts over checks again."""
    site = Site("shop")
    site.health.asked(f"{SERVER}/apis")
    for resource in ("pods", "deployments"):
        site.answer(resource, "shop")
    assert site.health.abandoned() is None
    site.now += NEVER_SECONDS + 0.1
    assert site.health.abandoned() == "jobqueues in namespace shop have no watch"
    site.health.restarted("it was not known")
    assert site.health.abandoned() is None


def test_a_server_that_is_away_makes_discovery_wait_and_nothing_is_abandoned():
    """As long as somebody asks."""
    site = Site("shop")
    for _ in range(100):
        site.now += NEVER_SECONDS - 1
        site.health.asked(f"{SERVER}/apis")
        site.health.failed(f"{SERVER}/apis", "the API server did not answer (ClientConnectorDNSError)")
        assert site.health.abandoned() is None
    assert "discovery: the API server did not answer (ClientConnectorDNSError)" in (site.health.ready() or "")


def test_a_watch_that_is_tried_again_and_again_is_not_abandoned_and_one_that_is_not_is():
    """A task that died leaves a watch that nobody asks for."""
    site = Site("shop")
    site.open_all("shop")
    for _ in range(20):
        site.now += ABANDONED_SECONDS - 1
        site.open_all("shop")
        site.answer("pods", "shop", 503)
        assert site.health.abandoned() is None
    site.now += ABANDONED_SECONDS + 1
    assert site.health.abandoned() == "pods in namespace shop have no watch"


def test_a_watch_that_is_open_again_asks_for_a_list_once():
    """What went meanwhile is shown by the list alone."""
    site = Site("shop")
    site.open_all("shop")
    assert site.reopened == 3
    site.open_all("shop")
    assert site.reopened == 3
    site.health.restarted("they ended")
    site.health.failed(site.url("pods", "shop"), "HTTP 410")
    site.answer("pods", "shop")
    assert site.reopened == 4


def test_a_thread_that_hangs_fails_liveness():
    """Nothing else would end it."""
    site = Site("shop")
    site.health.tick()
    site.now += STUCK_SECONDS
    assert site.health.live() is None
    site.now += 1
    assert site.health.live() == "the watch thread has made no progress for 121 s"
