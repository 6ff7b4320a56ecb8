"""`penstock.contrib.django` in a real Django project, on a real server: its own tests, its commands, its workers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import pytest

from tests.support.postgres import Database, Servers

ROOT = Path(__file__).parents[2]
PROJECT = "tests.postgres.django_project"
PATIENCE = 540  # seconds, within the 600 of a test: a process takes about 3 s, many times that on a busy machine


def environment(database: Database, **ours: str) -> dict[str, str]:
    """Of a process of the project."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    name = urlsplit(database.url).path.lstrip("/")
    given = {"PROJECT_URL": database.url, "PROJECT_OTHER_NAME": f"{name}_other"}
    paths = {"PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": f"{PROJECT}.settings"}
    return {**kept, **paths, **given, **ours}


def manage(environ: dict[str, str], *arguments: str, code: int = 0) -> str:
    """Run `manage.py` until it exits; what it printed; a failure shows that, and so does a process that never ends."""
    command = [sys.executable, "-W", "error", "-m", "django", *arguments]
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environ, stdout=output, stderr=subprocess.STDOUT, timeout=PATIENCE, check=False
            )
        except subprocess.TimeoutExpired as expired:
            pytest.fail(f"{expired}; it printed:\n{printed(output)}")
        said = printed(output)
    assert done.returncode == code, said
    return said


def printed(output: IO[str]) -> str:
    """All that processes have written to the file."""
    output.seek(0)
    return output.read()


@pytest.fixture
def database(servers: Servers) -> Iterator[Database]:
    """A blank database for the project, and room for its second one and for those of its tests."""
    with servers.newest.database(migrated=False) as made:
        yield made
        name = urlsplit(made.url).path.lstrip("/")
        with made.connect() as db:
            for left in (f"{name}_other", f"test_{name}", f"test_{name}_other"):
                db.execute(f"DROP DATABASE IF EXISTS {left} WITH (FORCE)".encode())


@pytest.mark.parametrize("alias", ["default", "other"])
def test_the_project_passes_its_own_tests(database: Database, alias: str):
    """Transactions, TestCase, views, signals, commands and the Tasks backend, with the jobs in either database."""
    said = manage(
        environment(database, PROJECT_ALIAS=alias), "test", "--verbosity", "2", "--pattern", "check_*.py", PROJECT
    )
    assert "\nOK\n" in said, said
    assert re.search(r"^Ran [1-9][0-9]+ tests in ", said, re.MULTILINE), said
