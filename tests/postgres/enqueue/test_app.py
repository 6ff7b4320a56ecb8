"""An application and its database: what it enqueues is there, in its transaction or its own, from any process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from penstock import App, JobState, Task
from penstock.cli import main
from penstock.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    InvalidDatabaseURL,
    JobNotFound,
    SchemaMissing,
    StoreError,
)

Add = Task[[int, int], int, [int, int], int]


@pytest.fixture
def app(pg_url: str) -> Iterator[App]:
    with App(pg_url) as app:
        yield app


@pytest.fixture
async def async_app(pg_url: str) -> AsyncIterator[App]:
    async with App(pg_url) as app:
        yield app


def adding(app: App) -> Add:
    @app.task(name="add", queue="sums", max_attempts=4)
    def add(a: int, b: int) -> int:
        return a + b

    return add


def counted(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM penstock.jobs").fetchone()
        assert row is not None
        return int(row[0])


def test_an_enqueued_job_is_known_by_its_handle(app: App):
    """Its arguments, its place and its state, from the database."""
    handle = adding(app).options(priority=0, headers={"trace": "1"}).enqueue(1, 2)
    info = handle.info()
    assert (handle.id, JobState.QUEUED, "sums", "add", 0, 0) == (
        info.id,
        info.state,
        info.queue,
        info.task,
        info.priority,
        info.attempt,
    )
    assert (info.args, info.headers, info.max_attempts) == ({"a": 1, "b": 2}, {"trace": "1"}, 4)
    assert app.job(handle.id).status() is JobState.QUEUED


def test_a_delayed_job_is_scheduled_on_the_databases_clock(app: App):
    """By delay or by time."""
    add = adding(app)
    later = add.options(delay=timedelta(hours=1)).enqueue(1, 2).info()
    due = later.due_at
    assert due is not None
    assert (later.state, due - later.created_at) == (JobState.SCHEDULED, timedelta(hours=1))
    at = datetime(2040, 1, 1, tzinfo=UTC)
    assert add.options(at=at).enqueue(1, 2).info().due_at == at


def test_ids_of_a_bulk_come_in_its_order(app: App):
    """Whatever the number of queues and priorities."""
    add = adding(app)
    ids = app.enqueue_many(add.options(queue=f"q{n % 3}", priority=n % 4).job(n, 0) for n in range(300))
    assert len(set(ids)) == 300
    assert [app.job(job_id).info().args["a"] for job_id in ids[::60]] == [0, 60, 120, 180, 240]


def test_a_job_of_a_rolled_back_transaction_was_never_there(app: App, pg_url: str):
    """The caller's connection, the caller's transaction."""
    add = adding(app)
    with psycopg.connect(pg_url) as connection:
        lost = add.options(connection=connection).enqueue(1, 2)
        connection.rollback()
        kept = add.options(connection=connection).enqueue(3, 4)
        [bulk] = app.enqueue_many([add.job(5, 6)], connection=connection)
        with pytest.raises(JobNotFound, match=f"job {kept.id}"):
            kept.info()
    assert kept.status() is app.job(bulk).status() is JobState.QUEUED
    with pytest.raises(JobNotFound):
        lost.info()


async def test_async_callers_and_connections_do_the_same(async_app: App, pg_url: str):
    """One job, many, and in the transaction of an async connection."""
    add = adding(async_app)
    handle = await add.enqueue_async(1, 2)
    assert await handle.status_async() is JobState.QUEUED
    assert len(await async_app.enqueue_many_async([add.job(1, 1), add.job(2, 2)])) == 2
    async with await psycopg.AsyncConnection.connect(pg_url) as connection:
        lost = await add.options(connection=connection).enqueue_async(1, 2)
        await connection.rollback()
        with pytest.raises(ConfigurationError, match="await enqueue_async instead, got AsyncConnection"):
            add.options(connection=connection).enqueue(1, 2)
    with pytest.raises(JobNotFound):
        await lost.info_async()
    with psycopg.connect(pg_url) as blocking, pytest.raises(ConfigurationError, match="asynchronous"):
        await add.options(connection=blocking).enqueue_async(1, 2)


async def test_first_uses_at_once_share_one_pool(async_app: App, pg_url: str):
    """Twenty tasks of one loop enqueue before anything is open; nothing stays open after the close."""
    add = adding(async_app)
    handles = await asyncio.gather(*(add.enqueue_async(n, 0) for n in range(20)))
    assert len({handle.id for handle in handles}) == 20
    assert await asyncio.to_thread(_clients, pg_url) <= 4


def test_threads_share_one_pool(app: App, pg_url: str):
    """Eight threads, at most four connections."""
    add = adding(app)
    ids: list[int] = []
    threads = [threading.Thread(target=lambda n=n: ids.append(add.enqueue(n, 0).id)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 8
    assert _clients(pg_url) <= 4


def _clients(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'penstock client%%'"
            " AND datname = current_database()"
        ).fetchone()
        assert row is not None
        return int(row[0])


def test_a_forked_child_opens_its_own_connections(app: App, pg_url: str):
    """Parent and child enqueue after the fork, in turns and at once; neither harms the other's sessions."""
    add = adding(app)
    add.enqueue(0, 0)
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                signal.alarm(120)
                for n in range(5):
                    add.enqueue(n, 1)
                app.close()
                code = 0
            finally:
                os._exit(code)
        children.append(child)
        add.enqueue(0, 2)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    add.enqueue(0, 3)
    assert counted(pg_url) == 1 + 15 + 3 + 1


