"""Bulk enqueue by COPY, where the login may: the same rows, ids, errors and wake-ups as by the function."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg
import pytest

from penstock.errors import RejectedByDatabase
from penstock.job import NewJob, UniqueKey
from penstock.store import AsyncClient, SyncClient, enqueue_on, enqueue_on_async
from penstock.store.enqueue.copy_enqueue import MIN_JOBS
from tests.postgres import desk
from tests.postgres.logins import member, owned_by_a_login

WRITTEN = """SELECT q.name, j.task, j.priority, j.max_attempts, j.args, j.headers, j.attempt, j.token, j.due_at,
                    j.unique_key, j.ready_at IS NOT NULL AND j.created_at IS NOT NULL
             FROM penstock.job AS j JOIN penstock.queue AS q ON q.id = j.queue ORDER BY j.ord"""
ODD = ["\\", "\\N", "a\tb", "a\nb\r", '"', "it's", "{}", "é€😀", "\\\\t", "%s", "\\."]


def record_ways(admin: psycopg.Connection[Any]) -> None:
    """From now on a table has the first word of each statement that puts jobs in."""
    admin.execute("CREATE TABLE public.way (word text)")
    admin.execute(
        "CREATE FUNCTION public.record_way() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN "
        "INSERT INTO public.way VALUES (split_part(current_query(), ' ', 1)); RETURN NULL; END $$"
    )
    admin.execute("CREATE TRIGGER way BEFORE INSERT ON penstock.job EXECUTE FUNCTION public.record_way()")


@pytest.fixture
def ways(pg) -> Iterator[psycopg.Connection[Any]]:
    """A connection to `pg`, that records how jobs came in."""
    with pg.connect() as connection:
        record_ways(connection)
        yield connection


def taken(ways: psycopg.Connection[Any]) -> set[str]:
    return {row[0] for row in ways.execute("DELETE FROM public.way RETURNING word")}


def text(value: object) -> str:
    """JSON as the library writes it: letters beyond ASCII as they are."""
    return json.dumps(value, ensure_ascii=False)


def many(count: int = MIN_JOBS, **values: Any) -> list[NewJob]:
    """Plain jobs of two queues with every kind of text in their tasks, arguments and headers."""
    return [
        desk.new(
            **{
                "queue": f"q{n % 2}",
                "task": ODD[n % len(ODD)],
                "args": text({"n": n, "odd": ODD[n % len(ODD)]}),
                "headers": None if n % 3 else text({"h": ODD[n % len(ODD)]}),
                "priority": n % 4,
                "max_attempts": None if n % 5 else 7,
            }
            | values
        )
        for n in range(count)
    ]


def test_copy_and_the_function_write_the_same_rows(client, ways):
    """Column by column, in order; the queue's own number of attempts where a job says nothing."""
    ways.execute("INSERT INTO penstock.queue (name, max_attempts) VALUES ('q1', 9)")
    jobs, half, written = many(), MIN_JOBS // 2, []
    for parts, way in (((jobs,), "COPY"), ((jobs[:half], jobs[half:]), "SELECT")):
        ids = [job for part in parts for job in client.enqueue(part)]
        assert ids == [row[0] for row in ways.execute("SELECT id FROM penstock.job ORDER BY ord")]
        assert taken(ways) == {way}
        written.append(ways.execute(WRITTEN).fetchall())
        ways.execute("TRUNCATE penstock.job")
    assert written[0] == written[1]
    assert len(written[0]) == MIN_JOBS


def test_ids_come_in_order_from_batches_of_any_size(client, db):
    """Ten thousand in one call, each id its own job's."""
    ids = client.enqueue([desk.new(args=f'{{"n": {n}}}') for n in range(10_000)])
    rows = db.execute("SELECT id, args FROM penstock.job ORDER BY ord").fetchall()
    assert [row[0] for row in rows] == ids
    assert [row[1]["n"] for row in rows] == list(range(10_000))


NOT_PLAIN: dict[str, dict[str, Any]] = {
    "a delay": {"delay": 5},
    "a time": {"at": datetime(2100, 1, 1, tzinfo=UTC)},
    "a unique key": {"unique": UniqueKey(key="k")},
    "arguments near the limit": {"args": json.dumps("x" * 100_000)},
    "a number that may be long as text": {"args": "1e100"},
    "headers near the limit": {"headers": json.dumps("x" * 100_000)},
}


def test_what_the_database_must_decide_goes_through_the_function(client, ways):
    """One such job, and the whole batch does."""
    for case, values in NOT_PLAIN.items():
        assert len(client.enqueue([*many(), desk.new(**values)])) == MIN_JOBS + 1
        assert taken(ways) == {"SELECT"}, case


def test_few_jobs_go_through_the_function(client, ways):
    """One round trip instead of five."""
    client.enqueue(many(MIN_JOBS - 1))
    assert taken(ways) == {"SELECT"}


