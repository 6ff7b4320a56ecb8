"""Databases in another encoding than UTF-8: a job's life is the same, as far as they have the characters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.parse import urlsplit, urlunsplit

import pytest
from psycopg import sql

from penstock.errors import RejectedByDatabase
from penstock.job import NewJob
from penstock.store import Store, SyncClient, WorkerRegistry, migrate
from tests.postgres import desk
from tests.postgres.connections.whole_life import a_life
from tests.support.postgres import Database


@contextmanager
def encoded(database: Database, encoding: str) -> Iterator[str]:
    """The URL of a migrated database in another encoding on the same server."""
    name = urlsplit(database.url).path[1:] + "_" + encoding.lower()
    with database.connect() as admin:
        made = "CREATE DATABASE {} ENCODING {} LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        admin.execute(sql.SQL(made).format(sql.Identifier(name), encoding))
        try:
            url = urlunsplit(urlsplit(database.url)._replace(path=f"/{name}"))
            migrate(url)
            yield url
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.mark.parametrize(
    ("encoding", "text"), [("SQL_ASCII", "Ж \\ é"), ("LATIN1", "é \\"), ("WIN1251", "Ж \\"), ("EUC_JP", "日本 \\")]
)
async def test_a_jobs_life_is_the_same_in_every_encoding(encoding, text, pg_newest: Database):
    """As far as the encoding has the characters."""
    with encoded(pg_newest, encoding) as url:
        if encoding == "SQL_ASCII":
            await a_life(url, text)
        else:
            with closing(SyncClient(url)) as client, closing(WorkerRegistry(url)) as registry:
                body = text.replace("\\", "\\\\")
                client.enqueue([NewJob(task="t", args=f'{{"text": "{body}"}}', queue="q")])
                with pytest.raises(RejectedByDatabase, match="character that the encoding lacks"):
                    client.enqueue([NewJob(task="t", args='{"text": "🚀"}', queue="q")])
                worker, queue = registry.register(queue="q", identity="h", version="1", concurrency=1, lease=15.0)
                async with Store(url, lanes=1) as store:
                    [job] = await store.jobs.claim(worker, queue, "q", 10, desk.token())
                assert job.args == f'{{"text": "{body}"}}'


def test_a_report_that_the_encoding_cannot_hold_costs_no_lease(pg_newest: Database):
    """Progress of a task is anybody's text; the renewal goes without it."""
    with encoded(pg_newest, "LATIN1") as url, closing(WorkerRegistry(url)) as registry:
        worker, _ = registry.register(queue="q", identity="h", version="1", concurrency=1, lease=15.0)
        report = '{"jobs": [{"id": 1, "progress": {"text": "🚀"}}]}'
        renewed = registry.renew(worker, lease=15, claims=[], in_flight={}, done={}, drained=False, report=report)
    assert renewed.state == "running"
