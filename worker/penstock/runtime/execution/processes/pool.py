"""The pool of child processes: started on demand up to the number of slots, kept warm, recycled, replaced.

Owns which child runs a job. Must not know what an outcome means. One that exits is replaced at once, several in a row
with backoff; after three failed starts in a row the waiting attempts get an error.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import deque
from collections.abc import Coroutine
from typing import Any, Final

from penstock.plural import plural
from penstock.runtime.retry_delay import doubled

from .child import ChildHandle, ChildLost
from .protocol import Hello
from .stats import ProcessStats

logger = logging.getLogger("penstock.children")

START_SECONDS: Final = 60.0
"""Time for a child to import the App and enter its lifespans."""
LEAVE_SECONDS: Final = 5.0
"""Time for a recycled child to leave its lifespans; then it is killed."""
FREE_LOSSES: Final = 2
"""Crashes in a row that are replaced at once; then the delay doubles from 0.1 s."""
MAX_DELAY_SECONDS: Final = 5.0
STARTS: Final = 3
"""Failed starts in a row after which waiting attempts get an error."""


class NoChild(Exception):  # noqa: N818 - a signal to the executor
    """No child process can be started."""


class ProcessPool:
    """A pool.

    Args:
        hello: the first frame of each child.
        max_jobs: a child is replaced after this many; 0: never.
        max_bytes: a child is replaced when more is resident after a job; 0: never.
    """

    def __init__(self, *, hello: Hello, max_jobs: int, max_bytes: int) -> None:
        self._hello, self._max_jobs, self._max_bytes = hello, max_jobs, max_bytes
        self.stats = ProcessStats()
        self._all: set[ChildHandle] = set()
        self._idle: list[ChildHandle] = []
        self._waiters: deque[asyncio.Future[ChildHandle]] = deque()
        self._starts: set[asyncio.Task[None]] = set()
        self._losses = self._failures = 0
        self._closing = False
        self._retiring: set[asyncio.Task[None]] = set()

    @property
    def count(self) -> int:
        """ProcessPool that are there, starting and leaving ones too."""
        return len(self._all)

    async def open(self) -> None:
        """Start the first child: an App that cannot run in one fails before anything is claimed.

        Raises:
            ChildLost: it did not start.
        """
        self._idle.append(await self._start())

    async def take(self) -> ChildHandle:
        """A child for one job, to be returned by `put_back`.

        Raises:
            NoChild: three in a row did not start.
        """
        while True:
            child = self._idle.pop() if self._idle else await self._next()
            if child.idle:  # otherwise it has just exited
                return child

    async def _next(self) -> ChildHandle:
        future: asyncio.Future[ChildHandle] = asyncio.get_running_loop().create_future()
        self._waiters.append(future)
        self._start_what_is_missing()
        try:
            return await future
        except asyncio.CancelledError:
            if future in self._waiters:
                self._waiters.remove(future)
            elif future.done() and not future.cancelled() and future.exception() is None:
                self._offer(future.result())
            raise

    def put_back(self, child: ChildHandle) -> None:
        """Return a child whose job is over."""
        if not child.idle:
            return  # it exited, or is about to; `_gone` does the rest
        self._losses = self._failures = 0
        if (worn := self._worn(child)) is not None:
            logger.info("child process replaced", extra={"child": child.pid, "reason": worn[0], "detail": worn[1]})
            self._run(self._retire(child, LEAVE_SECONDS, worn[0]), f"retire child {child.pid}", self._retiring)
            self._start_one()
        else:
            self._offer(child)

    def _worn(self, child: ChildHandle) -> tuple[str, str] | None:
        """The reason, and a detail."""
        if self._max_jobs and child.jobs >= self._max_jobs:
            return "max_jobs", plural(child.jobs, "job run", "jobs run")
        if self._max_bytes and child.resident > self._max_bytes:
            return "memory", f"{child.resident / 2**20:.0f} MiB resident"
        return None

    async def close(self, seconds: float) -> None:
        """Stop all child processes; those that have not exited after `seconds` are killed."""
        self._closing = True
        starts = set(self._starts)
        for start in starts:
            start.cancel()
        await asyncio.gather(*starts, return_exceptions=True)
        await asyncio.gather(*(self._retire(child, seconds, "closing") for child in set(self._all)))
        await asyncio.gather(*self._retiring, return_exceptions=True)

    # -- starting -------------------------------------------------------------------------------------------------

    def _offer(self, child: ChildHandle) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(child)
                return
        self._idle.append(child)

    def _start_what_is_missing(self) -> None:
        under_way = sum(not start.done() for start in self._starts)  # one that has just finished starts nothing more
        for _ in range(len(self._waiters) - under_way):
            self._start_one()

    def _start_one(self) -> None:
        self._run(self._one_more(), "start a child", self._starts)

    async def _one_more(self) -> None:
        """Start one more child: for the attempt that has waited longest, or to be kept warm."""
        while True:
            await asyncio.sleep(self._pause())
            try:
                child = await self._start()
            except Exception as lost:  # noqa: BLE001 - also an unforeseen one: attempts wait for an answer
                self._failed(lost)
                if not self._waiters:
                    return
            else:
                self._offer(child)
                return

    def _pause(self) -> float:
        count = max(self._losses, self._failures + FREE_LOSSES if self._failures else 0)
        return 0.0 if count <= FREE_LOSSES else doubled(count - FREE_LOSSES, maximum=MAX_DELAY_SECONDS)

    async def _start(self) -> ChildHandle:
        child = ChildHandle(self._hello, self._gone)
        self.stats.started += 1
        try:
            await child.start(START_SECONDS)
        except BaseException:
            self.stats.exits["start"] += 1
            raise
        self._all.add(child)
        self.stats.up()
        logger.debug("child process ready", extra={"child": child.pid})
        return child

    def _failed(self, lost: Exception) -> None:
        self._failures += 1
        expected = isinstance(lost, ChildLost)
        logger.error("child process did not start", exc_info=not expected, extra={"error": str(lost)})
        if self._failures % STARTS == 0:
            while self._waiters:
                waiter = self._waiters.popleft()
                if not waiter.done():
                    waiter.set_exception(NoChild(str(lost)))

    # -- exits ----------------------------------------------------------------------------------------------------

    def _gone(self, child: ChildHandle) -> None:
        """A child process exited."""
        if child not in self._all:
            return  # it never became ready; `_start` counts it
        self._all.discard(child)
        self.stats.down(child.end)
        if child in self._idle:
            self._idle.remove(child)
            if not self._closing:
                logger.warning("idle child process exited", extra={"child": child.pid})

    def lost(self, *, crashed: bool) -> None:
        """A child process exited with its job, by itself or killed: start another in its place."""
        self._losses += crashed
        if not self._closing:
            self._start_one()

    async def _retire(self, child: ChildHandle, seconds: float, why: str) -> None:
        child.stop(why)
        try:
            async with asyncio.timeout(seconds):
                await child.ended.wait()
        except TimeoutError:
            extra = {"child": child.pid, "after_seconds": seconds}
            logger.warning("child process did not exit in time, killed", extra=extra)
        finally:
            child.kill("closing")
        await child.ended.wait()

    def _run(self, coroutine: Coroutine[Any, Any, None], name: str, among: set[asyncio.Task[None]]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        among.add(task)
        task.add_done_callback(functools.partial(_done, among))


def _done(among: set[asyncio.Task[None]], task: asyncio.Task[None]) -> None:
    among.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("task of the process pool failed", exc_info=error, extra={"name_of_task": task.get_name()})
