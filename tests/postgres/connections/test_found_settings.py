"""Databases as they are found: encodings, and settings of the server, the database or the role that change what is
sent or read. Each is one member of a kind; a job's whole life must be the same with all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from penstock import App, JobState
from penstock.errors import Fenced, RejectedByDatabase
from penstock.job import ClaimedJob, Finished, NewJob, OutcomeState, UniqueKey
from penstock.store import Store, SyncClient, WorkerRegistry, migrate, schema_drift
from penstock.store.connect import connect, connect_async
from penstock.store.inspect.diagnostics import Diagnostics
from penstock.store.inspect.inspection import JobFilter, Reader
from penstock.store.session_settings import SETTINGS
from penstock.store.transaction import JobTransaction
from tests.postgres import desk
from tests.support.postgres import Database

MEMBERS = (
    ("DateStyle", "German, DMY"), ("DateStyle", "SQL, MDY"), ("DateStyle", "Postgres, DMY"),
    ("IntervalStyle", "iso_8601"), ("IntervalStyle", "sql_standard"), ("IntervalStyle", "postgres_verbose"),
    ("TimeZone", "Asia/Kathmandu"), ("TimeZone", "<+0330>-03:30"), ("TimeZone", "America/St_Johns"),
    ("client_encoding", "LATIN1"), ("client_encoding", "SQL_ASCII"),
    ("extra_float_digits", "-15"), ("bytea_output", "escape"), ("xmlbinary", "hex"), ("xmloption", "document"),
    ("standard_conforming_strings", "off"), ("escape_string_warning", "on"), ("backslash_quote", "off"),
    ("array_nulls", "off"), ("quote_all_identifiers", "on"), ("transform_null_equals", "on"),
    ("default_transaction_isolation", "repeatable read"), ("default_transaction_isolation", "serializable"),
    ("default_transaction_deferrable", "on"), ("synchronous_commit", "off"),
    ("statement_timeout", "20s"), ("lock_timeout", "1ms"), ("idle_in_transaction_session_timeout", "20s"),
    ("transaction_timeout", "20s"), ("idle_session_timeout", "20s"), ("search_path", "hostile, pg_catalog"),
    ("search_path", ""), ("row_security", "off"), ("session_replication_role", "replica"), ("jit", "on"),
    ("plan_cache_mode", "force_custom_plan"), ("plan_cache_mode", "force_generic_plan"),
    ("default_table_access_method", "nothing_there"), ("check_function_bodies", "on"), ("lc_messages", "C"),
    ("client_min_messages", "debug5"), ("exit_on_error", "on"), ("enable_nestloop", "off"),
    ("enable_indexscan", "off"), ("plpgsql.variable_conflict", "use_variable"), ("plpgsql.extra_errors", "all"),
    ("restrict_nonsystem_relation_kind", "view"), ("application_name", "ours"), ("work_mem", "64kB"),
)  # fmt: skip
"""Each with a value that is bad for us; timeouts with one that lets a test set its scene."""


def groups() -> list[dict[str, str]]:
    """The members, each name once in a group."""
    found: list[dict[str, str]] = []
    for name, value in MEMBERS:
        place = next((group for group in found if name not in group), None)
        if place is None:
            found.append(place := {})
        place[name] = value
    return found


HOSTILE = """
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.count(bigint) RETURNS bigint LANGUAGE sql AS 'SELECT 666';
CREATE FUNCTION hostile.pg_backend_pid() RETURNS integer LANGUAGE sql AS 'SELECT 666';
CREATE FUNCTION hostile.unnest(text[]) RETURNS SETOF text LANGUAGE sql AS 'SELECT NULL::text';
CREATE FUNCTION hostile.always(bigint, bigint) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE OPERATOR hostile.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = hostile.always)
"""


@contextmanager
def settings(database: Database, *values: tuple[str, str]) -> Iterator[list[str]]:
    """ALTER DATABASE for those that the server knows; gives their names, forgotten with the database."""
    with database.connect() as admin:
        name = urlsplit(database.url).path[1:]
        known = {one.lower() for (one,) in admin.execute("SELECT name FROM pg_settings")}
        chosen = [(one, value) for one, value in values if one.lower() in known or one.startswith("plpgsql.")]
        if any(value.startswith("hostile") for _, value in chosen):
            admin.execute(HOSTILE.encode())
        for one, value in chosen:
            change = sql.SQL("ALTER DATABASE {} SET {} = {}")
            shown = sql.SQL(value) if one == "search_path" and value else sql.Literal(value)
            named = sql.SQL(".").join(map(sql.Identifier, one.split(".")))
            admin.execute(change.format(sql.Identifier(name), named, shown))
    yield [one for one, _ in chosen]


def new(number: int, **options: Any) -> NewJob:
    values = {"task": "größe", "args": f'{{"n": {number}, "text": "Ж \\\\ é"}}', "queue": "q", **options}
    return NewJob(**values)


async def a_life(url: str, text: str = "Ж \\ é") -> None:
    """Everything that an application, a worker, the maintenance and people send, with what they read checked."""
    with closing(SyncClient(url)) as client, closing(WorkerRegistry(url)) as registry, Reader(url) as reader:
        ids = an_application(client, text)
        worker, queue = registry.register(queue="q", identity="höst:1", version="1", concurrency=2, lease=15.0)
        async with Store(url, lanes=1) as store:
            claimed = await store.jobs.claim(worker, queue, "q", 10, desk.token())
            assert [job.id for job in claimed] == ids[:2]
            assert (claimed[0].task, text.replace("\\", "\\\\") in claimed[0].args) == ("größe", True)
            assert 0 <= claimed[0].wait < 600
            held_claims = [(job.id, job.token) for job in claimed]
            renewed = registry.renew(
                worker, lease=15, claims=held_claims, in_flight={"q": 2}, done={}, drained=False, report='{"é": 1}'
            )
            assert renewed == ("running", [], [])
            await an_end(store, worker, claimed)
            await the_maintenance(store)
        people(client, reader, ids)
        registry.deregister(worker, empty=True)


def an_application(client: SyncClient, text: str) -> list[int]:
    """Four jobs of every sort, one refused for its size."""
    due = datetime.now(UTC).replace(microsecond=123456) + timedelta(days=40)
    body = text.replace("\\", "\\\\")
    mixed = [
        new(1, args=f'{{"text": "{body}"}}'),
        new(2, unique=UniqueKey(key="k")),
        new(3, delay=3600.0),
        new(4, at=due, headers='{"h": "\\u0001"}'),
    ]
    ids = client.enqueue(mixed)
    later = client.info(ids[3])
    assert later is not None
    assert later.due_at == due
    with pytest.raises(RejectedByDatabase, match="the limit is 262144"):
        client.enqueue([new(5, args='{"s": "' + '\\\\\\"' * 70_000 + '"}')])
    return ids


async def an_end(store: Store, worker: int, claimed: Sequence[ClaimedJob]) -> None:
    """One completed, one to be tried again at once."""
    first, second = claimed
    error = '{"type": "E", "message": "é"}'
    outcomes = [
        Finished(job=first, state=OutcomeState.COMPLETED, result='"é"', duration=0.123456789),
        Finished(job=second, state=OutcomeState.RETRY, delay=0.0, error=error, duration=0.1),
    ]
    assert await store.jobs.ack(worker, outcomes) == []


async def the_maintenance(store: Store) -> None:
    """All of it; numbers come back as they are."""
    promotion = await store.leadership.promote()
    assert promotion.promoted == 1
    assert promotion.next_due is None or 3000 < promotion.next_due < 3700
    led_for, left = await store.leadership.acquire("maintenance", "x", 15.5)
    assert led_for is not None
    assert 10 < left <= 15.5
    await store.leadership.rescue("x", 15.5, strays=True)
    await store.leadership.make_partitions()
    await store.leadership.drop_partitions()
    await store.leadership.prune_workers()
    await store.leadership.prune_queues()
    assert await store.leadership.start_marks() > (0, 0)
    [seen] = await store.queues.snapshot()
    assert (seen.ready, seen.deferred) == (1, 2)


def people(client: SyncClient, reader: Reader, ids: Sequence[int]) -> None:
    """What they list and look up."""
    done = client.info(ids[0])
    assert done is not None
    assert (done.state, done.result) == (JobState.COMPLETED, "é")
    assert {row.id for row in reader.jobs(JobFilter(states=frozenset(JobState), queue="q"))} == set(ids)
    assert [row.name for row in reader.queues()] == ["q"]
    shown = reader.job(ids[0])
    assert shown is not None
    assert shown.attempts[0]["duration"] == 0.123456789
    assert reader.why(ids[2])
    assert [row.identity for row in reader.workers()] == ["höst:1"]


@pytest.mark.parametrize("group", groups()[1:], ids=str)
async def test_a_jobs_life_is_the_same_under_other_values(group, pg_newest: Database):
    """Settings of which more than one value is bad for us."""
    with settings(pg_newest, *group.items()):
        await a_life(pg_newest.url)


async def test_a_jobs_life_is_the_same_under_all_settings_at_once(pg: Database):
    """Also a schema made there, its comparison, and a bulk by COPY; on every server."""
    with settings(pg, *groups()[0].items()) as chosen, pg.connect() as admin:
        admin.execute("DROP SCHEMA penstock CASCADE")
        migrate(pg.url, roles=True)
        assert schema_drift(pg.url) == []
        await a_life(pg.url)
        with closing(SyncClient(pg.url)) as client:
            assert len(set(client.enqueue([new(number) for number in range(1200)]))) == 1200
        with Diagnostics(pg.url, direct_url=pg.url) as checkup:
            found = checkup.settings()["settings"]
        assert {one.name for one in SETTINGS} & set(chosen) <= set(found)


async def test_every_session_of_ours_has_the_values_that_are_relied_on(pg: Database):
    """Set at its start, those too that do not differ then: a later reload of the configuration changes none."""
    query = "SELECT name, setting, source FROM pg_settings WHERE name = ANY (%s)"
    wanted = {one.name: one for one in SETTINGS}
    with settings(pg, *groups()[0].items()), connect(pg.url, name="x") as one:
        other = await connect_async(pg.url, name="y")
        async with other:
            rows = one.execute(query, [list(wanted)]).fetchall()
            assert rows == await (await other.execute(query, [list(wanted)])).fetchall()
    assert len(rows) >= len(wanted) - 2
    for name, value, source in rows:
        assert (source, re.search(wanted[name].accepted, value) is not None) == ("session", True), name


async def test_a_tasks_own_transaction_keeps_the_settings_of_its_login(pg_newest: Database):
    """Its SQL is the application's, which may rely on them."""
    with settings(pg_newest, ("DateStyle", "German, DMY"), ("search_path", "hostile, pg_catalog")):
        job = ClaimedJob(id=1, token=1, worker=1, attempt=1, max_attempts=1, crashes=0, queue="q", priority=1, task="t",
                         args="{}", headers=None, wait=0.0)  # fmt: skip
        with suppress(Fenced), JobTransaction(pg_newest.url, job, started=0.0) as connection:
            shown = connection.execute("SELECT current_setting('DateStyle'), current_setting('search_path')").fetchone()
    assert shown == ("German, DMY", "hostile, pg_catalog")


