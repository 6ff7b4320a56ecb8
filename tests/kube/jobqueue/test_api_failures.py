"""Failures of the API server: each kind ends in a condition that names it, and recovers by itself."""

from __future__ import annotations

import psycopg
import pytest

from tests.kube.jobqueue.conftest import QUICK, JobQueues, Start, enqueue, started
from tests.kube.jobqueue.test_failures import becomes
from tests.support.api_proxy import ApiProxy
from tests.support.waiting import eventually


def scaling(method: str, path: str) -> bool:
    """The change of a Deployment's replicas."""
    return method == "PATCH" and "-worker/scale" in path


def matching(method: str, path: str) -> bool:
    """The write of a JobQueue's status."""
    return method == "PATCH" and "/status" in path


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_refusal_by_a_failing_server_is_a_condition_and_is_tried_until_it_works(
    jobqueues: JobQueues, api_proxy: ApiProxy, operator: Start, pg_url: str, database: psycopg.Connection, status: int
):
    """Too many requests, or an error of its own: the sentence has the call; the replicas come when it lets them."""
    started(jobqueues, operator, pg_url)
    rule = api_proxy.rule(scaling, status=status)
    enqueue(database, 1, 0.0)
    sentence = becomes(jobqueues, "WorkersAvailable", "False", "ApiServerUnreachable")
    assert f"failing on purpose ({status})" in sentence
    assert jobqueues.deployment()["spec"]["replicas"] == 0
    rule.times = 0
    eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 1, "scaled once it is served")
    eventually(lambda: jobqueues.conditions()["WorkersAvailable"][0] == "True", "and the condition says so")


def test_a_storm_of_conflicts_ends_where_it_should(
    jobqueues: JobQueues, api_proxy: ApiProxy, operator: Start, pg_url: str, database: psycopg.Connection
):
    """Ten writes in a row come too late, of the replicas and of the status; each is decided again until one lands."""
    started(jobqueues, operator, pg_url)
    rules = [api_proxy.rule(scaling, status=409, times=10), api_proxy.rule(matching, status=409, times=10)]
    enqueue(database, 1, 0.0)
    eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 1, "scaled after the storm")
    eventually(lambda: jobqueues.get()["status"]["desiredReplicas"] == 1, "reported after the storm")
    assert [rule.used for rule in rules] == [10, 10]


def test_an_operator_that_reaches_no_api_server_gives_up_its_lead_and_takes_it_again(
    jobqueues: JobQueues, api_proxy: ApiProxy, operator: Start, pg_url: str, database: psycopg.Connection
):
    """Every call fails, the Lease's too: it acts no more; afterwards everything goes on."""
    running = started(jobqueues, operator, pg_url)
    rule = api_proxy.rule(lambda method, path: True, status=500)
    eventually(lambda: "stopped leading" in running.text, "it does not believe that it leads")
    enqueue(database, 1, 0.0)
    rule.times = 0
    eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 1, "it leads and decides again")


def test_watches_that_fall_silent_are_made_good_by_the_list(
    jobqueues: JobQueues, api_proxy: ApiProxy, operator: Start, pg_url: str
):
    """What came, changed and went meanwhile is found; the open watches report nothing of it."""
    running = started(jobqueues, operator, pg_url, PENSTOCK_RELIST_SECONDS="2")
    jobqueues.create("letters", **QUICK)
    eventually(lambda: jobqueues.deployment("letters"), "the watches report it")
    api_proxy.silent.set()
    jobqueues.create("parcels", **QUICK)
    jobqueues.patch({"spec": {"worker": {"concurrency": 7}}})
    jobqueues.delete("letters")
    eventually(lambda: jobqueues.deployment("parcels"), "one that came")
    eventually(lambda: jobqueues.get()["status"]["observedGeneration"] == 2, "one that changed")
    eventually(lambda: 'jobqueue="letters"' not in running.page("/metrics")[1], "one that went")
