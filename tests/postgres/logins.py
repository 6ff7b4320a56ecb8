"""Logins with few rights for the tests of roles, and a database whose schema such a login owns."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from penstock.store import migrate
from tests.support.postgres import Database


@dataclass(frozen=True)
class Owned:
    """A database whose schema an ordinary login owns, and logins for it."""

    database: Database
    owner: str

    def url(self, login: str) -> str:
        parts = urlsplit(self.database.url)
        return urlunsplit(parts._replace(netloc=f"{login}@{parts.hostname}:{parts.port}"))


@contextmanager
def logins(database: Database, *suffixes: str, options: str = "") -> Iterator[list[str]]:
    """Logins of this test's own as user:password; dropped with all that they own."""
    names = [f"penstock_test_{os.getpid()}_{suffix}" for suffix in suffixes]
    passwords = [secrets.token_hex(8) for _ in names]
    with database.connect() as admin:
        for name, password in zip(names, passwords, strict=True):
            admin.execute(
                sql.SQL("CREATE ROLE {} LOGIN " + options + " PASSWORD {}").format(sql.Identifier(name), password)
            )
        try:
            yield [f"{name}:{password}" for name, password in zip(names, passwords, strict=True)]
        finally:
            for name in names:
                admin.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(name)))
                admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@contextmanager
def owned_by_a_login(pg_blank: Database) -> Iterator[Owned]:
    """Migrated with `roles=True` by a login that may create roles and schemas, and is no superuser."""
    with logins(pg_blank, "owner", options="CREATEROLE") as [owner]:
        found = Owned(pg_blank, owner)
        with pg_blank.connect() as admin:
            grant(admin, "GRANT CREATE ON DATABASE {} TO {}", urlsplit(pg_blank.url).path[1:], owner)
        migrate(found.url(owner), roles=True)
        yield found


def grant(admin: psycopg.Connection[Any], statement: str, *names: str) -> None:
    admin.execute(sql.SQL(statement).format(*(sql.Identifier(name.partition(":")[0]) for name in names)))


@contextmanager
def member(owned: Owned, role: str) -> Iterator[str]:
    """URL of a login that has one role."""
    with logins(owned.database, role) as [login]:
        with owned.database.connect() as admin:
            grant(admin, "GRANT {} TO {}", f"penstock_{role}", login)
        yield owned.url(login)
