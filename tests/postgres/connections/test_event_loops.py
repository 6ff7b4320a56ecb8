"""Event loops that are not ours and end without a word: each takes its connections with it, keeps nothing of ours."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any

import anyio
import psycopg
import pytest
import uvloop

from penstock import App, Task
from penstock.errors import ConfigurationError
from tests.support.postgres import Database
from tests.support.waiting import eventually

CONNECTIONS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
Add = Task[[int, int], int, [int, int], int]
Main = Callable[[], Coroutine[Any, Any, int]]


@pytest.fixture
def db(pg_newest: Database) -> Iterator[psycopg.Connection]:
    with pg_newest.connect() as connection:
        yield connection


@pytest.fixture
def app(pg_url: str) -> App:
    return App(pg_url)


@pytest.fixture
def add(app: App) -> Add:
    @app.task(name="add", queue="sums")
    def add(a: int, b: int) -> int:
        return a + b

    return add


def connections(db: psycopg.Connection) -> int:
    """Of anybody but the test."""
    return len(db.execute(CONNECTIONS).fetchall())


def none_left(db: psycopg.Connection) -> None:
    eventually(lambda: connections(db) == 0, "no connection is left on the server")


def jobs(db: psycopg.Connection) -> int:
    return len(db.execute("SELECT FROM penstock.job").fetchall())


def by_asyncio(main: Main) -> None:
    asyncio.run(main())


def by_runner(main: Main) -> None:
    with asyncio.Runner() as runner:
        for _ in range(2):
            runner.run(main())


def by_uvloop(main: Main) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def by_anyio(main: Main) -> None:
    anyio.run(main)


def by_hand(main: Main) -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def in_debug(main: Main) -> None:
    asyncio.run(main(), debug=True)


def in_a_thread(main: Main) -> None:
    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join()


@pytest.mark.parametrize("way", [by_asyncio, by_runner, by_uvloop, by_anyio, by_hand, in_debug, in_a_thread])
def test_a_loop_that_ends_properly_takes_its_connections_with_it(app, add, db, way: Callable[[Main], None]):
    """Nobody closes the App; while it runs, no task and no thread is ours."""
    threads = threading.active_count()

    async def main() -> int:
        await add.enqueue_async(1, 2)
        handles = await asyncio.gather(*(add.enqueue_async(number, 0) for number in range(9)))
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert threading.active_count() <= threads + (way is in_a_thread)
        return len(handles)

    way(main)
    none_left(db)
    assert jobs(db) in {10, 20}


def closed_alone(add: Add, db: psycopg.Connection) -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(add.enqueue_async(1, 2))
    loop.close()


def closed_amid_an_enqueue(add: Add, db: psycopg.Connection) -> None:
    """What waits for the server's answer is left where it is."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(add.enqueue_async(1, 2))
    db.execute("BEGIN; LOCK TABLE penstock.job")
    pending = loop.create_task(add.enqueue_async(3, 4))
    loop.set_exception_handler(lambda *_: None)  # "Task was destroyed but it is pending": what this test does
    while not waits(db):
        loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    assert not pending.done()
    with suppress(RuntimeError):  # psycopg takes its reader out of a loop that is closed
        pending.get_coro().close()
    db.execute("ROLLBACK")


def dropped_unclosed(add: Add, db: psycopg.Connection) -> None:
    def once() -> None:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(add.enqueue_async(1, 2))

    once()
    with pytest.warns(ResourceWarning, match="unclosed event loop"):
        gc.collect()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("way", [closed_alone, closed_amid_an_enqueue, dropped_unclosed])
def test_of_a_loop_that_just_stopped_nothing_is_left_once_another_is_used(add, db, way: Callable[..., None]):
    """Three such loops leave no more connections than one."""
    for _ in range(3):
        way(add, db)
        gc.collect()
    assert asyncio.run(add.enqueue_async(5, 6)).id > 0
    none_left(db)


