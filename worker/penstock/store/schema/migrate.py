"""Migrations: numbered, forward-only, verified by checksum; functions are replaced whenever their text differs.

Everything happens in one transaction under an advisory lock: two runners take turns, and an interrupted run leaves
nothing. A table lock that is not granted within two seconds is requested again, up to ten times, because other
sessions queue for as long as it is requested.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import psycopg

from penstock.database.source import Url
from penstock.errors import MigrationFailed, MissingRights, SchemaMismatch, SchemaMissing, StoreError

from ..connect import connect
from ..errors import mapped
from ..sql_files import SqlFile, files, retired, statement
from .migration_rights import find, message
from .roles import create_and_grant, grant_again, roles_sql, seal_sql

LOCK_KEY = 0x70656E73746F636B
"""The advisory lock of migrations: the bytes of 'penstock'."""
LOCK_TIMEOUT_SECONDS = 2
ATTEMPTS = 10
PAUSE_SECONDS = 0.2
"""Seconds before the second attempt; the n-th pause is n times as long."""
PARTITION_DAYS = 14


class Migrated(NamedTuple):
    """The result of a run: versions applied now, the version reached, whether functions were replaced."""

    applied: list[int]
    version: int
    functions: bool


def _version(file: SqlFile) -> int:
    return int(file.name.split("_", 1)[0])


def _functions_checksum(functions: list[SqlFile]) -> str:
    """Of the functions, of those that are dropped, and of the grants: all are installed together."""
    text = "".join(f.name + f.checksum for f in functions) + retired() + seal_sql() + roles_sql()
    return hashlib.sha256(text.encode()).hexdigest()


def current_checksum() -> str:
    """The checksum of this release's functions, as `schema_function` stores it."""
    return _functions_checksum(files("functions"))


def latest_version() -> int:
    """The schema version that this release works with."""
    return _version(files("migrations")[-1])


def applied(connection: psycopg.Connection[Any]) -> dict[int, str]:
    """Checksums of the applied migrations, by version; empty without the schema."""
    if connection.execute(b"SELECT to_regclass('penstock.schema_version')").fetchone() == (None,):
        return {}
    return {version: checksum for version, _, checksum in connection.execute(statement("schema_applied"))}


def compare(have: dict[int, str], known: list[SqlFile]) -> list[SqlFile]:
    """The migrations still to apply.

    Raises:
        SchemaMismatch: the database has a version that this release does not know.
        MigrationFailed: the text of an applied migration has changed.
    """
    newest = _version(known[-1])
    if have and max(have) > newest:
        raise SchemaMismatch(
            f"schema penstock: version {max(have)} is newer than this release knows ({newest}); upgrade Penstock"
        )
    for file in known:
        if have.get(_version(file), file.checksum) != file.checksum:
            raise MigrationFailed(
                f"migration {file.name}: its text differs from the one that was applied to this database"
            )
    return [file for file in known if _version(file) not in have]


def migrate(
    url: str,
    *,
    roles: bool = False,
    lock_timeout: float = LOCK_TIMEOUT_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
) -> Migrated:
    """Bring the schema up to date; idempotent, and safe when several processes run it at once.

    Args:
        url: of a login that may create the schema, or in one that is there; never printed.
        roles: create the missing group roles, and grant. Without it only roles that are in use are granted again.
        lock_timeout: seconds that one attempt waits for a lock.
        sleep: waits between attempts, seconds.

    Raises:
        MissingRights: the login lacks a right; the message has the statement that grants it, nothing was changed.
        DatabaseUnavailable, InvalidDatabaseURL, ReadOnlyServer: nothing was changed.
        SchemaMismatch, MigrationFailed: the database is not what this release expects; nothing was changed.
    """
    with connect(url, name="penstock migrate") as connection:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with mapped("migrate"), connection.transaction():
                    return migrate_in_transaction(connection, roles=roles, lock_timeout=lock_timeout)
            except MissingRights as error:
                if not isinstance(error.__cause__, psycopg.Error):  # its message already has the statement
                    raise
                with mapped("migrate"):
                    raise MissingRights(message(find(connection), _server_message(error))) from error
            except StoreError as error:
                if not isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
                    raise
                if attempt == ATTEMPTS:
                    raise MigrationFailed(_busy(connection, lock_timeout)) from error
                sleep(PAUSE_SECONDS * attempt)
    raise AssertionError("unreachable")


def _server_message(error: StoreError) -> str:
    return str(error.__cause__).strip().partition("\n")[0]


def _busy(connection: psycopg.Connection[Any], lock_timeout: float) -> str:
    holders = [f"pid {pid} ({name})" for pid, name in connection.execute(statement("holders"))]
    return (
        f"migrate: a table of the schema penstock was locked in {ATTEMPTS} attempts of {lock_timeout:g} s; oldest "
        f"transactions that lock one: {', '.join(holders) or 'none any more'}; nothing was changed"
    )


