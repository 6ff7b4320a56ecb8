"""Which right a login lacks that may not migrate, and the one statement that gives it. Reads the catalog only.

Managed services and careful administrators hand out logins that may create nothing in the database; a schema of their
own (`CREATE SCHEMA penstock AUTHORIZATION app`) is all that a migration needs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg

from ..quoting import quoted
from ..sql_files import statement


class Found(NamedTuple):
    """What the catalog says. `may_create`: in the schema, or in the database if there is no schema."""

    login: str
    database: str
    schema: bool
    may_create: bool
    stranger: str | None
    """An owner of something in the schema, whose rights the login does not have."""
    language: bool
    tablespace: str | None
    """The default tablespace, if the login may not use it."""


def find(connection: psycopg.Connection[Any]) -> Found:
    """Ask the catalog. Raises psycopg.Error."""
    row = connection.execute(statement("migration_rights")).fetchone()
    assert row is not None
    return Found(*row)


def remedy(found: Found) -> str:
    """What to do, with the statement; a general advice where the catalog shows nothing that is missing."""
    login = quoted(found.login)
    if found.stranger is not None:
        owner = quoted(found.stranger)
        return f"run it as the schema's owner {owner}, or let an administrator run: GRANT {owner} TO {login};"
    if not found.schema and not found.may_create:
        return f"let an administrator run: CREATE SCHEMA penstock AUTHORIZATION {login};"
    if not found.may_create:
        return f"let the schema's owner run: GRANT CREATE, USAGE ON SCHEMA penstock TO {login};"
    if not found.language:
        return f"let an administrator run: GRANT USAGE ON LANGUAGE plpgsql TO {login};"
    if found.tablespace is not None:
        return f"let an administrator run: GRANT CREATE ON TABLESPACE {quoted(found.tablespace)} TO {login};"
    return "run it as the schema's owner, or let an administrator run what `penstock migrate --sql` prints"


def message(found: Found, said: str) -> str:
    """The sentence for a migration that was refused; `said` are the server's words."""
    return f"migrate: login {quoted(found.login)} may not change the schema penstock; {remedy(found)} ({said})"


def missing_roles(connection: psycopg.Connection[Any], roles: list[str]) -> str:
    """The statements that make the roles that are not there. Raises psycopg.Error."""
    have = {name for (name,) in connection.execute(b"SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", (roles,))}
    return " ".join(f"CREATE ROLE {role} NOLOGIN;" for role in roles if role not in have)
