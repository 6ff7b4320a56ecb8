"""A worker's registration: register, renew the lease and compare claims, deregister.

Synchronous, on a separate connection, because it runs in the lease thread: a blocked event loop must neither fake a
lease nor lose one. Not safe for use from several threads. A lost connection raises; the next call reconnects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import psycopg

from penstock.database.source import Url
from penstock.errors import RejectedByDatabase

from . import arrays
from .connect import connect
from .errors import mapped
from .sql_files import statement


class Registration(NamedTuple):
    """Ids of the worker's row and of the queue's."""

    worker: int
    queue: int


class Renewal(NamedTuple):
    """The state of the tables. `state` None: the worker's row is gone. `fenced` are (id, token) pairs."""

    state: str | None
    fenced: list[tuple[int, int]]
    cancelled: list[int]


class MovedRenewal(Renewal):
    """The first from another server than before, or from the same after a restart: it may have fewer commits."""

    __slots__ = ()


class WorkerRegistry:
    """The registration over one synchronous connection, opened at first use and again after a loss."""

    def __init__(self, url: Url, *, name: str = "penstock lease", pooled: bool = False) -> None:
        self._url, self._name, self._pooled = url, name, pooled
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._server = ""

    def _row(self, name: str, *values: object) -> tuple[Any, ...]:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._url, name=self._name, pooled=self._pooled)
        with mapped(name):
            try:
                row = self._connection.execute(statement(name), values).fetchone()
            except psycopg.OperationalError:
                self.close()
                raise
        assert row is not None
        return row

    def register(
        self,
        *,
        queue: str,
        identity: str,
        version: str,
        concurrency: int,
        lease: float,
        pod: str | None = None,
        node: str | None = None,
        info: Mapping[str, object] | None = None,
    ) -> Registration:
        """Register with a new id; the lease (seconds) starts now."""
        values = (queue, identity, pod, node, version, concurrency, lease, arrays.document(info or {}))
        *registration, self._server = self._row("register", *values)
        return Registration(*registration)

    def renew(
        self,
        worker: int,
        *,
        lease: float,
        claims: Sequence[tuple[int, int]],
        in_flight: Mapping[str, int],
        done: Mapping[str, int],
        drained: bool,
        report: str = "{}",
    ) -> Renewal:
        """Renew the lease and compare `claims` (id, token) with the tables. `report` is JSON, for people.

        A report that the database's encoding cannot store is left out: no lease is lost for it.
        """
        ids, tokens = arrays.numbers(i for i, _ in claims), arrays.numbers(t for _, t in claims)
        values = (worker, lease, ids, tokens, arrays.document(in_flight), arrays.document(done), drained, report)
        try:
            state, fenced_ids, fenced_tokens, cancelled, server = self._row("renew", *values)
        except RejectedByDatabase:
            if report == "{}":
                raise
            state, fenced_ids, fenced_tokens, cancelled, server = self._row("renew", *values[:-1], "{}")
        kind, self._server = Renewal if server == self._server else MovedRenewal, server
        return kind(state, list(zip(fenced_ids or (), fenced_tokens or (), strict=True)), list(cancelled or ()))

    def start_drain(self, worker: int) -> str | None:
        """Announce that this worker stops for good; returns its state, `lost` if its lease had expired."""
        state: str | None = self._row("begin_drain", worker)[0]
        return state

    def grace_left(self, worker: int) -> float | None:
        """Seconds until this worker is killed, if an operator has set less than its drain timeout; else None."""
        seconds: float | None = self._row("grace_left", worker)[0]
        return seconds

    def deregister(self, worker: int, *, empty: bool) -> None:
        """Remove the registration. `empty`: the worker has no claim and no acknowledgement in flight."""
        self._row("deregister", worker, empty)

    def close(self) -> None:
        """Close the connection; idempotent."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
