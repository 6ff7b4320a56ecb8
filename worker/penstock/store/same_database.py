"""Checks that two URLs lead to one database. A direct URL serves only LISTEN: a wrong one causes no error."""

from __future__ import annotations

from penstock.errors import MissingRights, StoreError, WrongDatabase

from .connect import connect
from .errors import mapped
from .quoting import quoted
from .sql_files import statement


def check_same_database(url: str, direct_url: str) -> None:
    """Compare the databases of both URLs; a direct URL that does not connect is ignored.

    Raises:
        WrongDatabase: they differ: no wake-up would ever arrive.
        StoreError: as `connect`, for the first one.
    """
    found = _identity(url)
    try:
        direct = _identity(direct_url)
    except StoreError:
        return  # the queue is polled then, and the condition Listening is False
    if found != direct:
        raise WrongDatabase(
            "the direct URL and the URL lead to different databases; compare their hosts and database names"
        )


def _identity(url: str) -> tuple[object, ...] | None:
    with connect(url, name="penstock check", pooled=True) as connection:
        try:
            with mapped("identity"):
                return connection.execute(statement("same_database")).fetchone()
        except MissingRights as error:
            run = f"GRANT EXECUTE ON FUNCTION pg_catalog.pg_control_system() TO {quoted(connection.info.user)};"
            raise MissingRights(f"identity: the login lacks a right; as an administrator run: {run}") from error
