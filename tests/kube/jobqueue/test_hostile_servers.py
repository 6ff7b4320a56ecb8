"""Servers that are mute, greedy or lie, each in a JobQueue's Secret, next to a healthy JobQueue that is unaffected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

from tests.kube.jobqueue.conftest import QUICK, JobQueues, Start, enqueue, started
from tests.kube.jobqueue.operator_process import OperatorProcess
from tests.support.hostile_postgres import (
    closes_at_once,
    drip,
    endless_login,
    endless_notices,
    endless_rows,
    escapes,
    hostile_servers,
    leaks_through_an_error,
    mute,
    mute_after_login,
    one_huge_row,
)
from tests.support.postgres_messages import Behavior, queue_row, snapshot
from tests.support.waiting import eventually

HOSTILE: dict[str, tuple[Behavior, set[str]]] = {
    "mute": (mute, {"Unreachable"}),
    "mute-after-login": (mute_after_login, {"Unreachable"}),
    "mute-after-login-too": (mute_after_login, {"Unreachable"}),
    "closes-at-once": (closes_at_once, {"Unreachable"}),
    "leaks-through-an-error": (leaks_through_an_error, {"Unreachable"}),
    "endless-rows": (endless_rows, {"DatabaseMisbehaves"}),
    "one-huge-row": (one_huge_row, {"DatabaseMisbehaves"}),
    "endless-notices": (endless_notices, {"Unreachable", "DatabaseMisbehaves"}),
    "endless-login": (endless_login, {"Unreachable", "DatabaseMisbehaves"}),
    "drip": (drip, {"Unreachable"}),
    "escapes": (escapes, {"AuthFailed"}),
    "lies": (snapshot(queue_row(name="emails", ready="-5")), {"DatabaseMisbehaves"}),
}
"""By the name of the JobQueue: its server, and the reasons that its condition may have."""
TOGETHER_SECONDS = 180.0
"""A dozen processes share two cores with the servers that flood them."""


def test_a_healthy_jobqueue_does_not_notice_servers_that_misbehave(
    jobqueues: JobQueues, operator: Start, pg_url: str, database: psycopg.Connection[Any]
):
    """Each bad one has its condition; the healthy one scales meanwhile, and the operator stays small and live."""
    with hostile_servers() as servers:
        for name, (behavior, _) in HOSTILE.items():
            jobqueues.secret(servers.url(name, behavior), name)
            jobqueues.create(name, **(QUICK | {"worker__app": "a.b:c", "databaseRef": {"secretRef": {"name": name}}}))
        process = started(
            jobqueues, operator, pg_url, PENSTOCK_DATABASES_PER_NAMESPACE="13", PENSTOCK_DATABASE_MEMORY_MIB="64"
        )
        for name, (_, reasons) in HOSTILE.items():
            eventually(
                lambda one=name, known=reasons: reason(jobqueues, one) in known,  # type: ignore[misc]
                f"{name} has its reason",
                seconds=TOGETHER_SECONDS,
            )
        enqueue(database, 1, 0.0)
        eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 1, "the healthy one scales")
        assert jobqueues.conditions()["DatabaseReachable"] == ("True", "Connected")
        assert process.page("/healthz")[0] == 200
        assert_small(process)
        found = f"{jobqueues.api.request('GET', jobqueues.collection)}{jobqueues.events()}"
        assert "swordfish" not in found
        assert "hunter2" not in found + process.text
        assert all(line.isprintable() for line in process.text.split("\n"))
    children = children_of(process.process.pid)
    assert children
    process.stop()
    eventually(lambda: not any(map(is_there, children)), "no process outlives the operator")


def test_the_processes_of_an_operator_that_is_killed_end_with_it(jobqueues: JobQueues, operator: Start, pg_url: str):
    """Nobody reports them; and a namespace with too many addresses keeps the oldest."""
    started(jobqueues, operator, pg_url).stop()
    jobqueues.secret(pg_url + "?application_name=another", "second")
    jobqueues.create("late", **(QUICK | {"databaseRef": {"secretRef": {"name": "second"}}}))
    process = operator(PENSTOCK_DATABASES_PER_NAMESPACE="1")
    eventually(lambda: reason(jobqueues, "late") == "TooManyDatabases", "the younger one is refused")
    eventually(lambda: jobqueues.conditions()["Listening"] == ("True", "Subscribed"), "the older one is served")
    (child,) = children_of(process.process.pid)
    process.process.kill()
    eventually(lambda: not is_there(child), "the process of the database has ended")
    process.stop()


def reason(jobqueues: JobQueues, name: str) -> str:
    """Why the database of a JobQueue is not reachable; empty while nothing is known."""
    status, found = jobqueues.conditions(name).get("DatabaseReachable", ("", ""))
    return found if status == "False" else ""


def assert_small(process: OperatorProcess) -> None:
    """Neither memory nor threads of the operator itself grow with what servers send."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{process.process.pid}/status").read_text().splitlines())
    assert int(status["VmHWM"].split()[0]) < 256 * 1024
    assert int(status["Threads"]) < 64


def children_of(pid: int) -> list[int]:
    """Processes that a process has started and that run."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(one) for one in text.split()]


def is_there(pid: int) -> bool:
    """Whether a process runs; one that nobody has reaped does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
