"""System checks: the setting PENSTOCK, the databases that it names, and (with `check --database`) the schema there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Warning  # noqa: A004 - Django's name for it
from django.db import DatabaseError, connections

from penstock.errors import SchemaMismatch, SchemaMissing

from .config import config, read_config
from .schema import verify_schema


def check_settings(**_given: Any) -> list[CheckMessage]:
    """E001: a key or value of PENSTOCK breaks a rule."""
    return [Error(problem, id="penstock.E001") for problem in read_config()[1]]


def check_databases(**_given: Any) -> list[CheckMessage]:
    """E002 to E004: an alias that is not there, another database than PostgreSQL, another driver than psycopg 3."""
    return list(_of_databases())


def _of_databases() -> Iterator[CheckMessage]:
    given = {"DATABASE": config().database, "DIRECT_DATABASE": config().direct_database}
    for key, alias in given.items():
        if alias is None:
            continue
        setting = f"PENSTOCK[{key!r}]"
        if alias not in connections:
            aliases = ", ".join(connections)
            yield Error(f"{setting}: DATABASES has no alias {alias!r}; it has {aliases}", id="penstock.E002")
        elif connections[alias].vendor != "postgresql":
            yield Error(
                f"{setting}: database {alias!r} must use django.db.backends.postgresql, got "
                f"{connections[alias].settings_dict['ENGINE']}",
                hint="Point DATABASE of PENSTOCK at a PostgreSQL database.",
                id="penstock.E003",
            )
        elif not _uses_psycopg3():
            yield Error(
                f"{setting}: database {alias!r} uses psycopg2, and Penstock needs psycopg 3",
                hint="Install psycopg[binary]; Django prefers it to psycopg2.",
                id="penstock.E004",
            )


def _uses_psycopg3() -> bool:
    from django.db.backends.postgresql.psycopg_any import is_psycopg3  # noqa: PLC0415 - it needs a driver

    return bool(is_psycopg3)


def check_schema_version(*, databases: Sequence[str] | None = None, **_given: Any) -> list[CheckMessage]:
    """W001: the database has no schema, or an older one than this release needs. With `check --database` only."""
    alias = config().database
    if alias not in (databases or ()) or list(_of_databases()):
        return []
    try:
        verify_schema(connections[alias])
    except (SchemaMissing, SchemaMismatch) as error:
        return [Warning(str(error), hint=f"Run manage.py migrate --database {alias}.", id="penstock.W001")]
    except DatabaseError as error:
        return [Warning(f"the schema of database {alias!r} cannot be read: {error}", id="penstock.W002")]
    return []
