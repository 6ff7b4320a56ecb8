"""What a login may write that may COPY: it is refused, or that row alone is affected and the queue goes on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from penstock.job import NewJob
from penstock.store import Store, SyncClient, migrate
from penstock.store.enqueue.copy_enqueue import MIN_JOBS
from penstock.store.unreadable import MAX_CHARACTERS
from tests.postgres import desk
from tests.postgres.interleave import Interleaving
from tests.postgres.logins import Owned, member, owned_by_a_login

EXPANDS = "[" + ", ".join(["1e131071"] * 20) + "]"
"""200 bytes, and 2.6 MB as text."""
LONG = '"' + "x" * (MAX_CHARACTERS + 1) + '"'
DEEP = "[" * 3000 + "]" * 3000
COLUMNS: dict[str, list[object]] = {
    "id": [1, 3, 2**63 - 1, -1],
    "ord": [1, 2**63 - 1, -(2**63)],
    "token": [1],
    "worker": [1],
    "claimed_at": ["infinity"],
    "deadline": ["-infinity"],
    "due_at": ["infinity", "-infinity"],
    "ready_at": ["infinity", "-infinity"],
    "created_at": ["infinity", "-infinity"],
    "attempt": [32767, -32768],
    "crashes": [32767, 2, -1],
    "cancel": [True],
    "queue": [None, 0, -1, 2**31 - 1],
    "priority": [None, -1, 4, 0, 3],
    "max_attempts": [None, 0, -1, 1001, 1],
    "reason": ["x"],
    "task": [None, "", "x" * 256, "x" * 255, "no such task", "\x1b[2J", "a\nb", "\u202e"],
    "unique_key": ["1:k"],
    "unique_kept": ["1:k"],
    "unique_until": ["infinity"],
    "headers": ["1", "[]", '"x"', "null", '{"traceparent": 1}', DEEP, LONG, EXPANDS],
    "errors": ["1"],
    "incompatible_since": ["infinity", "-infinity"],
    "args": [None, "1", "[]", '"x"', "null", '{"a": 1e400000}', "{", "1e131071", DEEP, LONG, EXPANDS],
}
"""Every column of the table, with values that somebody may try."""


@pytest.fixture
def owned(pg_blank) -> Iterator[Owned]:
    with owned_by_a_login(pg_blank) as made:
        yield made


@pytest.fixture
def admin(owned) -> Iterator[psycopg.Connection[Any]]:
    """A connection of the server's superuser."""
    with owned.database.connect() as connection:
        yield connection


def written(bulk: psycopg.Connection[Any], queue: int, column: str, value: object) -> bool:
    """Whether the login may write a row in which one column is the value."""
    row: dict[str, object] = {"queue": queue, "task": "hostile", "args": "{}"} | {column: value}
    places = ", ".join(["%s"] * len(row))
    try:
        bulk.execute(f"INSERT INTO penstock.job ({', '.join(row)}) VALUES ({places})".encode(), list(row.values()))
    except psycopg.Error:
        return False
    return True


def test_the_columns_are_those_of_the_table(admin):
    """A new one is tried too."""
    names = admin.execute("SELECT attname FROM pg_attribute WHERE attrelid = 'penstock.job'::regclass AND attnum > 0")
    assert {name for (name,) in names} == set(COLUMNS)


