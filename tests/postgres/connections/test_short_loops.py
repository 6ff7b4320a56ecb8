"""Many short event loops in one process, against a login with few connections."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tests.postgres.logins import logins

GRANTS = """
  GRANT USAGE ON SCHEMA penstock TO LOGIN;
  GRANT ALL ON ALL TABLES IN SCHEMA penstock TO LOGIN;
  GRANT ALL ON ALL SEQUENCES IN SCHEMA penstock TO LOGIN;
  GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA penstock TO LOGIN
"""


def test_a_hundred_and_thirty_runs_in_a_row_need_few_connections_and_end_by_themselves(pg_newest):
    """In a process of its own, with a login that may have 40 connections; App.close is never called."""
    with logins(pg_newest, "loops", options="CONNECTION LIMIT 40") as [login]:
        with pg_newest.connect() as db:
            db.execute(GRANTS.replace("LOGIN", login.partition(":")[0]).encode())
        parts = urlsplit(pg_newest.url)
        url = urlunsplit(parts._replace(netloc=f"{login}@{parts.hostname}:{parts.port}"))
        script = Path(__file__).with_name("short_loops.py")
        ended = subprocess.run(
            [sys.executable, "-W", "error", str(script), url], capture_output=True, text=True, timeout=200, check=False
        )
    assert (ended.returncode, ended.stdout.split(), ended.stderr) == (0, ["130", "1"], "")
    with pg_newest.connect() as db:
        assert db.execute("SELECT count(*) FROM penstock.job").fetchone() == (130,)
