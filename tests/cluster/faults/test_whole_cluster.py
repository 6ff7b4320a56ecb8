"""Faults that every namespace feels, one after the other: the operator, its upgrade, the API server, the node."""

from __future__ import annotations

import ipaddress
import os

import pytest

from tests.cluster.faults.fleet import Fleet

pytestmark = pytest.mark.timeout(1200)
SOAK = os.environ.get("PENSTOCK_SOAK") not in {None, "", "0"}


def still_scales(fleet: Fleet) -> None:
    """Jobs scale it up from zero, and down to zero when they are done: an operator leads, samples and writes."""
    fleet.until(lambda: fleet.pods() == [], "no pod")
    fleet.until_started(fleet.enqueue("work", 2, seconds=0.5))
    fleet.until(lambda: fleet.pods() == [], "no pod again")


def load(fleet: Fleet) -> list[int]:
    """Jobs that run for a while, and more that wait for them."""
    running = fleet.enqueue("work", 4, seconds=15)
    fleet.until_started(running)
    return fleet.enqueue("work", 12, seconds=1)


def test_a_killed_operator_stops_no_job_and_the_next_one_scales(alone: Fleet):
    """Both of its pods at once, without grace, in the middle of the work."""
    alone.declare()
    load(alone)
    before = {pod["metadata"]["name"] for pod in alone.site.operator_pods()}
    for name in before:
        alone.site.client.request(
            "DELETE",
            f"/api/v1/namespaces/{alone.site.namespace}/pods/{name}",
            {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0},
        )
    alone.until_done().each_ran_once()
    still_scales(alone)
    assert alone.site.leader() not in before


def test_an_upgrade_of_the_operator_under_load_interrupts_no_job(alone: Fleet):
    """`helm upgrade` replaces the operator's pods; the workers' pods stay as they are."""
    alone.declare(replicas=2)
    pods = alone.until_serving(2)
    load(alone)
    before = {pod["metadata"]["name"] for pod in alone.site.operator_pods()}
    alone.site.install("--set=log.level=debug")
    alone.until(lambda: not before & {pod["metadata"]["name"] for pod in alone.site.operator_pods()}, "all are new")
    alone.until_done().each_ran_once()
    assert alone.until_serving(2) == pods
    alone.declare()
    still_scales(alone)
    alone.site.install()


def test_an_uninstalled_operator_leaves_jobs_running_and_the_next_one_finds_them(alone: Fleet):
    """Without an operator the workers go on; after the reinstallation the same JobQueue scales."""
    alone.declare()
    load(alone)
    uid = alone.found(alone.queue_path)["metadata"]["uid"]
    alone.site.uninstall()
    more = alone.enqueue("work", 4, seconds=1)
    alone.until_done().each_ran_once()
    assert set(alone.noted("end", more)) == set(more)
    alone.site.install()
    assert alone.found(alone.queue_path)["metadata"]["uid"] == uid
    still_scales(alone)


def test_a_leader_that_is_cut_off_from_the_api_server_is_replaced(alone: Fleet):
    """The other pod leads; what the first one decided takes no effect; no job is interrupted."""
    alone.declare()
    load(alone)
    first = alone.until(alone.site.leader, "somebody leads")
    pod = next(one for one in alone.site.operator_pods() if one["metadata"]["name"] in first)
    with alone.site.cut_off(pod["status"]["podIP"], 443):
        alone.until(lambda: alone.site.leader() != first, "another pod leads")
        still_scales(alone)
    alone.until_done().each_ran_once()


def test_jobs_run_while_the_api_server_does_not_answer(alone: Fleet):
    """Frozen until every job is over: workers do not need it. Afterwards the operator goes on."""
    alone.declare(replicas=2)
    alone.until_serving(2)
    load(alone)
    with alone.site.frozen("kube-apiserver"):
        alone.until_done().each_ran_once()
    alone.until(lambda: len(alone.serving()) == 2, "its pods are Ready")
    alone.declare()
    still_scales(alone)


@pytest.mark.skipif(not SOAK, reason="it takes two minutes: PENSTOCK_SOAK=1 runs it")
def test_jobs_run_while_the_kubelet_is_cut_off(alone: Fleet):
    """Frozen until the node counts as lost: its pods are not Ready, but work; a minute, therefore in a soak only."""
    alone.declare(replicas=2)
    alone.until_serving(2)
    with alone.site.frozen("kubelet"):
        jobs = alone.enqueue("work", 4, seconds=60)
        alone.until_started(jobs)
        alone.until(lambda: alone.serving() == [], "its pods are not Ready")
        alone.until_done().each_ran_once()
    alone.until_serving(2)


def test_a_drained_node_interrupts_no_job_and_takes_pods_again_after_uncordon(alone: Fleet):
    """`kubectl drain` evicts within the budget; on one node replacements wait for `kubectl uncordon`."""
    alone.declare(replicas=2)
    alone.until_serving(2)
    load(alone)
    node = alone.pods()[0]["spec"]["nodeName"]
    selector = f"--pod-selector=penstock.dev/jobqueue={alone.name}"
    try:
        drained = alone.site.start_kubectl(
            "drain", node, selector, "--delete-emptydir-data", "--ignore-daemonsets", "--timeout=240s"
        )
        cordoned = f"/api/v1/nodes/{node}"
        alone.until(lambda: alone.site.client.request("GET", cordoned)["spec"].get("unschedulable"), "it is cordoned")
        alone.while_it_lasts(lambda: drained.poll() is not None or pending(alone), lambda: len(alone.serving()))
    finally:
        alone.site.cluster.kubectl("uncordon", node)
    alone.until_done().each_ran_once()
    alone.until_serving(2)
    drained.kill()
    drained.wait()


def pending(fleet: Fleet) -> bool:
    """Whether a replacement waits for a node."""
    return any(pod["status"]["phase"] == "Pending" for pod in fleet.pods())


def test_probes_and_metrics_answer_over_ipv6(alone: Fleet):
    """Where pods have such an address; skipped with the reason where they have none."""
    alone.declare(replicas=1)
    (name,) = alone.until_serving(1)
    (pod,) = alone.pods()
    found = [one["ip"] for one in pod["status"]["podIPs"] if ipaddress.ip_address(one["ip"]).version == 6]
    if not found:
        pytest.skip("pods of this cluster have no IPv6 address")
    code = f"import urllib.request as r; print(r.urlopen('http://[{found[0]}]:9464/readyz').status)"
    assert (
        alone.site.cluster.kubectl("--namespace", alone.name, "exec", name, "--", "python3", "-c", code).strip()
        == "200"
    )