async def test_whatever_a_bulk_login_writes_into_any_column_its_neighbors_are_claimed(owned, admin):
    """Value by value: refused, or claimed like any other, or a dead letter; the jobs before and after it run."""
    with member(owned, "bulk_enqueuer") as url, psycopg.connect(url, autocommit=True) as bulk:
        worker = desk.register(admin)
        async with Store(owned.url(owned.owner), lanes=1) as store:
            for column, values in COLUMNS.items():
                for value in values:
                    neighbors = desk.enqueue(admin, 1)
                    kept = written(bulk, worker.queue, column, value)
                    neighbors += desk.enqueue(admin, 1)
                    claimed = await desk.claim_some(store, worker)
                    shown = (column, str(value)[:30])
                    assert {job.id for job in claimed} >= set(neighbors), shown
                    assert {job.task for job in claimed if job.id not in neighbors} <= {"hostile", value}, shown
                    if column in {"headers", "args"} and value in {LONG, EXPANDS}:
                        assert kept, shown
                        assert len(claimed) == 2, shown
                    admin.execute("DELETE FROM penstock.job")
    dead = admin.execute("SELECT reason, error ->> 'type', count(*) FROM penstock.dead GROUP BY 1, 2").fetchall()
    assert dead == [("unreadable", "UnreadableJob", 4)]


async def test_jobs_that_no_worker_can_read_are_buried_and_their_hundred_neighbors_run(store, db):
    """Among them, before them and after them, in every priority; one claim brings all of the rest."""
    worker = desk.register(db)
    ids = desk.enqueue(db, 100, p_priorities=[n % 4 for n in range(100)])
    for place, body in zip((0, 50, 51, 99), (EXPANDS, LONG, EXPANDS, LONG), strict=True):
        db.execute("UPDATE penstock.job SET args = %s WHERE id = %s", [body, ids[place]])
    claimed = await desk.claim_some(store, worker, 200)
    bad = {ids[place] for place in (0, 50, 51, 99)}
    assert {job.id for job in claimed} == set(ids) - bad
    assert {row[0] for row in db.execute("SELECT id FROM penstock.dead WHERE reason = 'unreadable'")} == bad
    assert db.execute("SELECT count(*) FROM penstock.job WHERE token IS NULL").fetchone() == (0,)


async def test_a_queue_that_starts_with_many_unreadable_jobs_is_served_by_one_claim(store, db):
    """However many claims of the database it takes."""
    worker = desk.register(db)
    ids = desk.enqueue(db, 31)
    db.execute("UPDATE penstock.job SET args = %s WHERE id < %s", [LONG, ids[-1]])
    assert [job.id for job in await desk.claim_some(store, worker, 10)] == [ids[-1]]


async def test_an_unreadable_job_of_a_limited_queue_takes_no_room(store, db):
    """Its room is free again when it finishes."""
    worker = desk.register(db)
    await store.queues.set_limit(worker.queue, 2)
    while not await store.leadership.count_limits():
        pass
    ids = desk.enqueue(db, 3)
    db.execute("UPDATE penstock.job SET args = %s WHERE id = %s", [LONG, ids[0]])
    assert [job.id for job in await desk.claim_some(store, worker)] == [ids[1]]
    assert [job.id for job in await desk.claim_some(store, worker)] == [ids[2]]


@pytest.fixture
def ascii_url(pg) -> Iterator[str]:
    """A migrated database that checks no encoding: it may hold text that no connection of ours can be sent."""
    name = f"{urlsplit(pg.url).path[1:]}_ascii"
    with pg.connect() as admin:
        admin.execute(
            f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'".encode()
        )
        try:
            url = urlunsplit(urlsplit(pg.url)._replace(path=f"/{name}"))
            migrate(url)
            yield url + "?client_encoding=UTF8"
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def spoil(db: psycopg.Connection[Any], jobs: list[int]) -> None:
    """Give jobs names that are no UTF-8."""
    db.execute("UPDATE penstock.job SET task = convert_from('\\xff'::bytea, 'SQL_ASCII') WHERE id = ANY (%s)", [jobs])


