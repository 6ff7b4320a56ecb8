"""Objects that somebody deletes unnoticed are created again."""

from __future__ import annotations

from typing import Any

import psycopg

from tests.kube.jobqueue.conftest import JobQueues, Start, enqueue, started
from tests.support.api_proxy import ApiProxy
from tests.support.waiting import eventually


def test_a_deployment_that_has_gone_unseen_is_made_again_when_it_is_to_be_scaled(
    jobqueues: JobQueues, api_proxy: ApiProxy, operator: Start, pg_url: str, database: psycopg.Connection[Any]
):
    """The watches are silent and the next list is far away: the API server's answer is enough."""
    started(jobqueues, operator, pg_url, PENSTOCK_RELIST_SECONDS="300")
    before = jobqueues.deployment()["metadata"]
    api_proxy.silent.set()
    jobqueues.api.request("DELETE", f"/apis/apps/v1/namespaces/{jobqueues.namespace}/deployments/{before['name']}")
    eventually(lambda: jobqueues.deployment() is None, "it has gone")
    enqueue(database, 1, 0.0)
    eventually(lambda: (jobqueues.deployment() or {}).get("spec", {}).get("replicas") == 1, "it is back, and scaled")
    assert jobqueues.deployment()["metadata"]["uid"] != before["uid"]
