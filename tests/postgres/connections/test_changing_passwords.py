"""Passwords that change while a process runs: asked for at each connect, from a function or a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from penstock import App
from penstock.errors import LoginRefused
from penstock.job import NewJob
from tests.postgres import desk, jobs
from tests.postgres.logins import Owned, member, owned_by_a_login
from tests.postgres.workers import WorkerProcess
from tests.support.postgres import Servers


@pytest.fixture
def owned(servers: Servers) -> Iterator[Owned]:
    with servers.newest.database(migrated=False) as blank, owned_by_a_login(blank) as made:
        yield made


def change(admin: psycopg.Connection, url: str, password: str) -> str:
    """Give the login another password and end its connections; the URL with it."""
    parts = urlsplit(url)
    admin.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(str(parts.username)), password))
    cut = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE usename = %s"
    admin.execute(cut.encode(), [parts.username])
    return urlunsplit(parts._replace(netloc=f"{parts.username}:{password}@{parts.hostname}:{parts.port}"))


async def test_an_app_goes_on_with_the_password_that_its_function_gives(owned: Owned):
    """Sync and async callers, also after their connections were ended; a wrong one is a refused login."""
    with member(owned, "worker") as url, owned.database.connect() as admin:
        current = [str(urlsplit(url).password)]
        bare = urlunsplit(urlsplit(url)._replace(netloc=url.partition("//")[2].partition(":")[0] + "@" + _place(url)))
        async with App(bare, password=lambda: current[-1]) as app:
            for password in ("first", "p@ss/'\\\\ %word"):
                app.enqueue_many([NewJob(task="t", args="{}", queue="q")])
                await app.enqueue_many_async([NewJob(task="t", args="{}", queue="q")])
                change(admin, url, password)
                current.append(password)
            app.enqueue_many([NewJob(task="t", args="{}", queue="q")])
            current.append("swordfish")
            change(admin, url, "another")
            with pytest.raises(LoginRefused) as refused:
                await app.enqueue_many_async([NewJob(task="t", args="{}", queue="q")])
            assert "swordfish" not in str(refused.value)


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}"


def test_a_worker_goes_on_with_the_url_that_its_file_holds(owned: Owned, trace: Path, tmp_path: Path, monkeypatch):
    """The file wins over the variable that an operator gives to its pods, and no process is replaced."""
    monkeypatch.setenv("TRACE", str(trace))
    with member(owned, "worker") as url, owned.database.connect() as admin:
        file = tmp_path / "url"
        file.write_text(url)
        nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
        worker = WorkerProcess(nowhere, trace, lease_seconds=2, database_url_file=file)
        try:
            number = worker.row(admin)[0]
            file.write_text(change(admin, url, "swordfish"))
            with App(file.read_text()) as app:
                app.enqueue_many([jobs.add.job(1, 2)])
            ended = "SELECT count(*) FROM penstock.outcome WHERE state = 'completed'"
            desk.until(lambda: admin.execute(ended).fetchone() == (1,))
            assert number
        finally:
            code, said = worker.end()
    assert code == 0, said
    assert "swordfish" not in said
