"""The server of a chaos run and its ledger, and what the runs wait for between their faults."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from penstock.dev.postgres.server import EmbeddedPostgres
from tests.chaos.fleet import Site
from tests.support.postgres import Database, Servers

SETTINGS = {
    "max_connections": "40",
    "shared_buffers": "32MB",
    "autovacuum_naptime": "5s",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
TABLE = "CREATE TABLE ran (job bigint, token bigint, worker bigint, phase text)"
APP = "tests.chaos.jobs:app"


@contextlib.contextmanager
def open_site(
    servers: Servers, ledger: Database, folder: Path, *, table: str = TABLE, app: str = APP
) -> Iterator[Site]:
    """A server that gets the faults; the ledger of runs, `table`, is on another one."""
    installed = servers.newest.embedded
    bin_dir = installed.installation.bin_dir if installed else None
    with ledger.connect() as connection:
        connection.execute(table.encode())
    with EmbeddedPostgres(bin_dir=bin_dir, durable=False, settings=SETTINGS) as server:
        made = Site(server, ledger.url, folder, app)
        try:
            yield made
        finally:
            made.close()


def quiet(site: Site) -> bool:
    """Whether no job is live; keeps the fleet staffed meanwhile."""
    site.staff()
    with site.admin() as admin:
        row = admin.execute("SELECT count(*) FROM penstock.job").fetchone()
    assert row == (0,), f"{row} jobs are live"
    return True


def all_serve(site: Site) -> bool:
    """Whether the fleet is complete and has come up; one that started during an outage may still give up."""
    site.staff()
    return all(worker.served for worker in site.workers)