WRONG: dict[str, dict[str, Any]] = {
    "arguments": {"args": '{"a":'},
    "headers": {"headers": "{"},
    "a priority": {"priority": 4},
    "attempts": {"max_attempts": 0},
    "a queue": {"queue": "no spaces"},
    "a task": {"task": ""},
    "a NUL": {"task": "a\0b"},
    "a lone surrogate": {"args": '"\ud800"'},
}


def error_of(attempt: Callable[[], object]) -> str:
    """What the refusal says."""
    with pytest.raises(RejectedByDatabase) as refused:
        attempt()
    return str(refused.value)


def test_a_wrong_job_among_many_is_the_functions_error_and_nothing_is_written(pg, client, db):
    """The same words as for a login without the right, in the caller's transaction too."""
    with psycopg.connect(pg.url) as connection:
        for case, values in WRONG.items():
            wrong = desk.new(**values)
            alone = error_of(partial(client.enqueue, [wrong]))
            assert error_of(partial(client.enqueue, [*many(), wrong, *many(3)])) == alone, case
            assert error_of(partial(enqueue_on, connection, [*many(), wrong])) == alone, case
            connection.rollback()
    counts = "SELECT (SELECT count(*) FROM penstock.job), (SELECT count(*) FROM penstock.queue)"
    assert db.execute(counts).fetchone() == (0, 0)


def test_a_bulk_is_part_of_the_callers_transaction(pg, ways):
    """Nothing is committed by us, whether the caller had started or not; in autocommit each call is one transaction."""
    count = "SELECT count(*) FROM penstock.job"
    with psycopg.connect(pg.url) as connection:
        enqueue_on(connection, many())
        assert ways.execute(count).fetchone() == (0,)
        connection.rollback()
        connection.execute("SELECT 1")
        enqueue_on(connection, many())
        assert ways.execute(count).fetchone() == (0,)
        connection.commit()
    with pg.connect() as connection:
        enqueue_on(connection, many())
    assert ways.execute(count).fetchone() == (2 * MIN_JOBS,)
    assert taken(ways) == {"COPY"}


async def test_async_connections_and_clients_copy_too(pg, ways):
    """In the caller's transaction, and in one of its own."""
    async with await psycopg.AsyncConnection.connect(pg.url) as connection:
        ids = await enqueue_on_async(connection, many())
        await connection.rollback()
        ids = await enqueue_on_async(connection, many())
    client = AsyncClient(pg.url)
    try:
        ids += await client.enqueue(many())
        with pytest.raises(RejectedByDatabase, match="json"):
            await client.enqueue([*many(), desk.new(args="{")])
    finally:
        await client.close()
    assert [row[0] for row in ways.execute("SELECT id FROM penstock.job ORDER BY ord")] == ids
    assert taken(ways) == {"COPY"}


def test_inside_a_pipeline_the_function_is_called(pg, ways):
    """No COPY is possible there."""
    with psycopg.connect(pg.url) as connection, connection.pipeline():
        ids = enqueue_on(connection, many())
    assert len(ids) == MIN_JOBS
    assert taken(ways) == {"SELECT"}


def test_a_waiter_is_woken_once_for_a_bulk(client, db):
    """And nobody where nobody waits."""
    worker = desk.register(db)
    db.execute("LISTEN penstock_work")
    client.enqueue(many(queue="other"))
    db.execute("SELECT penstock.wait_mark(%s, 60, false)", [[worker.queue]])
    client.enqueue(many(queue="q"))
    assert [one.payload for one in db.notifies(timeout=60, stop_after=1)] == [str(worker.queue)]
    assert list(db.notifies(timeout=0.05)) == []


def test_no_mark_is_published_while_a_bulk_is_open(pg, db):
    """Its transaction id was taken before its first place in the order was drawn."""
    worker = desk.register(db)
    with psycopg.connect(pg.url) as connection:
        ids = enqueue_on(connection, many(queue="q"))
        desk.enqueue(db, 1)
        row = db.execute("SELECT last_ord, horizon FROM penstock.begin_marks()").fetchone()
        assert db.execute("SELECT penstock.publish_marks(%s, %s)", row).fetchone() == (None,)
        connection.commit()
    desk.until(lambda: db.execute("SELECT penstock.publish_marks(%s, %s)", row).fetchone() != (None,))
    claimed = db.execute(desk.CLAIM, [worker.id, worker.queue, 2 * MIN_JOBS, desk.token()]).fetchall()
    assert {row[0] for row in claimed} > set(ids)


@pytest.mark.parametrize(("role", "way"), [("bulk_enqueuer", "COPY"), ("enqueuer", "SELECT"), ("worker", "SELECT")])
def test_the_rights_of_the_login_choose_the_way(role, way, pg_blank):
    """Without an error in between, in a transaction of the caller's too."""
    with owned_by_a_login(pg_blank) as owned, owned.database.connect() as admin:
        record_ways(admin)
        with member(owned, role) as url:
            with closing(SyncClient(url)) as client:
                client.enqueue(many())
            with psycopg.connect(url) as connection:
                enqueue_on(connection, many())
        assert admin.execute("SELECT count(*) FROM penstock.job").fetchone() == (2 * MIN_JOBS,)
        assert taken(admin) == {way}
