"""Finds the right that a login lacks for a migration, and the statement that grants it. Reads only the catalog.

Managed services and careful administrators provide logins that may create nothing in the database. A schema of their
own (`CREATE SCHEMA penstock AUTHORIZATION app`) is all that a migration needs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg

from ..quoting import quoted
from ..sql_files import statement


class GrantState(NamedTuple):
    """Facts of the catalog. `may_create`: in the schema, or in the database if there is no schema."""

    login: str
    database: str
    schema: bool
    may_create: bool
    stranger: str | None
    """An owner of something in the schema, whose rights the login does not have."""
    language: bool
    tablespace: str | None
    """The default tablespace, if the login may not use it."""


def find(connection: psycopg.Connection[Any]) -> GrantState:
    """Read the catalog. Raises psycopg.Error."""
    row = connection.execute(statement("migration_rights")).fetchone()
    assert row is not None
    return GrantState(*row)


def migration_remedy(found: GrantState) -> str:
    """The remedy, with the statement; general advice if the catalog shows nothing missing."""
    login = quoted(found.login)
    if found.stranger is not None:
        owner = quoted(found.stranger)
        return f"run it as the schema's owner {owner}, or as an administrator run: GRANT {owner} TO {login};"
    if not found.schema and not found.may_create:
        return f"as an administrator run: CREATE SCHEMA penstock AUTHORIZATION {login};"
    if not found.may_create:
        return f"as the schema's owner run: GRANT CREATE, USAGE ON SCHEMA penstock TO {login};"
    if not found.language:
        return f"as an administrator run: GRANT USAGE ON LANGUAGE plpgsql TO {login};"
    if found.tablespace is not None:
        return f"as an administrator run: GRANT CREATE ON TABLESPACE {quoted(found.tablespace)} TO {login};"
    return "run it as the schema's owner, or as an administrator run what `penstock migrate --sql` prints"


def message(found: GrantState, server_message: str) -> str:
    """The message for a migration that was refused."""
    refused = f"migrate: login {quoted(found.login)} may not change the schema penstock"
    return f"{refused}; {migration_remedy(found)} ({server_message})"


def missing_roles(connection: psycopg.Connection[Any], roles: list[str]) -> str:
    """The statements that create the missing roles. Raises psycopg.Error."""
    have = {name for (name,) in connection.execute(b"SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", (roles,))}
    return " ".join(f"CREATE ROLE {role} NOLOGIN;" for role in roles if role not in have)
