"""Looks at a database's health, for `penstock doctor`. Reads only; what is good and what is not the caller says.

Asks nothing, but for `state`, that a login without any right could not ask.
Surprising: whether LISTEN works is tried by sending a notification to itself over two connections, because what stands
between (a pooler, a proxy) may take a LISTEN and never deliver anything.
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
"""How long a notification to oneself is waited for."""


class Server(NamedTuple):
    """What any login may see. `skew`: seconds that this clock is ahead of the server's, give or take `round_trip`.

    `facts`: see sql/server_facts.sql.
    """

    facts: dict[str, Any]
    host: str
    port: str
    skew: float
    round_trip: float


class Diagnostics:
    """One connection to look over, opened by `open`.

    Args:
        url: what workers and applications connect by; never printed.
        direct_url: what LISTEN is for; never printed.
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
        """Connect and look.

        Raises:
            InvalidDatabaseURL, DatabaseUnavailable: there is nothing to look at.
        """
        facts: dict[str, Any] = self._one("look at the server", statement("server_facts"))
        started = time.time()
        clock = self._one("read the clock", b"SELECT extract(epoch FROM clock_timestamp())::double precision")
        finished = time.time()
        assert self._connection is not None
        info = self._connection.info
        return Server(
            facts=facts, host=info.host, port=str(info.port), skew=(started + finished) / 2 - float(clock),
            round_trip=finished - started,
        )  # fmt: skip

    def settings(self) -> dict[str, Any]:
        """See sql/settings.sql; any login may ask."""
        found: dict[str, Any] = self._one("read the settings", statement("settings"))
        return found

    def state(self) -> dict[str, Any]:
        """See functions/checkup.sql; for roles that watch.

        Raises:
            StoreError: this login may not.
        """
        found: dict[str, Any] = self._one("check up", statement("checkup"))
        return found

    def listen_delay(self) -> float:
        """Seconds from a NOTIFY on the one URL to its arrival on the other.

        Raises:
            StoreError: the direct URL does not connect or leads to a pooler, or nothing arrived within five seconds.
        """
        payload = secrets.token_hex(8)
        with connect(self._direct_url, name="penstock doctor", pooled=True) as direct, mapped("listen"):
            if direct.execute(b"SELECT pg_backend_pid()").fetchone() != (direct.info.backend_pid,):
                raise StoreError("listen: a pooler stands between, which takes a LISTEN and delivers nothing")
            direct.execute(f"LISTEN {CHANNEL}".encode())
            started = time.monotonic()
            self._one("notify", f"SELECT pg_notify('{CHANNEL}', '{payload}')".encode())
            while (left := started + LISTEN_SECONDS - time.monotonic()) > 0:
                for note in direct.notifies(timeout=left, stop_after=1):
                    if note.payload == payload:
                        return time.monotonic() - started
        raise StoreError(f"listen: nothing arrived within {LISTEN_SECONDS:g} s")


def rights(facts: dict[str, Any]) -> list[str]:
    """The roles whose work this login can do: every function that the role may execute is executable."""
    may, usage = facts["functions"], facts["usage"]
    return [role for role in roles() if usage and all(may.get(name) for name in executable(role))]
