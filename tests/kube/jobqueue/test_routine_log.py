"""A documented installation in its normal life writes nothing that reads like a fault."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from penstock.store import migrate
from tests.kube.jobqueue.conftest import JobQueues, Start, counts, enqueue, started
from tests.kube.jobqueue.test_details import as_login
from tests.support.pods import ProcessPods
from tests.support.waiting import eventually

FAULT = re.compile(r"\b(WARNING|ERROR|CRITICAL|Traceback)\b")


@contextmanager
def login(database: psycopg.Connection[Any], role: str) -> Iterator[str]:
    """A login with that role alone, as the how-to makes it."""
    name = f"{role}_{secrets.token_hex(4)}"
    database.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'x' IN ROLE penstock_{role}".encode())
    try:
        yield name
    finally:
        database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [name])
        database.execute(f"DROP ROLE {name}".encode())


def test_start_jobs_scaling_to_zero_and_stop_write_no_warning(
    jobqueues: JobQueues, operator: Start, pods: ProcessPods, pg_url: str, database: psycopg.Connection[Any]
):
    """Operator and workers with the logins of the how-to, the chart's rights and the definition's defaults."""
    migrate(pg_url, roles=True)
    with login(database, "operator") as watching, login(database, "worker") as working:
        jobqueues.secret(as_login(pg_url, watching, "x"), "operators")
        jobqueues.secret(as_login(pg_url, working, "x"), "workers")
        reference = {"secretRef": {"name": "workers"}, "operatorSecretRef": {"name": "operators"}}
        running = started(jobqueues, operator, pg_url, databaseRef=reference)
        enqueue(database, 20, 0.1)
        eventually(lambda: counts(database)[1] == 20, "the jobs run")
        eventually(lambda: not jobqueues.pods(), "and their pods go")
        running.stop()
        logs = sorted(pods.node.logs.glob("*.log"))
        assert logs
        lines = [line for log in (running.log, *logs) for line in log.read_text(errors="replace").splitlines()]
        assert [line for line in lines if FAULT.search(line)] == []
    warnings = [(one["type"], one["reason"], one["note"]) for one in jobqueues.events() if one.get("type") == "Warning"]
    assert warnings == []
