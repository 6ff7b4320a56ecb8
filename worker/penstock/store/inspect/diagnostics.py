"""Reads a database's health for `penstock doctor`. Judges nothing; the command decides what is good.

Only `state` needs a right. Whether LISTEN works is tested by a notification to itself over two connections, because a
pooler or proxy in between may accept a LISTEN and never deliver anything.
"""

from __future__ import annotations

import secrets
import time
from typing import Any, Final, NamedTuple, Self

import psycopg

from penstock.errors import StoreError

from ..connect import connect
from ..errors import mapped
from ..schema.roles import executable, roles
from ..sql_files import statement

CHANNEL: Final = "penstock_doctor"
LISTEN_SECONDS: Final = 5.0
"""Timeout for a notification to itself."""


class Server(NamedTuple):
    """Facts that any login may see. `skew`: seconds by which this clock is ahead of the server's, within `round_trip`.

    `facts`: see sql/server_facts.sql.
    """

    facts: dict[str, Any]
    host: str
    port: str
    skew: float
    round_trip: float


class Diagnostics:
    """Reads over one connection, opened at first use.

    Args:
        url: of workers and applications; never printed.
        direct_url: for LISTEN; never printed.
    """

    def __init__(self, url: str, *, direct_url: str) -> None:
        self._url, self._direct_url = url, direct_url
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def _one(self, doing: str, text: bytes) -> Any:
        if self._connection is None:
            self._connection = connect(self._url, name="penstock doctor", pooled=True)
        with mapped(doing):
            row = self._connection.execute(text).fetchone()
        assert row is not None
        return row[0]

    def server(self) -> Server:
        """Connect, and read the facts of the server.

        Raises:
            InvalidDatabaseURL, DatabaseUnavailable: no connection.
        """
        facts: dict[str, Any] = self._one("read the facts of the server", statement("server_facts"))
        started = time.time()
        clock = self._one("read the clock", b"SELECT extract(epoch FROM clock_timestamp())::double precision")
        finished = time.time()
        assert self._connection is not None
        info = self._connection.info
        return Server(
            facts=facts,
            host=info.host,
            port=str(info.port),
            skew=(started + finished) / 2 - float(clock),
            round_trip=finished - started,
        )

    def settings(self) -> dict[str, Any]:
        """See sql/settings.sql; any login may read them."""
        found: dict[str, Any] = self._one("read the settings", statement("settings"))
        return found

    def state(self) -> dict[str, Any]:
        """See functions/checkup.sql; for the roles operator and observer.

        Raises:
            StoreError: this login lacks the right.
        """
        found: dict[str, Any] = self._one("read the state", statement("checkup"))
        return found

    def listen_delay(self) -> float:
        """Seconds from a NOTIFY on the URL to its arrival on the direct URL.

        Raises:
            StoreError: the direct URL does not connect or leads to a pooler, or nothing arrived within five seconds.
        """
        payload = secrets.token_hex(8)
        with connect(self._direct_url, name="penstock doctor", pooled=True) as direct, mapped("listen"):
            if direct.execute(b"SELECT pg_backend_pid()").fetchone() != (direct.info.backend_pid,):
                raise StoreError("listen: the direct URL leads to a pooler, which accepts LISTEN and delivers nothing")
            direct.execute(f"LISTEN {CHANNEL}".encode())
            started = time.monotonic()
            self._one("notify", f"SELECT pg_notify('{CHANNEL}', '{payload}')".encode())
            while (left := started + LISTEN_SECONDS - time.monotonic()) > 0:
                for note in direct.notifies(timeout=left, stop_after=1):
                    if note.payload == payload:
                        return time.monotonic() - started
        raise StoreError(f"listen: no notification arrived within {LISTEN_SECONDS:g} s")


def rights(facts: dict[str, Any]) -> list[str]:
    """The roles whose rights this login has: it may execute every function of the role."""
    may, usage = facts["functions"], facts["usage"]
    return [role for role in roles() if usage and all(may.get(name) for name in executable(role))]
