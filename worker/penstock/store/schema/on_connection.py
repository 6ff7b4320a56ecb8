"""The schema through the caller's connection of psycopg: installed, checked, or emptied inside its transaction.

For frameworks whose own migrations install it. The caller has a transaction open and commits; an error has aborted it.
There is one attempt for each lock, because the locks of the caller's transaction stay until it ends.
"""

from __future__ import annotations

from typing import Any

import psycopg

from penstock.errors import MigrationFailed, StoreError

from ..errors import mapped
from ..sql_files import files, statement
from .migrate import LOCK_TIMEOUT_SECONDS, applied, check_versions, compare, current_checksum, migrate_in_transaction


def migrate_on(connection: psycopg.Connection[Any]) -> None:
    """Bring the schema up to date; changes nothing, and needs no rights of the owner, if it is.

    Raises:
        MigrationFailed: another session locks a table of the schema, or an applied migration has another text.
        SchemaMismatch: the schema is newer than this release.
        MissingRights, StoreError: the database refused.
    """
    try:
        with mapped("migrate"):
            if not _is_current(connection):
                migrate_in_transaction(connection, lock_timeout=LOCK_TIMEOUT_SECONDS)
    except StoreError as error:
        if isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
            raise MigrationFailed(
                f"migrate: another session locked a table of the schema penstock for {LOCK_TIMEOUT_SECONDS} s; nothing "
                "was changed; migrate again"
            ) from error
        raise


def _is_current(connection: psycopg.Connection[Any]) -> bool:
    have = applied(connection)
    if not have or compare(have, files("migrations")):
        return False
    row = connection.execute(b"SELECT checksum FROM penstock.schema_function").fetchone()
    return row == (current_checksum(),)


def check_schema_on(connection: psycopg.Connection[Any]) -> int:
    """The version of the schema, if this release can work with it. Raises as `check_schema`."""
    with mapped("check the schema"):
        return check_versions(applied(connection))


def delete_jobs_on(connection: psycopg.Connection[Any]) -> None:
    """Delete all jobs, live and ended, for tests. Needs the rights of the owner."""
    with mapped("delete the jobs of a test"):
        connection.execute(statement("delete_jobs"))