def migrate_in_transaction(
    connection: psycopg.Connection[Any], *, roles: bool = False, lock_timeout: float
) -> Migrated:
    """One attempt of `migrate`, inside the transaction that is open. Raises the driver's errors."""
    connection.execute(f"SET LOCAL lock_timeout = {round(lock_timeout * 1000)}".encode())
    done = _run(connection)
    if roles:
        create_and_grant(connection)
    elif done.functions or done.applied:
        grant_again(connection)
    return done


def _run(connection: psycopg.Connection[Any]) -> Migrated:
    known, functions = files("migrations"), files("functions")
    connection.execute(b"SET LOCAL check_function_bodies = off")  # functions call each other in any order
    connection.execute(b"SET LOCAL default_table_access_method = 'heap'")
    connection.execute(b"SELECT pg_advisory_xact_lock(%s)", (LOCK_KEY,))
    todo = compare(applied(connection), known)
    made = connection.execute(b"SELECT to_regnamespace('penstock') IS NOT NULL").fetchone() == (True,)
    for file in todo:
        # IF NOT EXISTS needs CREATE on the database even if there is nothing to create
        connection.execute((file.text.replace(_CREATE_SCHEMA, "") if made else file.text).encode())
        connection.execute(
            b"INSERT INTO penstock.schema_version (version, name, checksum) VALUES (%s, %s, %s)",
            (_version(file), file.name, file.checksum),
        )
    checksum = _functions_checksum(functions)
    row = connection.execute(b"SELECT checksum FROM penstock.schema_function").fetchone()
    replaced = row != (checksum,)
    if replaced:
        _replace_functions(connection, functions, checksum)
    connection.execute(b"SELECT penstock.make_partitions(%s)", (PARTITION_DAYS,))
    for part in ("sequences", "marks"):  # a copy by logical replication has rows and no sequences
        connection.execute(b"SELECT penstock.audit(%s)", (part,))
    return Migrated([_version(f) for f in todo], _version(known[-1]), replaced)


_CREATE_SCHEMA = "CREATE SCHEMA IF NOT EXISTS penstock;"
_CREATE_SCHEMA_IF_MISSING = """DO $$ BEGIN
  IF to_regnamespace('penstock') IS NULL THEN CREATE SCHEMA penstock; END IF;
END $$;"""
_RECORD_VERSION = "INSERT INTO penstock.schema_version (version, name, checksum) VALUES {values};"
_RECORD_FUNCTIONS = """INSERT INTO penstock.schema_function (checksum) VALUES ('{checksum}')
ON CONFLICT (one) DO UPDATE SET checksum = excluded.checksum, applied_at = clock_timestamp()"""


def _replace_functions(connection: psycopg.Connection[Any], functions: list[SqlFile], checksum: str) -> None:
    for function in functions:
        connection.execute(function.text.encode())
    connection.execute(retired().encode())
    connection.execute(seal_sql().encode())
    connection.execute(_RECORD_FUNCTIONS.format(checksum=checksum).encode())


_SETTINGS = (
    "SET LOCAL check_function_bodies = off;",
    "SET LOCAL default_table_access_method = 'heap';",
    "SET LOCAL standard_conforming_strings = on;",
    "SET LOCAL search_path = pg_catalog, pg_temp;",
)


def migration_sql(*, roles: bool = False) -> str:
    """The whole schema as a script for psql, for migration tools and an empty database.

    Args:
        roles: with the group roles and their grants.
    """
    parts = ["BEGIN;", *_SETTINGS, f"SELECT pg_advisory_xact_lock({LOCK_KEY});"]
    for file in files("migrations"):
        values = f"({_version(file)}, '{file.name}', '{file.checksum}')"
        parts += [
            file.text.strip().replace(_CREATE_SCHEMA, _CREATE_SCHEMA_IF_MISSING),
            _RECORD_VERSION.format(values=values),
        ]
    functions = files("functions")
    parts += [f.text.strip().removesuffix(";") + ";" for f in functions]
    parts += [seal_sql() + ";", _RECORD_FUNCTIONS.format(checksum=_functions_checksum(functions)) + ";"]
    parts += [f"SELECT penstock.make_partitions({PARTITION_DAYS});", *([roles_sql()] if roles else []), "COMMIT;"]
    return "\n\n".join(parts) + "\n"


def check_schema(url: Url) -> int:
    """The version of the database's schema, if this release can work with it.

    A newer schema is accepted: migrations are additive, and old workers keep running during an upgrade.

    Raises:
        SchemaMissing: there is no schema.
        SchemaMismatch: it is older than this release needs.
        DatabaseUnavailable, InvalidDatabaseURL: as `connect`.
    """
    with connect(url, name="penstock check") as connection, mapped("check the schema"):
        have = applied(connection)
    return check_versions(have)


def check_versions(have: dict[int, str]) -> int:
    """The newest of the applied versions, if this release can work with it. Raises SchemaMissing, SchemaMismatch."""
    if not have:
        raise SchemaMissing("schema penstock: not in this database; run `penstock migrate`")
    if max(have) < latest_version():
        message = (
            f"version {max(have)} is older than {latest_version()}, which this release needs; run `penstock migrate`"
        )
        raise SchemaMismatch(f"schema penstock: {message}")
    return max(have)
