"""`manage.py penstock COMMAND`: the command line `penstock`, with the project's App and database.

The database comes from DATABASES, unless PENSTOCK_DATABASE_URL is set; `--database ALIAS` before the command chooses
another alias. Everything else is the command's own: `manage.py penstock worker --help`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from penstock.cli import main
from penstock.contrib.django.database_url import variables
from penstock.errors import ConfigurationError

APP = "penstock.contrib.django.worker:app"


class Command(BaseCommand):
    """Passes its arguments on."""

    help = "Run a command of penstock (worker, migrate, doctor, dev, jobs, ...) for this project."

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._owns_process = False

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options before the command."""
        parser.add_argument("--database", help="Alias of DATABASES; default: DATABASE of the setting PENSTOCK.")
        parser.add_argument("arguments", nargs=argparse.REMAINDER, help="The command and its options.")

    def run_from_argv(self, argv: Sequence[str]) -> None:
        """Run as the main function of the process: the command owns its signals."""
        self._owns_process = True
        super().run_from_argv(list(argv))

    def handle(self, *_args: str, arguments: Sequence[str], database: str | None = None, **_given: Any) -> None:
        """Run the command.

        Raises:
            CommandError: the database cannot be found in the settings.
            SystemExit: the command's exit code, unless it is 0.
        """
        try:
            found = variables(alias=database)
        except ConfigurationError as error:
            raise CommandError(str(error)) from error
        given = without_djangos_options(arguments)
        before = {name: os.environ.get(name) for name in (*found, "PENSTOCK_APP")}
        os.environ.update(found)
        os.environ.setdefault("PENSTOCK_APP", APP)
        try:
            _run(given, owns_process=self._owns_process)
        finally:
            for name, value in before.items():
                _restore(name, value)


def without_djangos_options(arguments: Sequence[str]) -> list[str]:
    """The arguments without --settings and --pythonpath, which Django has read wherever they stand."""
    left: list[str] = []
    skip = False
    for one in arguments:
        if skip:
            skip = False
        elif one in {"--settings", "--pythonpath"}:
            skip = True
        elif not one.startswith(("--settings=", "--pythonpath=")):
            left.append(one)
    return left


def _run(arguments: list[str], *, owns_process: bool) -> None:
    argv = sys.argv
    try:
        if owns_process:
            sys.argv = ["penstock", *arguments]
        main(None if owns_process else arguments)
    except SystemExit as leaving:
        if leaving.code:
            raise
    finally:
        sys.argv = argv


def _restore(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
