"""Logins of careful administrators and managed services: what is enough, and the statement that gives what is not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from penstock.errors import MissingRights, SchemaMissing
from penstock.store import check_login_and_schema, check_rights, check_schema, migrate, schema_drift
from penstock.store.schema.migrate import migration_sql
from penstock.store.schema.roles import grants_sql
from tests.postgres.logins import Owned, grant, logins
from tests.support.postgres import Database

Admin = psycopg.Connection[Any]


@contextmanager
def login_of(database: Database, *, options: str = "") -> Iterator[tuple[str, str, Admin]]:
    """A login without rights: its name, its URL, and an administrator's connection."""
    with logins(database, "app", options=options) as [login], database.connect() as admin:
        yield login.partition(":")[0], Owned(database, login).url(login), admin


def _schema_of(admin: Admin, name: str) -> None:
    admin.execute(sql.SQL("CREATE SCHEMA penstock AUTHORIZATION {}").format(sql.Identifier(name)))


def test_a_schema_made_by_an_administrator_is_enough(pg_blank: Database):
    """No CREATE on the database, no CREATEROLE: the schema is made, is upgraded, and serves a worker's login."""
    with login_of(pg_blank) as (name, url, admin), logins(pg_blank, "worker") as [worker]:
        _schema_of(admin, name)
        admin.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(admin.info.dbname)))
        for one in (name, worker):
            grant(admin, "GRANT CONNECT ON DATABASE {} TO {}", admin.info.dbname, one)
        assert migrate(url).applied
        assert migrate(url).applied == []
        with psycopg.connect(url) as owner:
            owner.execute("UPDATE penstock.schema_function SET checksum = 'older'")
            owner.execute(grants_sql("worker", worker.partition(":")[0]).encode())
        assert migrate(url).functions
        check_login_and_schema(Owned(pg_blank, worker).url(worker))
        with pytest.raises(MissingRights, match=r'GRANT CREATE ON DATABASE "\w+" TO "\w+";') as raised:
            schema_drift(url)
        _run(admin, raised.value)
        assert schema_drift(url) == []


def test_the_printed_script_runs_in_such_a_schema_too(pg_blank: Database):
    """By whatever tool applies it."""
    with login_of(pg_blank) as (name, url, admin):
        _schema_of(admin, name)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(migration_sql().encode())
        assert check_schema(url)


def _nothing(admin: Admin, name: str) -> None:
    pass


def _anothers_schema(admin: Admin, name: str) -> None:
    admin.execute("CREATE SCHEMA penstock")


def _use_without_create(admin: Admin, name: str) -> None:
    admin.execute("CREATE SCHEMA penstock")
    grant(admin, "GRANT USAGE ON SCHEMA penstock TO {}", name)


def _anothers_tables(admin: Admin, name: str) -> None:
    admin.execute(migration_sql().encode())
    admin.execute("UPDATE penstock.schema_function SET checksum = 'older'")
    grant(admin, "GRANT ALL ON SCHEMA penstock TO {}", name)
    grant(admin, "GRANT ALL ON ALL TABLES IN SCHEMA penstock TO {}", name)


def _no_language(admin: Admin, name: str) -> None:
    _schema_of(admin, name)
    admin.execute("REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC")


def _no_tablespace(admin: Admin, name: str) -> None:
    _schema_of(admin, name)
    admin.execute("SET allow_in_place_tablespaces = on")
    admin.execute(sql.SQL("CREATE TABLESPACE {} LOCATION ''").format(sql.Identifier(f"{name}_fast")))
    grant(admin, "ALTER ROLE {} SET default_tablespace = {}", name, f"{name}_fast")


LACKING: tuple[tuple[Callable[[Admin, str], None], str], ...] = (
    (_nothing, 'CREATE SCHEMA penstock AUTHORIZATION "{}";'),
    (_anothers_schema, 'GRANT CREATE, USAGE ON SCHEMA penstock TO "{}";'),
    (_use_without_create, 'GRANT CREATE, USAGE ON SCHEMA penstock TO "{}";'),
    (_anothers_tables, 'GRANT "penstock" TO "{}";'),
    (_no_language, 'GRANT USAGE ON LANGUAGE plpgsql TO "{}";'),
    (_no_tablespace, 'GRANT CREATE ON TABLESPACE "{0}_fast" TO "{0}";'),
)


@pytest.mark.parametrize(("spoil", "statement"), LACKING, ids=lambda one: getattr(one, "__name__", ""))
def test_a_migration_that_lacks_a_right_names_the_statement_and_it_helps(spoil, statement, pg_newest: Database):
    """Exactly one; nothing was changed before, and afterwards it migrates."""
    with login_of(pg_newest) as (name, url, admin):
        admin.execute("DROP SCHEMA penstock CASCADE")
        spoil(admin, name)
        try:
            with pytest.raises(MissingRights) as raised:
                migrate(url)
            wanted = statement.format(name).replace('"penstock"', f'"{admin.info.user}"')
            assert wanted in str(raised.value)
            assert str(urlsplit(url).password) not in str(raised.value)
            if spoil is not _anothers_tables:
                with pytest.raises(SchemaMissing):
                    check_schema(pg_newest.url)
            admin.execute(wanted.encode())
            migrate(url)
        finally:
            admin.execute("DROP SCHEMA penstock CASCADE")
            admin.execute(sql.SQL("DROP TABLESPACE IF EXISTS {}").format(sql.Identifier(f"{name}_fast")))


def test_without_the_right_to_make_roles_the_statements_for_the_missing_ones_are_named(pg_newest: Database):
    """Run by an administrator, the migration grants to them; the roles belong to the whole server."""
    with login_of(pg_newest) as (name, url, admin):
        admin.execute("DROP SCHEMA penstock CASCADE")
        _schema_of(admin, name)
        have = {one for (one,) in admin.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'penstock\\_%'")}
        if "penstock_observer" not in have:
            with pytest.raises(MissingRights, match="CREATE ROLE penstock_observer NOLOGIN;") as raised:
                migrate(url, roles=True)
            _run(admin, raised.value)
        migrate(url, roles=True)
        with logins(pg_newest, "worker") as [worker]:
            grant(admin, "GRANT penstock_worker TO {}", worker)
            check_rights(Owned(pg_newest, worker).url(worker), "worker")


def test_roles_that_cannot_be_let_into_anothers_schema_are_named_with_the_statement(pg_newest: Database):
    """The server only warns of a grant by somebody who may not grant."""
    with login_of(pg_newest, options="CREATEROLE") as (name, url, admin):
        admin.execute("DROP SCHEMA penstock CASCADE")
        admin.execute("CREATE SCHEMA penstock")
        grant(admin, "GRANT CREATE, USAGE ON SCHEMA penstock TO {}", name)
        with pytest.raises(MissingRights, match=r"GRANT USAGE ON SCHEMA penstock TO penstock_\w+, ") as raised:
            migrate(url, roles=True)
        statement = re.search(r"GRANT USAGE ON SCHEMA penstock TO [\w, ]+;", str(raised.value))
        assert statement is not None
        for role in re.findall(r"penstock_\w+", statement[0]):  # undone with the transaction that made them
            admin.execute(f"DO $$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object THEN END $$".encode())
        admin.execute(statement[0].encode())
        migrate(url, roles=True)


def _run(admin: Admin, error: Exception) -> None:
    """The statement in the message, for an administrator."""
    for statement in re.findall(r"(?:GRANT|CREATE ROLE) [^;]*;", str(error)):
        admin.execute(statement.encode())
