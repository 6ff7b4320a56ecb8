"""The database goes, or a pod's way to it: jobs go on, and whose lease has expired is fenced."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.cluster.faults.at_once import at_once
from tests.cluster.faults.fleet import Fleet

pytestmark = pytest.mark.timeout(1200)


@at_once
def test_a_restart_of_postgres_interrupts_no_job_and_no_pod(fleet: Fleet):
    """Crashed and started again while jobs run: outcomes are stored afterwards, and no container restarts."""
    with fleet.site.own_server() as server:
        fleet.url = server.url
        fleet.write_secret(server.url)
        fleet.declare(replicas=2)
        pods = fleet.until_serving(2)
        jobs = fleet.enqueue("work", 4, seconds=8)
        fleet.until_started(jobs)
        waiting = fleet.enqueue("work", 8, seconds=0.2)
        server.crash_and_start()
        fleet.until_done().each_ran_once()
        assert set(fleet.noted("end", waiting)) == set(waiting)
        assert fleet.until_serving(2) == pods
        assert sum(one["restartCount"] for pod in fleet.pods() for one in pod["status"]["containerStatuses"]) == 0
        fleet.site.client.request("DELETE", fleet.queue_path)
        fleet.until(lambda: fleet.pods() == [], "its pods are gone")


@at_once
def test_a_pod_that_is_cut_off_from_postgres_loses_its_jobs_to_another(fleet: Fleet):
    """For longer than its lease: its jobs run elsewhere, and what it reports afterwards is refused."""
    fleet.declare(replicas=2)
    fleet.until_serving(2)
    (job,) = fleet.enqueue("work", seconds=25)
    fleet.until_started([job])
    pod = fleet.running_on()[job]
    address = next(one["status"]["podIP"] for one in fleet.pods() if one["metadata"]["name"] == pod)
    with fleet.site.cut_off(address, urlsplit(fleet.url).port or 5432):
        assert pod in fleet.until_reason("WorkersAvailable", "WorkersLost")
        fleet.until(lambda: fleet.noted("start", [job])[job] == 2, "it runs again")
        fleet.enqueue("work", 4, seconds=0.2)
    account = fleet.until_done()
    account.each_finished()
    account.nothing_ran_twice_without_a_crash()
    assert (account.starts[job], account.crashes[job]) == (2, 1)
    (final,) = fleet.sql("SELECT count(*) FROM penstock.outcome WHERE job_id = %s AND final", job)
    assert final == (1,), "one outcome counts, however many attempts finished"
    fleet.until_reason("WorkersAvailable", "AllReady")