async def test_a_claim_that_the_database_cannot_answer_buries_the_jobs_that_are_why(ascii_url):
    """The others of that claim run, and what cannot be read of a dead letter is left out."""
    with psycopg.connect(ascii_url, autocommit=True) as db:
        worker = desk.register(db)
        ids = desk.enqueue(db, 20, p_priorities=[n % 4 for n in range(20)])
        bad = [ids[0], ids[7], ids[19]]
        spoil(db, bad)
        async with Store(ascii_url, lanes=1) as store:
            claimed = await desk.claim_some(store, worker, 20)
        assert sorted(job.id for job in claimed) == [job for job in ids if job not in bad]
        dead = db.execute("SELECT id, task, reason, error ->> 'type' FROM penstock.dead ORDER BY id").fetchall()
        assert dead == [(job, "unreadable", "unreadable", "UnreadableJob") for job in bad]


def test_a_search_for_unreadable_jobs_steps_over_those_that_others_hold(ascii_url):
    """A claim in flight has them; what is readable stays as it is."""
    bury = "SELECT penstock.bury_unreadable(%s, 10)"
    with psycopg.connect(ascii_url, autocommit=True) as db, Interleaving(ascii_url) as play:
        worker = desk.register(db)
        ids = desk.enqueue(db, 2)
        spoil(db, ids[1:])
        holder, search = play.connection("holder"), play.connection("search")
        holder.start_transaction()
        holder.run("SELECT id FROM penstock.job WHERE id = %s FOR UPDATE", [ids[1]])
        assert search.run(bury, [worker.queue]) == [([],)]
        holder.rollback()
        assert search.run(bury, [worker.queue]) == [([ids[1]],)]
        assert search.run(bury, [worker.queue]) == [([],)]


def test_ids_of_a_bulk_are_its_own_among_those_that_others_draw_meanwhile(pg, play, db):
    """Committed, open and rolled back ones lie between; the bulk starts in a savepoint of the caller."""
    other, rolled = play.connection("other"), play.connection("rolled back")
    desk.register(db)  # makes the queue: others would wait for a bulk that makes it
    lines = itertools.count()
    with psycopg.connect(pg.url) as bulk:
        bulk.execute("SELECT 1")
        with bulk.transaction():
            row = bulk.execute("SELECT queues, after FROM penstock.open_copy(ARRAY['q'])").fetchone()
            assert row is not None
            with bulk.cursor() as cursor:
                for _ in range(3):
                    with cursor.copy("COPY penstock.job (queue, task, args) FROM STDIN") as copy:
                        copy.write("".join(f"{row[0][0]}\twork\t{next(lines)}\n" for _ in range(5)))
                    desk.enqueue(db, 2)
                    other.start_transaction()
                    other.run(desk.ENQUEUE)
                    rolled.start_transaction()
                    rolled.run(desk.ENQUEUE)
                    rolled.rollback()
                    other.commit()
            (ids,) = bulk.execute("SELECT penstock.close_copy(%s, 15, %s)", [row[1], row[0]]).fetchone() or ([],)
    found = db.execute("SELECT id FROM penstock.job WHERE args <> '{}' ORDER BY (args #>> '{}')::integer").fetchall()
    assert [job for (job,) in found] == ids


def test_no_id_that_a_bulk_login_chooses_stops_anybodys_enqueue(owned, admin):
    """It may not choose one; a client of a release that brought its own uses the function."""
    with member(owned, "bulk_enqueuer") as url:
        with psycopg.connect(url, autocommit=True) as bulk:
            queue = bulk.execute("SELECT queues[1] FROM penstock.open_copy(ARRAY['q'])").fetchone()
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                bulk.execute("INSERT INTO penstock.job (id, queue, task, args) VALUES (2, %s, 'x', '{}')", queue)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                bulk.execute("SELECT setval('penstock.job_id_seq', 1)")
            old = "SELECT has_column_privilege('penstock.job', 'id', 'INSERT')"
            assert bulk.execute(old).fetchone() == (False,)
        with closing(SyncClient(url)) as client:
            ids = client.enqueue([NewJob(queue="q", task="t", args="{}")] * MIN_JOBS)
    assert len(set(ids)) == MIN_JOBS
    assert admin.execute("SELECT count(*) FROM penstock.job").fetchone() == (MIN_JOBS,)
