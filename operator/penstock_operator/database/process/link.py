"""The operator's side of a database's process: requests with deadlines, and typed responses.

Owns the process: starts it, ends it when it does not answer or breaks the protocol, and fails what it was asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec

from penstock import errors as store_errors
from penstock.errors import DatabaseUnavailable, StoreError

from ...errors import DatabaseMisbehaves
from .child import ChildLog, DatabaseProcess
from .protocol import ANSWER, ANSWERS, EVENT, FAILURES, HEADS, BrokenFrame, ErrorAnswer, frame, read_frame

REQUEST_SECONDS: Final = 10.0
"""A request that is not answered within this has failed."""
START_SECONDS: Final = 60.0
"""A new process says that it is ready within this, its turn to start included; importing takes 0.2 s of a core."""
MAX_UNASKED: Final = 100
"""Frames that a process may send without a request between them."""
_STARTING: dict[asyncio.AbstractEventLoop, asyncio.Semaphore] = {}


class ProcessLink:
    """Requests to one process.

    Args:
        named: what log lines call the database.
        memory_mib: bound on the private memory of the process, in MiB.
        woken: called in the event loop when a wake-up arrives, or the process has ended while it was asked nothing.
        ended: called when the process has ended.
    """

    def __init__(
        self,
        *,
        named: Callable[[], str],
        memory_mib: int,
        woken: Callable[[], None],
        ended: Callable[[], None],
    ) -> None:
        self._log, self._memory_mib, self._woken, self._ended = ChildLog(named), memory_mib, woken, ended
        self._child: DatabaseProcess | None = None
        self._reading: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._pending: dict[int, tuple[str, asyncio.Future[Any]]] = {}
        self._number = self._unasked = 0
        self._unwanted_end: StoreError | None = None

    @property
    def pid(self) -> int | None:
        """The process, None while there is none."""
        return self._child.pid if self._child is not None and self._child.running else None

    async def start(self) -> None:
        """Start the process; harmless while it runs.

        Raises:
            StoreError: it did not start, or the last one ended by itself, which is said once.
        """
        if self._child is not None and self._child.running:
            return
        if self._reading is not None:
            await asyncio.wait({self._reading})  # that the last one closed must not be taken for the next one closing
        if (why := self._forgive()) is not None:
            raise why
        try:
            async with asyncio.timeout(START_SECONDS), _starting():
                self._ready.clear()
                self._child = await DatabaseProcess.start(memory_mib=self._memory_mib, log=self._log)
                self._reading = asyncio.create_task(self._read(self._child), name="database process")
                await self._ready.wait()
        except OSError as error:  # of which a timeout is one
            raise StoreError(f"the database process did not start: {error.strerror or 'too slow'}") from error
        if not self._child.running:
            raise StoreError("the database process exited while it started")

    async def stop(self) -> None:
        """End the process; harmless when repeated."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            await child.ended()
        if self._reading is not None:
            await asyncio.wait({self._reading})
        self._forgive()

    def _forgive(self) -> StoreError | None:
        """Why the last process ended by itself, unless that was said or forgiven before."""
        why, self._unwanted_end = self._unwanted_end, None
        return why

    async def _read(self, child: DatabaseProcess) -> None:
        problem: StoreError | None = None
        try:
            while True:
                self._take(await read_frame(child.reader))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except (BrokenFrame, msgspec.MsgspecError, RecursionError) as error:
            problem = DatabaseMisbehaves(f"the database process violated the protocol: {error}")
        finally:
            child.kill()
            self._ready.set()
            self._ended()
        why = await child.ended()
        noticed = bool(self._pending)
        self._unwanted_end = problem or why
        self._fail(self._unwanted_end)
        if not noticed:  # a caller that waits for an answer learns it from that
            self._woken()

    def _take(self, body: bytes) -> None:
        number, kind, value = HEADS.decode(body)
        self._unasked += 1
        if self._unasked > MAX_UNASKED:
            raise BrokenFrame(f"more than {MAX_UNASKED} frames without a request")
        if kind == EVENT:
            if self._ready.is_set():
                self._woken()
            self._ready.set()
            return
        method, waiting = self._pending.pop(number, ("", None))
        if waiting is None or waiting.done():
            return
        if kind == ANSWER:
            try:
                waiting.set_result(ANSWERS[method].decode(value))
            except (msgspec.MsgspecError, RecursionError) as error:
                waiting.set_exception(DatabaseMisbehaves(f"{method}: {error}"))
        else:
            waiting.set_exception(_error(FAILURES.decode(value)))

    def kill(self) -> None:
        """End the process without waiting for it."""
        if self._child is not None:
            self._child.kill()

    def _fail(self, error: StoreError) -> None:
        pending, self._pending = self._pending, {}
        for _, waiting in pending.values():
            if not waiting.done():
                waiting.set_exception(error)

    async def call(self, method: str, *values: object, seconds: float = REQUEST_SECONDS) -> Any:
        """The answer to a request.

        Raises:
            StoreError: what the process answered, or it did not answer in time, has ended or is not there.
        """
        child = self._child
        if child is None or not child.running:
            raise DatabaseUnavailable(f"{method}: the database is not connected")
        self._number, self._unasked = self._number + 1, 0
        number = self._number
        waiting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending[number] = (method, waiting)
        try:
            child.send(frame((number, method, values)))
            async with asyncio.timeout(seconds):
                return await waiting
        except BrokenFrame as error:
            raise StoreError(f"{method}: {error}") from error
        except TimeoutError:
            raise DatabaseUnavailable(f"{method}: no answer within {seconds:.0f} s") from None
        finally:
            if self._pending.pop(number, None) is not None and child.running:
                child.send(frame((number, "cancel", ())))


def _starting() -> asyncio.Semaphore:
    """Two processes start at a time: more would only share the same processor."""
    loop = asyncio.get_running_loop()
    if loop not in _STARTING:
        _STARTING.clear()
        _STARTING[loop] = asyncio.Semaphore(2)
    return _STARTING[loop]


def _error(failure: ErrorAnswer) -> StoreError:
    """The error of the process as one of ours; an unknown kind is an error of the store."""
    if failure.kind == DatabaseMisbehaves.__name__:
        return DatabaseMisbehaves(failure.message)
    kind = getattr(store_errors, failure.kind, None)
    known = isinstance(kind, type) and issubclass(kind, StoreError)
    return kind(failure.message) if known else StoreError(failure.message)  # type: ignore[misc]
