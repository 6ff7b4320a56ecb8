"""The process of one database: `python -I -m penstock_operator.database.process.main FD MEMORY_MIB`.

Runs a `Database` and answers the operator's requests over the socket FD. It has no credentials but the URL that it is
sent, no Kubernetes token in its environment and no files to write, and lives no longer than the operator.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from penstock.errors import PenstockError
from penstock.jobqueue.declaration import QueueDeclaration
from penstock.store.operator_queries import note_end, shorten_grace

from ...sanitize import sanitized
from ..address import Address
from ..connection import Database
from .limits import EXIT_MEMORY, CpuBudget, confine, peak_mib
from .protocol import (
    ANSWER,
    ERROR,
    EVENT,
    FRESH_SECONDS,
    MAX_TEXT,
    REQUESTS,
    ErrorAnswer,
    SampleAnswer,
    StatsAnswer,
    declared_row,
    frame,
    now,
    packed,
    read_frame,
)
from .schedules import DeclaredSchedules, ScheduleList, ScheduleService
from .tenant_address import resolve_address, usable

logger = logging.getLogger("penstock.operator.database")

MISBEHAVES = "DatabaseMisbehaves"
WRITES = frozenset({"declare", "declare_schedules", "cordon", "note_end", "shorten_grace"})
"""Requests whose first value says when they were sent: by then this replica led."""
MAX_NOTIFIED = 100
"""Queues that are remembered between two samples as notified; with more of them all are sampled."""
WATCH_SECONDS = 0.25
"""Between two checks of the memory while a request runs."""
_LIBPQ_MEMORY = ("out of memory for query result", "cannot allocate memory for input buffer")
"""Texts of the client library itself, not of a server."""


class Service:
    """Answers requests, each in a task of its own, until the operator's end of the socket is closed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, memory_mib: int) -> None:
        self._reader, self._writer, self._memory_mib = reader, writer, memory_mib
        self._watching: asyncio.TimerHandle | None = None
        self._database: Database | None = None
        self._running: dict[int, asyncio.Task[None]] = {}
        self._woken = False
        self._notified: set[int] | None = set()
        self._names: dict[int, str] = {}
        self._budget = CpuBudget()
        self._schedules = ScheduleService()
        self._calls: dict[str, Callable[..., Awaitable[object]]] = {
            "open": self._open,
            "close": self._close,
            "sample": self._sample,
            "vitals": self._vitals,
            "pause": self._pause,
            "declarations": self._declarations,
            "declare": self._declare,
            "schedules": self._list_schedules,
            "declare_schedules": self._declare_schedules,
            "waits": self._waits,
            "jobs_in_flight": self._jobs_in_flight,
            "lost_workers": self._lost_workers,
            "cordon": self._cordon,
            "note_end": self._note_end,
            "shorten_grace": self._shorten_grace,
        }

    async def run(self) -> None:
        """Serve until the operator has gone."""
        self._send(0, EVENT, "ready")
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                number, method, values = REQUESTS.decode(await read_frame(self._reader))
                if method == "cancel":
                    if (task := self._running.get(number)) is not None:
                        task.cancel()
                    continue
                self._budget.refill()
                self._running[number] = asyncio.create_task(self._answer(number, method, values), name=method)
                self._watching = self._watching or asyncio.get_running_loop().call_later(WATCH_SECONDS, self._watch)

    async def _answer(self, number: int, method: str, values: list[Any]) -> None:
        try:
            self._send(number, ANSWER, await self._perform(method, values))
        except asyncio.CancelledError:
            self._send(number, ERROR, ErrorAnswer("StoreError", f"{method}: cancelled"))
            raise
        except MemoryError:
            os._exit(EXIT_MEMORY)
        except PenstockError as error:
            text = str(error)
            kind = MISBEHAVES if any(one in text for one in _LIBPQ_MEMORY) else type(error).__name__
            self._send(number, ERROR, ErrorAnswer(kind, sanitized(text, MAX_TEXT)))
        except Exception as error:  # noqa: BLE001 - no answer of Penstock's functions has such values
            text = f"{method}: {type(error).__name__}: {error}"
            self._send(number, ERROR, ErrorAnswer(MISBEHAVES, sanitized(text, MAX_TEXT)))
        finally:
            self._running.pop(number, None)

    async def _perform(self, method: str, values: list[Any]) -> object:
        """The answer; of a write without one whether it was done, which it is not if it arrives late."""
        if method not in WRITES:
            return await self._calls[method](*values)
        sent_at, *values = values
        fresh = now() - sent_at <= FRESH_SECONDS
        answer = await self._calls[method](*values) if fresh else None
        return fresh if answer is None else answer

    def _watch(self) -> None:
        """Exit once the memory was exhausted: libpq frees it and continues to read an endless response."""
        self._watching = None
        if peak_mib() >= self._memory_mib:
            os._exit(EXIT_MEMORY)
        self._budget.refill()
        if self._running:
            self._watching = asyncio.get_running_loop().call_later(WATCH_SECONDS, self._watch)

    def _send(self, number: int, kind: int, value: object) -> None:
        self._writer.write(frame((number, kind, value)))

    def _hear(self, queue: int | None) -> None:
        """Pass a wake-up on, once until the next sample: a server may send any number of notifications."""
        if queue is None or self._notified is None or len(self._notified) >= MAX_NOTIFIED:
            self._notified = None
        elif queue in self._names:  # others are of queues without a JobQueue
            self._notified.add(queue)
        else:
            return
        if not self._woken:
            self._woken = True
            self._send(0, EVENT, "woken")

    # -- requests -----------------------------------------------------------------------------------------------

    @property
    def _opened(self) -> Database:
        if self._database is None:
            raise PenstockError("the database is not connected yet")
        return self._database

    async def _open(self, address: dict[str, Any], holder: str) -> str:
        if self._database is None:
            place = await resolve_address(usable(Address(**address)))
            self._database = Database(address=place, holder=holder, woken=self._hear)
        await self._database.open()
        return str(self._database.identity)

    async def _close(self) -> None:
        others = [task for task in self._running.values() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others)
        database, self._database, self._names = self._database, None, {}
        if database is not None:
            await database.close()

    async def _sample(self, names: list[str], soon: float, some: bool) -> SampleAnswer:
        notified, self._notified, self._woken = self._notified, set(), False
        database = self._opened
        if some:
            woken = self._names if notified is None else notified
            names = list(dict.fromkeys([*names, *(self._names[queue] for queue in woken)]))
        states = await database.sample(names, soon=soon)
        self._schedules.sampled(states)
        if not some:
            self._names = {state.id: name for name, state in states.items()}
        return SampleAnswer(database.listening, database.failed_task(), packed(states, names))

    async def _pause(self, queues: list[int], maximum: float) -> float:
        self._opened.rest(queues)
        return self._opened.pause(maximum)

    async def _vitals(self) -> StatsAnswer:
        seen, taken_back = await self._opened.vitals()
        return msgspec.convert([*seen, dict(taken_back)], StatsAnswer)

    async def _waits(self) -> Mapping[int, float]:
        return await self._opened.waits()

    async def _jobs_in_flight(self, queue: int) -> Mapping[int, int]:
        return await self._opened.jobs_in_flight(queue)

    async def _lost_workers(self, queue: int) -> Mapping[str, tuple[str | None, float]]:
        return {pod: (one.node, one.silent) for pod, one in (await self._opened.lost_workers(queue)).items()}

    async def _cordon(self, workers: list[int], cordon: bool) -> None:
        await self._opened.cordon(workers, cordon=cordon)

    async def _note_end(self, queue: int, pod: str, at: str, how: str) -> None:
        await note_end(self._opened.store, queue, pod=pod, at=at, how=how)

    async def _shorten_grace(self, queue: int, pod: str, seconds: float) -> None:
        await shorten_grace(self._opened.store, queue, pod=pod, seconds=seconds)

    async def _declarations(self, names: list[str]) -> dict[str, Any]:
        found = await self._opened.declarations()
        rows = {name: declared_row(found[name]) for name in names if name in found}
        return {name: row for name, row in rows.items() if row is not None}

    async def _list_schedules(self, queues: list[str]) -> ScheduleList:
        return await self._schedules.list(self._opened.store, queues)

    async def _declare_schedules(self, queue: str, entries: list[dict[str, Any]]) -> DeclaredSchedules:
        return await self._schedules.declare(self._opened.store, queue, entries)

    async def _declare(self, name: str, columns: list[Any]) -> None:
        self._schedules.redeclared(name)
        await self._opened.declare(name, QueueDeclaration(*columns))


def _fatal(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if isinstance(error, MemoryError):
        os._exit(EXIT_MEMORY)
    logger.error("%s: %s", sanitized(str(context.get("message"))), sanitized(repr(error)))


async def _serve(descriptor: int, memory_mib: int) -> None:
    asyncio.get_running_loop().set_exception_handler(_fatal)
    reader, writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=descriptor))
    await Service(reader, writer, memory_mib=memory_mib).run()
    os._exit(0)  # the event loop's own end would wait for threads that wait for a server


def main() -> None:
    """Serve until the operator closes its end of the socket."""
    descriptor, memory = int(sys.argv[1]), int(sys.argv[2])
    confine(memory)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s", stream=sys.stderr)
    # Each failure is raised here and reported once; psycopg would also warn of a query that a stop cancels.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    asyncio.run(_serve(descriptor, memory))


if __name__ == "__main__":
    try:
        main()
    except MemoryError:
        os._exit(EXIT_MEMORY)
