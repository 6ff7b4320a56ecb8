"""Watches that end, are refused or cannot start: they start again, and meanwhile the operator says that it is unready.

Lists are five minutes apart here, so that what is seen was seen by a watch.
"""

from __future__ import annotations

import pytest

from tests.kube.jobqueue.conftest import QUICK, JobQueues, Start
from tests.support.api_proxy import ApiProxy
from tests.support.waiting import eventually

SELDOM = {"PENSTOCK_RELIST_SECONDS": "300"}


def everything(method: str, path: str) -> bool:
    """Any request."""
    return bool(method and path)


def jobqueues_asked_for(method: str, path: str) -> bool:
    """A list or watch of JobQueues."""
    return method == "GET" and path.split("?", 1)[0].endswith("/jobqueues")


def definition_asked_for(method: str, path: str) -> bool:
    """Whatever needs the definition, discovery too."""
    return bool(method) and path.startswith("/apis/penstock.dev")


def watched(text: str) -> bool:
    """By the metrics."""
    found = [line for line in text.splitlines() if line.startswith("penstock_operator_watching{")]
    return len(found) == 3 and all(line.endswith(" 1.0") for line in found)


def seen_by_the_watch(jobqueues: JobQueues, url: str) -> None:
    """A JobQueue that is created now gets its Deployment long before the next list."""
    jobqueues.secret(url)
    jobqueues.create("letters", **QUICK)
    eventually(lambda: jobqueues.deployment("letters"), "the watch reports it")


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_watch_that_is_refused_starts_again_by_itself(
    jobqueues: JobQueues, api_proxy: ApiProxy, operator: Start, pg_url: str, status: int
):
    """A token that ran out, rights that come later, a definition that was deleted and made again, an old version."""
    rule = api_proxy.rule(jobqueues_asked_for, status=status, times=3)
    running = operator(**SELDOM)
    eventually(lambda: rule.used == 3, "it was refused three times")
    eventually(lambda: running.page("/readyz") == (200, "ok\n"), "it watches")
    seen_by_the_watch(jobqueues, pg_url)
    assert watched(running.page("/metrics")[1])


@pytest.mark.parametrize("status", [500, 503])
def test_an_operator_that_starts_while_the_api_server_is_away_waits_and_goes_on(
    jobqueues: JobQueues, api_proxy: ApiProxy, operator: Start, pg_url: str, status: int
):
    """It lives, says why it is not ready, and neither ends nor goes on without its watches."""
    rule = api_proxy.rule(everything, status=status)
    running = operator(**SELDOM)
    eventually(lambda: str(status) in running.page("/readyz")[1], "it says why it is not ready")
    assert running.page("/readyz")[0] == 503
    assert running.page("/healthz") == (200, "ok\n")
    assert not watched(running.page("/metrics")[1])
    eventually(lambda: rule.used > 30, "it goes on asking")
    assert running.process.poll() is None
    rule.times = 0
    eventually(lambda: running.page("/readyz") == (200, "ok\n"), "it watches")
    seen_by_the_watch(jobqueues, pg_url)


def test_an_operator_that_waits_for_the_api_server_ends_at_a_signal(api_proxy: ApiProxy, operator: Start):
    """At once and with 0, as one that is at work."""
    api_proxy.rule(everything, status=503)
    running = operator(**SELDOM)
    eventually(lambda: running.page("/readyz")[0] == 503, "it waits")
    assert running.stop() == 0


def test_a_definition_that_comes_after_the_operator_is_watched(
    jobqueues: JobQueues, api_proxy: ApiProxy, operator: Start, pg_url: str
):
    """Discovery did not know it, so nothing asked for it; the watches start over until it is there."""
    rule = api_proxy.rule(definition_asked_for, status=404)
    running = operator(**SELDOM)
    eventually(lambda: "watches stopped" in running.text, "the watches start over")
    assert running.page("/readyz")[0] == 503
    rule.times = 0
    eventually(lambda: running.page("/readyz") == (200, "ok\n"), "it watches")
    seen_by_the_watch(jobqueues, pg_url)