def test_every_event_loop_has_its_own_pool(pg_url: str):
    """asyncio.run twice with one App."""
    app = App(pg_url)
    add = adding(app)

    async def once() -> int:
        async with app:
            return (await add.enqueue_async(1, 2)).id

    loops = [asyncio.new_event_loop() for _ in range(2)]
    first, second = (loop.run_until_complete(once()) for loop in loops)
    for loop in loops:
        loop.close()
    assert first < second


def test_an_app_can_be_used_after_its_close(app: App):
    """The next use opens again."""
    add = adding(app)
    add.enqueue(1, 2)
    app.close()
    assert add.enqueue(1, 2).status() is JobState.QUEUED


def test_a_text_that_looks_like_a_null_escape_is_kept(app: App):
    """Backslash, u, four zeros, and everything else that JSON escapes."""

    @app.task
    def note(text: str) -> None: ...

    text = '\\u0000 "quoted" \\ \n\t é 漢 😀 \x7f'
    assert note.enqueue(text).info().args == {"text": text}


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("postgresql://u:hunter2@127.0.0.1:1/x", DatabaseUnavailable),
        ("mysql://u:hunter2@127.0.0.1/x", InvalidDatabaseURL),
        ("postgresql://u:pw@127.0.0.1:hunter2/x", InvalidDatabaseURL),
        ("postgresql://u:hunter2/end@127.0.0.1/x", InvalidDatabaseURL),
        ("postgresql://u:start@hunter2@127.0.0.1/x", InvalidDatabaseURL),
    ],
)
def test_a_database_that_cannot_be_had_is_one_error_without_its_url(url: str, error: type[StoreError]):
    """For sync and async callers."""
    app = App(url)
    with pytest.raises(error) as refused:
        adding(app).enqueue(1, 2)
    assert "hunter2" not in str(refused.value)

    async def once() -> None:
        async with app:
            await app.job(1).info_async()

    loop = asyncio.new_event_loop()
    with pytest.raises(error):
        loop.run_until_complete(once())
    loop.close()


def test_the_command_line_migrates_and_enqueues(pg_url: str, capsys, monkeypatch):
    """`penstock migrate` twice, then `penstock enqueue --raw`; the id is what is printed."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    with psycopg.connect(pg_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA penstock CASCADE")
    monkeypatch.setenv("PENSTOCK_DATABASE_URL", pg_url)

    def run(*arguments: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as exit_:
            main(list(arguments))
        out = capsys.readouterr()
        return exit_.value.code, out.out, out.err

    raw = ("enqueue", "shop.jobs:hello", "--raw", "--args", '{"name": "Ada"}', "--queue", "hello", "--priority", "0")
    code, out, err = run(*raw)
    assert (code, out) == (1, "")
    assert "penstock migrate" in err
    assert run("migrate")[0] == 0
    assert "nothing to do" in run("migrate")[1]
    code, out, _ = run(*raw)
    with App(pg_url) as app:
        info = app.job(int(out)).info()
    assert (code, info.task, info.queue, info.args) == (0, "shop.jobs:hello", "hello", {"name": "Ada"})


def test_an_enqueue_without_the_schema_says_what_to_run(app: App, pg_url: str):
    """Nobody has to know SQL."""
    with psycopg.connect(pg_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA penstock CASCADE")
    with pytest.raises(SchemaMissing, match="penstock migrate"):
        adding(app).enqueue(1, 2)
