"""Databases as they are found: settings of the server, the database or the role that change what is sent or read.

Each is one member of a kind; a job's whole life must be the same with all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from penstock import App
from penstock.errors import Fenced, RejectedByDatabase
from penstock.job import ClaimedJob, UniqueKey
from penstock.store import SyncClient, migrate, schema_drift
from penstock.store.connect import connect, connect_async
from penstock.store.inspect.diagnostics import Diagnostics
from penstock.store.session_settings import SETTINGS
from penstock.store.transaction import JobTransaction
from tests.postgres.connections.whole_life import a_life, new
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
        job = ClaimedJob(
            id=1,
            token=1,
            worker=1,
            attempt=1,
            max_attempts=1,
            crashes=0,
            queue="q",
            priority=1,
            task="t",
            args="{}",
            headers=None,
            wait=0.0,
        )
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
