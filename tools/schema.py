"""The migrated schema as one file, `docs/reference/schema.sql`: what a reviewer reads, and no migration changes unseen.

Made by pg_dump from a real server of one major version, because another one writes the same schema differently. Left
out: the bodies of the functions, which are files of their own (worker/penstock/store/functions/), and the partitions,
whose names are dates.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Final

import psycopg

from penstock.dev.postgres.install import wheel_installations
from penstock.dev.postgres.server import EmbeddedPostgres
from penstock.store import migrate

if TYPE_CHECKING:
    from pathlib import Path

MAJOR: Final = 18
HEADER: Final = """\
-- The schema after `penstock migrate`. Made by `make generate`; edits here are lost.
-- Without the partitions of outcome, whose names are dates, and without the bodies of the functions, which are in
-- worker/penstock/store/functions/.
"""
_FUNCTIONS: Final = """\
SELECT 'penstock.' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ') -> '
       || pg_get_function_result(p.oid) || CASE WHEN p.prosecdef THEN ', as its owner' ELSE '' END
FROM pg_proc AS p WHERE p.pronamespace = 'penstock'::regnamespace ORDER BY p.proname, 1
"""


def pg_dump() -> Path | None:
    """pg_dump of the one version that writes the file; None where the wheel is not installed."""
    for installation in wheel_installations():
        program = installation.bin_dir / "pg_dump"
        if installation.major == MAJOR and program.is_file():
            return program
    return None


def of_embedded_server() -> str | None:
    """The dump of a server that is started for it; None where there is none of that version."""
    program = pg_dump()
    if program is None:
        return None
    with EmbeddedPostgres(bin_dir=program.parent, durable=False) as server:
        migrate(server.url)
        return dump(server.url, program)


def dump(url: str, program: Path) -> str:
    """The schema of a migrated database.

    Raises:
        subprocess.CalledProcessError: pg_dump failed.
    """
    command = [str(program), "--schema-only", "--no-owner", "--no-privileges", "--table=penstock.*"]
    command += ["--exclude-table=penstock.outcome_2*", f"--dbname={url}"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    with psycopg.connect(url) as connection:
        functions = [f"-- {row[0]}\n" for row in connection.execute(_FUNCTIONS)]
    return HEADER + _statements(text) + "\n-- Functions:\n" + "".join(functions)


def _statements(text: str) -> str:
    """Statements alone, a blank line between them: no comments, no settings, nothing random."""
    noise = ("--", "\\", "SET ", "SELECT pg_catalog.set_config")
    kept = "\n".join(line for line in text.splitlines() if not line.startswith(noise))
    return "".join(f"\n{part.strip(chr(10))}\n" for part in kept.split("\n\n") if part.strip())
