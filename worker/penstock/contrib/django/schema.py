"""Installs the store's schema through Django's connection: by the migration, and after every `manage.py migrate`.

The migration makes the schema part of a project, of its test databases too. A later release brings no migration of its
own: `after_migrate` upgrades, because Django knows neither the store's versions nor the checksum of its functions. Must
not run against another database than the one of the settings.
"""

from __future__ import annotations

from typing import Any

from django.core import mail
from django.db import transaction

from penstock.store import check_schema_on, delete_jobs_on, migrate_on

from .config import config


def install(connection: Any) -> None:
    """Bring the schema up to date inside the transaction that is open; nothing if it is.

    Raises:
        StoreError: as `penstock.store.migrate_on`.
    """
    migrate_on(connection.connection)


def verify_schema(connection: Any) -> None:
    """Raise SchemaMissing or SchemaMismatch unless this release can work with the schema."""
    connection.ensure_connection()
    check_schema_on(connection.connection)


def wanted(connection: Any) -> bool:
    """Return True if `manage.py migrate` owns the schema of this database."""
    return bool(connection.alias == config().database and config().migrate_schema and connection.vendor == "postgresql")


def after_migrate(*, using: str, **given: Any) -> None:
    """Upgrade the schema. After `flush` in a test, also delete the jobs that the test left.

    Django sends `post_migrate` after a flush too, without a plan, for apps to return to the state of a new database.
    """
    from django.db import connections  # noqa: PLC0415

    connection: Any = connections[using]
    if not wanted(connection):
        return
    with transaction.atomic(using=using):
        if "plan" not in given and in_test():
            delete_jobs_on(connection.connection)
        else:
            install(connection)


def in_test() -> bool:
    """Return True if `setup_test_environment` is in force: it makes the outbox of mail."""
    return hasattr(mail, "outbox")
