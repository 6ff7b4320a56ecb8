"""A leader that is frozen: another one decides meanwhile, and what the first had still to write takes no effect."""

from __future__ import annotations

import datetime as dt
import signal

import psycopg

from tests.kube.jobqueue.conftest import JobQueues, Start, counts, enqueue, started
from tests.support.api_proxy import ApiProxy
from tests.support.chart import OperatorRights
from tests.support.controlplane import ControlPlane
from tests.support.pods import ProcessPods
from tests.support.waiting import eventually


def writes(plane: ControlPlane, namespace: str, replica: str, since: dt.datetime) -> list[str]:
    """What a replica has written since then, its own election apart, as the API server's audit has it."""
    found = []
    for event in plane.audit():
        asked = event.get("objectRef") or {}
        if (
            asked.get("namespace") == namespace
            and event.get("userAgent") == f"penstock-operator/{replica}"
            and event["verb"] not in {"get", "list", "watch"}
            and asked["resource"] != "leases"
            and event["responseStatus"]["code"] < 400
            and dt.datetime.fromisoformat(event["requestReceivedTimestamp"]) > since
        ):
            found.append(f"{event['verb']} {asked['resource']}/{asked.get('subresource', '')}")
    return found


def test_a_leader_frozen_between_decision_and_write_changes_nothing_once_it_is_thawed(
    jobqueues: JobQueues,
    operator_rights: OperatorRights,
    api_proxy: ApiProxy,
    operator: Start,
    pg_url: str,
    control_plane: ControlPlane,
):
    """The object is as it was when it decided, so no resource version shows it; its own clock does."""
    first = started(jobqueues, operator, pg_url, scaling__mode="Fixed", replicas=0)
    eventually(lambda: jobqueues.get()["status"]["desiredReplicas"] == 0, "the first one decides")
    operator_rights.kubeconfig.write_text(control_plane.kubeconfig(operator_rights.token))
    second = operator()
    eventually(lambda: second.page("/readyz")[0] == 200, "the second knows the cluster")

    # Its first write is answered as a conflict; it freezes while it reads again what it is about to write.
    api_proxy.rule(lambda method, path: method == "PATCH" and "/scale" in path, status=409, times=1)
    frozen = api_proxy.rule(
        lambda method, path: method == "GET" and path.endswith("/deployments/emails-worker"),
        times=1,
        before=lambda method, path: first.freeze(),
    )
    jobqueues.patch({"spec": {"replicas": 5}}, subresource="/scale")
    eventually(lambda: frozen.used, "it has decided for five and is frozen")
    jobqueues.patch({"spec": {"replicas": 0}}, subresource="/scale")
    generation = jobqueues.get()["metadata"]["generation"]
    eventually(lambda: jobqueues.get()["status"]["observedGeneration"] == generation, "the second decides for none")
    assert jobqueues.deployment()["spec"]["replicas"] == 0
    thawed = dt.datetime.now(dt.UTC)
    first.thaw()
    eventually(lambda: "because this replica does not lead" in first.text, "the first has not sent its write")
    eventually(lambda: "stopped leading" in first.text, "and knows why")
    assert writes(control_plane, jobqueues.namespace, "operator-0", thawed) == []
    assert jobqueues.deployment()["spec"]["replicas"] == 0


def test_jobs_run_on_while_leaders_are_frozen_and_killed(
    jobqueues: JobQueues,
    operator: Start,
    pods: ProcessPods,
    pg_url: str,
    database: psycopg.Connection,
    control_plane: ControlPlane,
):
    """SIGSTOP of the first under load, then SIGKILL of its successor: each time another one goes on from what is."""
    first = started(jobqueues, operator, pg_url)
    second = operator()
    eventually(lambda: second.page("/readyz")[0] == 200, "the second knows the cluster")
    enqueue(database, 20, 0.3)
    eventually(lambda: jobqueues.deployment()["spec"]["replicas"] > 0, "the first decides")
    first.freeze()
    eventually(lambda: "started leading" in second.text, "the second leads")
    enqueue(database, 20, 0.3)
    eventually(lambda: counts(database)[:2] == (0, 40), "all run")
    eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 0, "the second goes down to zero")
    thawed = dt.datetime.now(dt.UTC)
    first.thaw()
    eventually(lambda: "stopped leading" in first.text, "the first knows that it was deposed")
    assert writes(control_plane, jobqueues.namespace, "operator-0", thawed) == []
    second.stop(signal.SIGKILL)
    enqueue(database, 5, 0.0)
    eventually(lambda: counts(database) == (0, 45, 0), "the first leads again, and they run")
