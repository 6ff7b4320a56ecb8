"""A worker that starts while its database is away: it lives, says why it is not ready, and goes on by itself."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from penstock.store import migrate
from tests.postgres import desk
from tests.postgres.worker_process import starting_jobs
from tests.postgres.workers import WorkerProcess, lines
from tests.support.controlplane import free_ports
from tests.support.pages import page
from tests.support.postgres_proxy import Proxy


class Starting:
    """A worker with pages on a known port, as a pod has them."""

    def __init__(self, url: str, trace: Path, **more: Any) -> None:
        (self.port,) = free_ports(1)
        self.trace = trace
        self.process = WorkerProcess(url, trace, http_port=self.port, **more)

    def page(self, path: str) -> tuple[int, str]:
        """0 while nobody answers."""
        return page(self.port, path)

    def waits_for(self, *reasons: str) -> None:
        """Alive, and not ready for these reasons."""
        wanted = ("waiting for the database", *reasons)
        desk.until(lambda: all(reason in self.page("/readyz")[1] for reason in wanted))
        assert self.page("/readyz")[0] == 503
        assert self.page("/healthz") == (200, "ok\n")

    def works(self) -> None:
        """Ready in the end."""
        desk.until(lambda: self.page("/readyz") == (200, "ok\n"))


@pytest.fixture
def starting(trace: Path) -> Iterator[Any]:
    """`starting(url)` starts a worker; it ends with the test."""
    launched: list[Starting] = []

    def launch(url: str, **more: Any) -> Starting:
        launched.append(Starting(url, trace, **more))
        return launched[-1]

    yield launch
    for one in launched:
        one.process.kill()


def with_(url: str, **parts: str) -> str:
    """The URL with another netloc or path."""
    return urlunsplit(urlsplit(url)._replace(**parts))


def test_a_worker_whose_server_is_away_waits_for_it(pg_newest, starting):
    """Nobody listens; then the server is there, at the same address."""
    parts = urlsplit(pg_newest.url)
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        port = kept.getsockname()[1]
        credentials = parts.netloc.rpartition("@")[0]
        worker = starting(with_(pg_newest.url, netloc=f"{credentials}@127.0.0.1:{port}"))
        worker.waits_for("127.0.0.1")
        assert credentials.partition(":")[2] not in worker.page("/readyz")[1]
    with Proxy(pg_newest.url, port=port):
        worker.works()
        code, said = worker.process.end()
    assert code == 0
    assert "database reachable" in said
    assert "Traceback" not in said


def test_a_worker_waits_until_the_schema_is_there(servers, starting):
    """The migration may run meanwhile; the reason has the command."""
    with servers.newest.database(migrated=False) as blank:
        worker = starting(blank.url)
        worker.waits_for("penstock migrate")
        migrate(blank.url)
        worker.works()
        assert worker.process.end()[0] == 0


def test_a_worker_waits_while_a_limit_of_connections_is_reached(pg_newest, newest, starting):
    """Other pods, which leave soon, have them all."""
    newest.execute("CREATE ROLE crowded LOGIN PASSWORD 'c' CONNECTION LIMIT 0")
    try:
        host = urlsplit(pg_newest.url).netloc.rpartition("@")[2]
        worker = starting(with_(pg_newest.url, netloc=f"crowded:c@{host}"))
        worker.waits_for("connection limit")
        assert worker.process.end()[0] == 0
    finally:
        newest.execute("DROP ROLE crowded")


def test_a_worker_that_gets_fewer_connections_than_it_needs_tries_again(pg_newest, newest, starting):
    """The check at its start needs one, the worker more: what goes away in between is waited for as well."""
    host = urlsplit(pg_newest.url).netloc.rpartition("@")[2]
    newest.execute("CREATE ROLE narrow LOGIN PASSWORD 'c' CONNECTION LIMIT 1")
    try:
        newest.execute(f"GRANT {newest.info.user} TO narrow".encode())
        worker = starting(with_(pg_newest.url, netloc=f"narrow:c@{host}"))
        desk.until(lambda: "cannot start yet, retrying" in worker.process.said())
        newest.execute("ALTER ROLE narrow CONNECTION LIMIT -1")
        worker.works()
        assert worker.process.end()[0] == 0
    finally:
        newest.execute("DROP OWNED BY narrow CASCADE")
        newest.execute("DROP ROLE narrow")


@pytest.fixture
def between(pg_newest, newest, starting, tmp_path):
    """A worker that passed the check and is in its lifespan while its login loses its connections; role and worker."""
    gate, role = tmp_path / "gate", "between"
    host = urlsplit(pg_newest.url).netloc.rpartition("@")[2]
    newest.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'c'".encode())
    try:
        newest.execute(f"GRANT {newest.info.user} TO {role}".encode())
        url = with_(pg_newest.url, netloc=f"{role}:c@{host}")
        worker = starting(url, app=starting_jobs.APP, test_hangs=gate)
        desk.until(lambda: [one for one in lines(worker.trace) if one.startswith("worker")], 30)
        newest.execute(f"ALTER ROLE {role} CONNECTION LIMIT 0".encode())
        gate.touch()
        yield role, worker
        worker.process.kill()
    finally:
        newest.execute(f"DROP OWNED BY {role} CASCADE".encode())
        newest.execute(f"DROP ROLE {role}".encode())


def test_a_worker_that_cannot_register_waits_with_its_lifespan_entered(newest, between):
    """The database went away after the check; the worker neither exits nor starts twice."""
    role, worker = between
    worker.waits_for("connection limit")
    newest.execute(f"ALTER ROLE {role} CONNECTION LIMIT -1".encode())
    worker.works()
    code, said = worker.process.end()
    assert code == 0, said
    assert "cannot register yet, retrying" in said
    assert "Traceback" not in said
    assert sum(one.startswith("worker") for one in lines(worker.trace)) == 1


def test_a_signal_ends_the_wait_for_the_registration(newest, between):
    """Nothing was claimed, and no row is left."""
    _, worker = between
    worker.waits_for("connection limit")
    code, said = worker.process.end()
    assert code == 0, said
    assert newest.execute("SELECT count(*) FROM penstock.worker").fetchone() == (0,)


@pytest.mark.parametrize("host", ["127.0.0.1:1", "nobody.invalid:5432"])
def test_a_signal_ends_the_wait_at_once_whatever_it_waits_for(starting, host):
    """A port that refuses, a name that nobody knows: 0, for nothing was claimed."""
    worker = starting(f"postgresql://u:hunter2@{host}/x")
    worker.waits_for()
    code, said = worker.process.end()
    assert code == 0
    assert "hunter2" not in said
    assert "Traceback" not in said


def test_a_signal_ends_the_wait_for_a_server_that_is_silent(starting):
    """It takes the connection and never answers, so the first attempt is still under way."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        worker = starting(f"postgresql://u:hunter2@127.0.0.1:{silent.getsockname()[1]}/x")
        silent.settimeout(60)
        connection, _ = silent.accept()
        with connection:
            code, said = worker.process.end()
    assert code == 0
    assert "hunter2" not in said
    assert "Traceback" not in said


def test_a_url_that_does_not_parse_ends_the_start_at_once(trace):
    """No wait would mend it: one line, without the URL."""
    code, said = WorkerProcess("postgresql://u:hunter2@host:port/x", trace).ended()
    assert code in {1, 2}
    assert "hunter2" not in said
    assert len(said.strip().splitlines()) == 1