def test_calls_that_are_cancelled_or_time_out_leave_nothing_in_the_loop(app, add, db):
    """At any point: while the connection is opened, while it is waited for, while the server works."""

    async def main() -> None:
        for turns in range(40):
            task = asyncio.ensure_future(add.enqueue_async(turns, 0))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        waiting = [asyncio.ensure_future(add.enqueue_async(number, 0)) for number in range(12)]
        for _ in range(5):
            await asyncio.sleep(0)
        for task in waiting[::2]:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert sum(not task.cancelled() for task in waiting) >= 6
        assert (await add.enqueue_async(7, 7)).id > 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    none_left(db)


def test_loops_in_threads_have_their_own_connections_and_are_closed_from_any_other(app, add, db):
    """App.close in the main thread: idle ones at once, and each loop may go on."""
    used, closed = threading.Barrier(4, timeout=120), threading.Barrier(4, timeout=120)

    async def main() -> None:
        await add.enqueue_async(1, 2)
        used.wait()  # blocks the loop, as a loop does that runs something else
        closed.wait()
        await add.enqueue_async(3, 4)

    threads = [threading.Thread(target=lambda: asyncio.run(main())) for _ in range(3)]
    for thread in threads:
        thread.start()
    used.wait()
    assert connections(db) == 3
    app.close()
    none_left(db)
    closed.wait()
    for thread in threads:
        thread.join()
    none_left(db)
    assert jobs(db) == 6


def test_a_close_in_another_loop_waits_for_no_call_in_flight(app, add, db):
    """What is in use is closed when its call is over, and the call is not disturbed."""
    session = psycopg.connect(app._database()[0])
    with session:
        session.execute("LOCK TABLE penstock.job IN ACCESS EXCLUSIVE MODE")
        thread = threading.Thread(target=lambda: asyncio.run(add.enqueue_async(1, 2)))
        thread.start()
        eventually(lambda: connections(db) == 2 and waits(db), "the enqueue waits for the table")
        asyncio.run(app.close_async())
        assert connections(db) == 2
        session.rollback()
        thread.join()
    session.close()
    none_left(db)
    assert jobs(db) == 1


def waits(db: psycopg.Connection) -> bool:
    return bool(db.execute("SELECT FROM pg_locks WHERE NOT granted").fetchall())


def test_a_child_forked_with_an_open_pool_uses_and_closes_its_own(app, add, db):
    """Forked inside the running loop, and outside of it; the parent's session lives on."""

    def in_child(do: Callable[[], object]) -> int:
        if (child := os.fork()) == 0:
            code = 1
            try:
                signal.alarm(120)
                do()
                code = 0
            finally:
                os._exit(code)
        return os.waitpid(child, 0)[1]

    async def main() -> None:
        await add.enqueue_async(1, 1)
        [(pid,)] = db.execute(CONNECTIONS).fetchall()
        assert in_child(lambda: fresh(add.enqueue_async(2, 2))) == 0
        assert (await add.enqueue_async(3, 3)).id > 0
        assert db.execute("SELECT FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone() is not None

    def fresh(call: Coroutine[Any, Any, object]) -> None:
        asyncio.events._set_running_loop(None)
        asyncio.run(call)

    asyncio.run(main())
    assert in_child(lambda: asyncio.run(add.enqueue_async(4, 4))) == 0
    none_left(db)
    assert jobs(db) == 4


def test_without_an_asyncio_loop_the_call_says_what_to_do(add):
    """Under Trio or Curio: a coroutine that nobody of asyncio runs."""
    with pytest.raises(ConfigurationError, match=r"need a running asyncio event loop.*trio.to_thread"):
        add.enqueue_async(1, 2).send(None)


def test_an_app_that_is_garbage_leaves_no_connection(pg_url, db):
    """For sync callers and for a loop that goes on."""

    async def main() -> None:
        app = App(pg_url)
        task = app.task(name="add")(lambda: None)
        await task.enqueue_async()
        task.enqueue()
        assert connections(db) == 2
        del app, task
        gc.collect()
        none_left(db)

    asyncio.run(main())