@pytest.mark.parametrize("group", groups(), ids=str)
def test_a_callers_own_connection_enqueues_under_its_settings_and_keeps_them(group, pg_newest: Database):
    """Its session stays the caller's; what cannot work there is refused with a sentence."""
    group = {**group, "client_encoding": "UTF8", "exit_on_error": "off"}
    names = [name for name in group if not name.startswith("plpgsql.")]
    with settings(pg_newest, *group.items()), App() as app, psycopg.connect(pg_newest.url) as connection:
        show = "SELECT name, setting FROM pg_settings WHERE name = ANY (%s) ORDER BY 1"
        before = connection.execute(show, [names]).fetchall()
        at = datetime(2030, 2, 1, tzinfo=UTC)
        assert len(app.enqueue_many([new(1, at=at)], connection=connection)) == 1
        jobs = [new(2, unique=UniqueKey(key="k")), new(3)]
        if "array_nulls" in group:
            with pytest.raises(RejectedByDatabase, match="SET array_nulls = on"), connection.transaction():
                app.enqueue_many(jobs, connection=connection)
        else:
            assert len(app.enqueue_many(jobs, connection=connection)) == 2
        assert connection.execute(show, [names]).fetchall() == before
        due = connection.execute("SELECT extract(epoch FROM min(due_at)) FROM penstock.job").fetchone()
        connection.commit()
    assert due is not None
    assert float(due[0]) == at.timestamp()


def test_a_callers_client_encoding_that_lacks_a_letter_is_named(pg_newest: Database):
    """Nothing was sent; the connection can be used."""
    with App() as app, psycopg.connect(pg_newest.url, client_encoding="latin1") as connection:
        with pytest.raises(RejectedByDatabase, match="SET client_encoding = 'UTF8'"):
            app.enqueue_many([new(1)], connection=connection)
        assert len(app.enqueue_many([new(1, args='{"é": 1}')], connection=connection)) == 1


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
