"""Pods that fail: out of memory, blocked, crashing, without an image, under another user. Each says why."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.faults.at_once import at_once
from tests.cluster.faults.fleet import Fleet

pytestmark = pytest.mark.timeout(1200)
SMALL = {"resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "224Mi"}}}


def terminations(fleet: Fleet) -> list[dict[str, Any]]:
    """How containers of its pods ended, the last time."""
    statuses = [status for pod in fleet.pods() for status in pod["status"].get("containerStatuses", ())]
    return [status["lastState"]["terminated"] for status in statuses if "terminated" in status.get("lastState", {})]


def restarts(fleet: Fleet) -> int:
    """Of all containers of its pods."""
    return sum(status["restartCount"] for pod in fleet.pods() for status in pod["status"].get("containerStatuses", ()))


@at_once
def test_a_worker_that_is_killed_for_its_memory_loses_no_job(fleet: Fleet):
    """The container is OOMKilled and restarted; its jobs are rescued, one crash each, and finish."""
    fleet.declare(replicas=1, container=SMALL)
    fleet.until_serving(1)
    (neighbor,) = fleet.enqueue("work", seconds=30)
    fleet.until_started([neighbor])
    (hog,) = fleet.enqueue("fill_worker", mebibytes=400)
    account = fleet.until_done()
    account.each_finished()
    account.nothing_ran_twice_without_a_crash()
    assert "OOMKilled" in {one["reason"] for one in terminations(fleet)}
    for job in (hog, neighbor):
        assert (account.crashes[job], account.starts[job]) == (1, 2)


@at_once
def test_a_child_that_is_killed_for_its_memory_fails_its_own_job_alone(fleet: Fleet):
    """The kernel kills the largest process. With cgroup v2 it kills the whole container, and the jobs are rescued."""
    fleet.declare(replicas=1, container=SMALL)
    fleet.until_serving(1)
    (neighbor,) = fleet.enqueue("work", seconds=25)
    fleet.until_started([neighbor])
    (hog,) = fleet.enqueue("fill_child", mebibytes=400)
    account = fleet.until_done()
    account.each_finished()
    account.nothing_ran_twice_without_a_crash()
    assert (account.starts[hog], account.crashes[hog]) == (2, 1)
    if restarts(fleet) == 0:
        assert (account.starts[neighbor], account.ends[neighbor], account.crashes[neighbor]) == (1, 1, 0)
    else:
        assert "OOMKilled" in {one["reason"] for one in terminations(fleet)}


@at_once
def test_a_blocked_event_loop_costs_readiness_and_nothing_else(fleet: Fleet):
    """Not ready while it lasts, never restarted, no lease lost: the job and its neighbor run once."""
    fleet.declare(replicas=1)
    fleet.until_serving(1)
    (neighbor,) = fleet.enqueue("work", seconds=5)
    fleet.until_started([neighbor])
    (blocker,) = fleet.enqueue("block", seconds=25)
    seen = fleet.while_it_lasts(lambda: bool(fleet.noted("end", [blocker])), lambda: len(fleet.serving()))
    assert 0 in seen, "the pod was never unready"
    fleet.until_done().each_ran_once()
    fleet.until_serving(1)
    assert restarts(fleet) == 0


@at_once
def test_an_image_that_does_not_exist_is_named_and_its_jobs_wait(fleet: Fleet):
    """The condition has the reason and the image; a correct one runs them."""
    fleet.declare(container={"image": "penstock.invalid/no-such-image:1"})
    jobs = fleet.enqueue("work", 3, seconds=0.2)
    assert "penstock.invalid/no-such-image:1" in fleet.until_reason("WorkersAvailable", "ImagePull")
    assert fleet.noted("start", jobs) == {}
    fleet.declare()
    fleet.until_done().each_ran_once()


@at_once
def test_a_rollout_to_an_image_that_does_not_exist_leaves_the_old_pods_serving(fleet: Fleet):
    """Jobs go on running on what was there before."""
    fleet.declare(replicas=2)
    fleet.until_serving(2)
    fleet.declare(replicas=2, container={"image": "penstock.invalid/no-such-image:1"})
    fleet.until_reason("WorkersAvailable", "ImagePull")
    fleet.enqueue("work", 8, seconds=1)
    fleet.until_done().each_ran_once()
    assert len(fleet.serving()) == 2
    fleet.declare(replicas=2)
    fleet.until_reason("WorkersAvailable", "AllReady")


@at_once
def test_a_crash_loop_has_its_reason_in_the_condition(fleet: Fleet):
    """The exit code and the process's last line; the jobs wait for a release that starts."""
    fleet.declare(replicas=1, app="ledger_jobs:no_such_app")
    jobs = fleet.enqueue("work", 2, seconds=0.2)
    message = fleet.until_reason("WorkersAvailable", "CrashLoop")
    assert "no_such_app" in message
    assert fleet.noted("start", jobs) == {}
    fleet.declare(replicas=1)
    fleet.until_done().each_ran_once()


@at_once
def test_any_user_id_and_a_read_only_root_are_enough(fleet: Fleet):
    """As OpenShift assigns them: no passwd entry, no home, nothing to write but an empty folder; children too."""
    fleet.declare(
        replicas=1,
        container={
            "securityContext": {"readOnlyRootFilesystem": True, "runAsUser": 1_000_720_000, "runAsGroup": 0},
            "volumeMounts": [{"name": "tasks", "mountPath": "/app"}, {"name": "tmp", "mountPath": "/tmp"}],
        },
        pod={
            "volumes": [
                {"name": "tasks", "configMap": {"name": "tasks"}},
                {"name": "tmp", "emptyDir": {"sizeLimit": "16Mi"}},
            ]
        },
    )
    fleet.until_serving(1)
    (pod,) = fleet.pods()
    assert pod["spec"]["containers"][0]["securityContext"]["runAsUser"] == 1_000_720_000
    fleet.enqueue("work", 4, seconds=0.2)
    fleet.enqueue("fill_child", 2, mebibytes=1)
    fleet.until_done().each_ran_once()


@at_once
def test_a_changed_password_rolls_the_pods_out_and_interrupts_no_job(fleet: Fleet):
    """A successor of the login goes into the Secret; each old pod drains, and then the old login can be dropped."""
    old, new = (login(fleet, number) for number in (1, 2))
    fleet.write_secret(old)
    fleet.declare(replicas=2)
    fleet.until_serving(2)
    before = {pod["metadata"]["name"] for pod in fleet.pods()}
    jobs = fleet.enqueue("work", 4, seconds=15)
    fleet.until_started(jobs)
    fleet.write_secret(new)
    fleet.until(lambda: not before & {pod["metadata"]["name"] for pod in fleet.pods()}, "all are replaced")
    fleet.sql(f'DROP ROLE "{fleet.name}-1"')
    fleet.enqueue("work", 8, seconds=0.2)
    fleet.until_done().each_ran_once()
    fleet.until_reason("WorkersAvailable", "AllReady")


def login(fleet: Fleet, number: int) -> str:
    """A login with a worker's rights and the ledger's; its URL."""
    name = f"{fleet.name}-{number}"
    fleet.sql(f"CREATE ROLE \"{name}\" LOGIN PASSWORD 'p{number}' IN ROLE penstock_worker")
    head, _, tail = fleet.url.partition("://")
    return f"{head}://{name}:p{number}@{tail.rpartition('@')[2]}"
