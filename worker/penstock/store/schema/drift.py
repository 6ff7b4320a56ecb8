"""Compares the schema with the one that the migrations make: catalog against catalog, in a transaction that rolls back.

The expected schema is built by the same files on the same server, under another name: there is no committed copy to go
stale, and no difference between major versions. Takes no lock on a table of the real one.
"""

from __future__ import annotations

import re
from typing import Any, Final

import psycopg

from penstock.errors import MissingRights, SchemaMismatch, SchemaMissing

from ..connect import connect
from ..errors import mapped
from ..quoting import quoted
from ..sql_files import files, statement
from .migrate import LOCK_KEY, LOCK_TIMEOUT_SECONDS, applied, compare
from .roles import seal_sql

_TWIN: Final = "penstock_twin"
_OURS: Final = re.compile(r"\bpenstock\b")
"""The schema's name as a word: channels and roles continue with an underscore."""
_MAX_CHARACTERS: Final = 80
"""Characters of a definition that a message quotes; of a longer one it says only that it differs."""

Catalog = dict[str, str]
"""Definitions by kind and name."""


def schema_drift(url: str) -> list[str]:
    """Manual changes: missing, unknown and different objects of the schema, sorted; empty if there are none.

    Partitions of outcome are left out. The functions must be this release's, as after `penstock migrate`.

    Args:
        url: of a login that may create a schema; never printed.

    Raises:
        SchemaMissing, SchemaMismatch, MigrationFailed: there is nothing to compare: run `penstock migrate`.
        MissingRights: the login lacks a right; the message has the statement that grants it.
    """
    with (
        connect(url, name="penstock check") as connection,
        mapped("check the schema"),
        connection.transaction(force_rollback=True),
    ):
        return _differences(connection)


def _differences(connection: psycopg.Connection[Any]) -> list[str]:
    connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'".encode())
    connection.execute(b"SET LOCAL search_path = pg_catalog")  # definitions then name every schema except this one
    have = applied(connection)
    if not have:
        raise SchemaMissing("schema penstock: not in this database; run `penstock migrate`")
    if missing := compare(have, files("migrations")):
        raise SchemaMismatch(f"schema penstock: {missing[0].name} is not applied; run `penstock migrate`")
    real = _catalog(connection, "penstock")
    try:
        _build_twin(connection)
    except psycopg.errors.InsufficientPrivilege as error:
        login, database = quoted(connection.info.user), quoted(connection.info.dbname)
        raise MissingRights(
            f"check the schema: login {login} lacks a right: it may not build the schema to compare with; for the "
            f"time of the check as an administrator run: GRANT CREATE ON DATABASE {database} TO {login};"
        ) from error
    return _compare(real, _catalog(connection, _TWIN))


def _build_twin(connection: psycopg.Connection[Any]) -> None:
    connection.execute(b"SET LOCAL check_function_bodies = off")
    connection.execute(b"SELECT pg_advisory_xact_lock(%s)", (LOCK_KEY,))
    for text in [*(f.text for f in files("migrations")), *(f.text for f in files("functions")), seal_sql()]:
        connection.execute(_OURS.sub(_TWIN, text).encode())


def _catalog(connection: psycopg.Connection[Any], schema: str) -> Catalog:
    rows = connection.execute(statement("catalog"), (schema, schema)).fetchall()
    return {f"{kind} {name}".replace(_TWIN, "penstock"): text.replace(_TWIN, "penstock") for kind, name, text in rows}


def _compare(real: Catalog, expected: Catalog) -> list[str]:
    found = [f"{name}: missing" for name in expected.keys() - real.keys()]
    found += [f"{name}: not known to this release" for name in real.keys() - expected.keys()]
    for name in real.keys() & expected.keys():
        if real[name] != expected[name]:
            short = max(len(real[name]), len(expected[name])) <= _MAX_CHARACTERS
            found.append(f"{name}: is {real[name]}, must be {expected[name]}" if short else f"{name}: differs")
    return sorted(found)
