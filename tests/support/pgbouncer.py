"""A real PgBouncer in transaction mode in front of one test's database, on a free port of loopback.

It has two server connections and uses them in turn: two consecutive transactions of one client run in two sessions,
and code that depends on a session fails. It refuses to run as root; it runs as the account of the servers.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

import psycopg
import pytest

from penstock.dev.postgres.install import server_account

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 90.0
SERVER_CONNECTIONS = 2
_CONFIGURATION = """\
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {home}/users.txt
pool_mode = transaction
server_round_robin = 1
default_pool_size = {connections}
max_client_conn = 200
log_connections = 0
log_disconnections = 0
"""


def program() -> str:
    """Path of `pgbouncer`; skips the test where there is none."""
    found = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
    return found or pytest.skip("no PgBouncer: install the package `pgbouncer`")


@contextlib.contextmanager
def pooled(url: str) -> Iterator[str]:
    """The same database through a PgBouncer of its own; gives the URL, ends the process."""
    binary, (run_as, uid, gid) = program(), server_account()
    parts = urlsplit(url)
    home = Path(tempfile.mkdtemp(prefix="penstock-pgbouncer-", dir="/tmp"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen = int(probe.getsockname()[1])
    (home / "users.txt").write_text(f'"{parts.username}" "{unquote(parts.password or "")}"\n', encoding="utf-8")
    (home / "pgbouncer.ini").write_text(
        _CONFIGURATION.format(
            host=parts.hostname, port=parts.port, listen=listen, home=home, connections=SERVER_CONNECTIONS
        ),
        encoding="utf-8",
    )
    for path in (home, home / "users.txt", home / "pgbouncer.ini"):
        os.chown(path, uid, gid)
    log = (home / "log").open("wb")
    process = subprocess.Popen(
        [binary, str(home / "pgbouncer.ini")], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", **run_as
    )
    try:
        _wait(process, listen, home / "log")
        place = f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{listen}"
        through = urlunsplit(parts._replace(netloc=place))
        _use_both(through)
        yield through
    finally:
        process.kill()
        process.wait()
        log.close()
        shutil.rmtree(home)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert process.poll() is None, f"PgBouncer ended: {log.read_text(errors='replace')[-1000:]}"
        assert time.monotonic() < until, "PgBouncer took no connection"
        time.sleep(0.01)


def _use_both(url: str) -> None:
    """Two transactions at once: the pooler opens its second server connection only when it needs it."""
    with psycopg.connect(url) as one, psycopg.connect(url) as two:
        one.execute("SELECT")
        two.execute("SELECT")
