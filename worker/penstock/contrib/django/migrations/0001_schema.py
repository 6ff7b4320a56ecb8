"""Installs the schema `penstock` in the database of the settings. Irreversible: dropping it would lose jobs.

To remove Penstock from a database: DROP SCHEMA penstock CASCADE, then `manage.py migrate --fake penstock zero`.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations

from penstock.contrib.django.schema import install, wanted


class InstallSchema(migrations.RunPython):
    """Without a reverse."""

    def __init__(self) -> None:
        super().__init__(_install)

    def describe(self) -> str:
        """For `migrate --plan`."""
        return "Install the schema penstock"

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """Without arguments."""
        return self.__class__.__qualname__, [], {}


def _install(_apps: Any, schema_editor: Any) -> None:
    if wanted(schema_editor.connection):
        install(schema_editor.connection)


class Migration(migrations.Migration):
    """The first and only one."""

    initial = True
    operations = (InstallSchema(),)
