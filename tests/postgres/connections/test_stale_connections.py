"""The first statement on a reused connection: whatever ended it meanwhile, a call works while the server is there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from penstock import App, JobHandle
from penstock.errors import DatabaseUnavailable, PoolExhausted
from penstock.store.pools.reuse import answers, answers_async
from tests.support.postgres import Database
from tests.support.postgres_proxy import Proxy
from tests.support.waiting import eventually

OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@pytest.fixture
def db(pg_newest: Database) -> Iterator[psycopg.Connection]:
    with pg_newest.connect() as connection:
        yield connection


class Caller:
    """An application of sync or of async calls; several at once hold a connection each."""

    def __init__(self, url: str, runner: asyncio.Runner | None, **options: Any) -> None:
        self.app, self._runner = App(url, **options), runner
        self._task = self.app.task(name="send", queue="emails")(lambda: None)

    def enqueue(self) -> JobHandle[None]:
        if self._runner is None:
            return self._task.enqueue()
        return self._runner.run(self._task.enqueue_async())

    def status(self, handle: JobHandle[None]) -> str:
        return self._runner.run(handle.status_async()) if self._runner else handle.status()

    def enqueue_at_once(self, number: int) -> None:
        """So many at the same time: as many connections as the pool may have are open afterwards."""
        if self._runner is not None:

            async def several() -> None:
                await asyncio.gather(*(self._task.enqueue_async() for _ in range(number)))

            self._runner.run(several())
            return
        threads = [threading.Thread(target=self._task.enqueue) for _ in range(number)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def turn(self) -> None:
        """Let the loop run, if there is one: its timers are due."""
        if self._runner is not None:
            self._runner.run(asyncio.sleep(0.01))


@pytest.fixture(params=["sync", "async"])
def caller(request: pytest.FixtureRequest, pg_newest: Database) -> Iterator[Callable[..., Caller]]:
    made: list[Caller] = []

    def make(url: str, **options: Any) -> Caller:
        made.append(Caller(url, runner, **options))
        return made[-1]

    with asyncio.Runner() as loop:
        runner = loop if request.param == "async" else None
        yield make
        for one in made:
            one.app.close()


def jobs(db: psycopg.Connection) -> int:
    return len(db.execute("SELECT FROM penstock.job").fetchall())


def others(db: psycopg.Connection) -> int:
    return len(db.execute(f"SELECT {OTHERS}".encode()).fetchall())


def terminated(db: psycopg.Connection, proxy: Proxy) -> None:
    """At once: the next call may meet a session that is just closing."""
    db.execute(f"SELECT pg_terminate_backend(pid) {OTHERS}".encode())


def cut(db: psycopg.Connection, proxy: Proxy) -> None:
    """By something between, which forgets its connections."""
    proxy.cut()
    eventually(lambda: others(db) == 0, "the sessions are over")


@pytest.mark.parametrize("end", [terminated, cut])
def test_no_call_fails_because_pooled_connections_were_ended(end, caller, pg_newest, db):
    """Four of them, and then a read and an enqueue each time one has been ended again."""
    with Proxy(pg_newest.url) as proxy:
        calls = caller(proxy.url)
        calls.enqueue_at_once(8)
        handle = calls.enqueue()
        for _ in range(3):
            end(db, proxy)
            calls.enqueue()
            end(db, proxy)
            assert calls.status(handle) == "queued"
        calls.app.close()
    assert jobs(db) == 8 + 1 + 3


def test_a_connection_to_what_has_become_a_standby_is_replaced(caller, pg_newest, db):
    """Its session says read-only; a new one leads to a server that accepts writes."""
    [name] = db.execute("SELECT current_database()").fetchone() or ("",)
    calls = caller(pg_newest.url)
    handle = calls.enqueue()
    calls.app.close()
    db.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
    assert calls.status(handle) == "queued"
    db.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only".encode())
    assert calls.enqueue().id > handle.id


def test_a_lost_reply_is_retried_by_a_read_and_never_by_an_enqueue(caller, pg_newest, db):
    """The job of an enqueue whose reply was lost is there once."""
    with Proxy(pg_newest.url) as proxy:
        calls = caller(proxy.url)
        handle = calls.enqueue()
        proxy.drop_reply()
        assert calls.status(handle) == "queued"
        proxy.drop_reply()
        with pytest.raises(DatabaseUnavailable, match="enqueue"):
            calls.enqueue()
        assert (proxy.dropped, jobs(db)) == (2, 2)
        calls.enqueue()
        calls.app.close()
    assert jobs(db) == 3


async def test_a_connection_that_answers_no_more_is_found_out_in_time(pg_newest):
    """Something between forwards nothing: asked, it is not waited for longer than said."""
    with Proxy(pg_newest.url) as proxy, closing(psycopg.connect(proxy.url, autocommit=True)) as one:
        other = await psycopg.AsyncConnection.connect(proxy.url, autocommit=True)
        assert answers(one.pgconn)
        assert await answers_async(other.pgconn)
        assert one.execute("SELECT 1").fetchone() == (1,)
        assert await (await other.execute("SELECT 1")).fetchone() == (1,)
        proxy.freeze()
        assert not answers(one.pgconn, 0.05)
        assert not await answers_async(other.pgconn, 0.05)
        proxy.thaw()
        await other.close()


def test_a_call_that_finds_no_free_connection_says_which_setting_allows_more(pg_newest, db):
    """After `pool_wait` seconds, sync and async; the others are not disturbed."""
    app = App(pg_newest.url, pool_size=1, pool_wait=0.05)
    send = app.task(name="send", queue="emails")(lambda: None)
    said = r"the only connection of this pool stayed in use for 0.05 s; raise App\(pool_size=...\)"

    async def two() -> None:
        first = asyncio.ensure_future(send.enqueue_async())
        await asyncio.to_thread(eventually, lambda: waits(db), "the first call waits for the table")
        with pytest.raises(PoolExhausted, match=said):
            await send.enqueue_async()
        db.execute("COMMIT")
        await first

    db.execute("BEGIN; LOCK TABLE penstock.job")
    asyncio.run(two())
    db.execute("BEGIN; LOCK TABLE penstock.job")
    thread = threading.Thread(target=send.enqueue)
    thread.start()
    eventually(lambda: waits(db), "the first call waits for the table")
    with pytest.raises(PoolExhausted, match=said):
        send.enqueue()
    db.execute("COMMIT")
    thread.join()
    app.close()
    assert jobs(db) == 2


def waits(db: psycopg.Connection) -> bool:
    return bool(db.execute("SELECT FROM pg_locks WHERE NOT granted").fetchall())


def test_an_unused_connection_is_closed_after_the_idle_time(caller, pg_newest, db):
    """Without another call; with an idle time of 0 none is kept at all."""
    calls = caller(pg_newest.url, pool_idle=0.05, pool_size=2)
    calls.enqueue_at_once(6)

    def gone() -> bool:
        calls.turn()
        return others(db) == 0

    eventually(gone, "nothing is connected")
    never = caller(pg_newest.url, pool_idle=0)
    never.enqueue()
    eventually(lambda: others(db) == 0, "nothing is connected")
    calls.enqueue()
    assert jobs(db) == 8
