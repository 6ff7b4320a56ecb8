"""The Django app: imports the project's tasks, registers system checks, and keeps the schema up to date."""

from __future__ import annotations

import importlib

from django.apps import AppConfig
from django.core import checks
from django.db.models.signals import post_migrate
from django.utils.module_loading import autodiscover_modules


class PenstockConfig(AppConfig):
    """`"penstock.contrib.django"` in INSTALLED_APPS."""

    name = "penstock.contrib.django"
    label = "penstock"
    verbose_name = "Penstock"

    def ready(self) -> None:
        """Called by Django when all apps and models are loaded."""
        from . import checks as ours  # noqa: PLC0415 - models must not be needed before this
        from .config import config  # noqa: PLC0415
        from .schema import after_migrate  # noqa: PLC0415

        checks.register(ours.check_settings, "penstock")
        checks.register(ours.check_databases, "penstock")
        checks.register(ours.check_schema_version, checks.Tags.database)
        post_migrate.connect(after_migrate, sender=self, dispatch_uid="penstock.schema")
        autodiscover_modules(config().tasks_module)
        for module in config().include:
            importlib.import_module(module)
