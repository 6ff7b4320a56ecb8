"""Nobody is removed while the replica set could pick another than those that have drained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.kube.jobqueue.conftest import BIN, WORKER, JobQueues, Start, counts, started
from tests.kube.jobqueue.conftest import Gate as Jobs
from tests.kube.jobqueue.test_drain import LONG, busy, names, reported, states
from tests.kube.jobqueue.test_failures import becomes
from tests.support.pods import ProcessPods
from tests.support.waiting import eventually

in_time = partial(eventually, seconds=150.0)
"""Two rollouts of real processes on a machine that is busy with other things."""


@dataclass(frozen=True)
class Gate:
    """While it is closed, workers that are started wait in front of it, as if their node were slow."""

    folder: Path

    def close(self) -> None:
        (self.folder / "closed").touch()

    def open(self) -> None:
        (self.folder / "closed").unlink()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """An open gate: a `penstock` command that waits while the file `closed` is there."""
    folder = tmp_path / "gate"
    folder.mkdir()
    command = folder / "penstock"
    command.write_text(f'#!/bin/sh\nwhile [ -e "{folder}/closed" ]; do sleep 0.05; done\nexec {BIN}/penstock "$@"\n')
    command.chmod(0o755)
    return Gate(folder)


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    """Jobs that run until the test lets them end."""
    return Jobs(tmp_path / "jobs")


@pytest.fixture
def gated_pods(process_pods: Callable[..., ProcessPods], gate: Gate) -> ProcessPods:
    """Real workers after the gate."""
    env = {**WORKER.env, "PATH": f"{gate.folder}:{WORKER.env['PATH']}"}
    return process_pods({"shop:1": replace(WORKER, env=env)}, pace=0.2)


def test_nobody_goes_while_a_pod_is_starting(
    jobqueues: JobQueues,
    operator: Start,
    gate: Gate,
    gated_pods: ProcessPods,
    jobs: Jobs,
    pg_url: str,
    database: psycopg.Connection[Any],
):
    """A pod that does not serve yet would be picked before the drained one; so the drained one waits for it."""
    started(jobqueues, operator, pg_url, **LONG, scaling__mode="Fixed", replicas=2)
    in_time(lambda: jobqueues.get()["status"].get("readyReplicas") == 2, "two ready workers")
    jobs.enqueue(database, 1)
    in_time(lambda: reported(database), "a pod says that it holds the job")
    gate.close()
    jobqueues.patch({"spec": {"replicas": 3}}, subresource="/scale")
    in_time(lambda: len(names(jobqueues)) == 3, "a third pod is starting")
    jobqueues.patch({"spec": {"replicas": 2}}, subresource="/scale")
    in_time(lambda: "drained" in states(database).values(), "the idle one has drained")
    assert "1 pod is starting" in becomes(jobqueues, "Draining", "True", "Waiting")
    (idle,) = [pod for pod, state in states(database).items() if state == "drained"]
    assert jobqueues.deployment()["spec"]["replicas"] == 3
    gate.open()
    in_time(lambda: len(names(jobqueues)) == 2, "one is gone")
    assert idle not in names(jobqueues)
    jobs.open()
    in_time(lambda: counts(database) == (0, 1, 0), "the job ends at its first attempt")


def test_nobody_is_drained_during_a_rollout(
    jobqueues: JobQueues,
    operator: Start,
    gate: Gate,
    gated_pods: ProcessPods,
    jobs: Jobs,
    pg_url: str,
    database: psycopg.Connection[Any],
):
    """A decrease would be shared out over two replica sets; it comes when the rollout is over, and the job ends."""
    started(jobqueues, operator, pg_url, **LONG, scaling__mode="Fixed", replicas=2)
    in_time(lambda: jobqueues.get()["status"].get("readyReplicas") == 2, "two ready workers")
    jobs.enqueue(database, 1)
    in_time(lambda: busy(database), "a pod holds the job")
    gate.close()
    container = {"name": "worker", "image": "shop:1", "env": [{"name": "COLOUR", "value": "blue"}]}
    jobqueues.patch({"spec": {"worker": {"template": {"spec": {"containers": [container]}}}}})
    in_time(lambda: len(names(jobqueues)) > 2, "the rollout has made a pod")
    jobqueues.patch({"spec": {"replicas": 1}}, subresource="/scale")
    assert "a rollout is under way" in becomes(jobqueues, "Draining", "False", "Waiting")
    assert set(states(database).values()) == {"running"}
    assert jobqueues.deployment()["spec"]["replicas"] == 2
    gate.open()
    jobs.open()
    in_time(lambda: len(names(jobqueues)) == 1, "one worker is left")
    in_time(lambda: counts(database) == (0, 1, 0), "the job ends at its first attempt")
    assert {each.code for each in gated_pods.exits()} <= {0}
