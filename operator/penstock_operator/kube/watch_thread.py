"""The thread of the watches: runs them, and restarts them when they stop for any reason.

Must not know what is watched; that is `handlers`, the only kopf import. The pause before a restart grows from one to
fifteen seconds, with jitter, and is reset after a minute of watching. Only an error that no restart can fix (no memory,
an exit) stops the thread, and with it the process.

Each run has an event loop of its own, which is abandoned after three seconds even if tasks are left. When kopf stops,
it cancels every task that started after it, its own or not, and may wait for one forever; and a long list that is
decoded there must not delay a decision here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from .watch_health import WatchHealth

logger = logging.getLogger("penstock.operator.watches")

STOP_SECONDS: Final = 10.0
FIRST_SECONDS: Final = 1.0
LAST_SECONDS: Final = 15.0
CALM_SECONDS: Final = 60.0
TICK_SECONDS: Final = 1.0
END_SECONDS: Final = 3.0
"""For a run to end once it is asked to; then it is left as it is. kopf has ways to wait for ever."""
CANCELLATIONS: Final = 3

ThreadMain = Callable[[asyncio.Event], Awaitable[None]]
"""Watches until the event is set; may end earlier, by an error or without one."""


class WatchesEnded(Exception):  # noqa: N818 - what happened
    """A run of the watches ended that nobody had stopped."""


class Watches:
    """The thread.

    Args:
        run: one run of all watches.
        health: what it knows of them.
        lost: asked every second, in the loop of the run: None, or what of the run has ended.
        restarted: called, in the thread, at each restart.
        pause: seconds of the first pause before a restart.
    """

    def __init__(
        self,
        run: ThreadMain,
        *,
        health: WatchHealth,
        lost: Callable[[], str | None] = lambda: None,
        restarted: Callable[[], None] = lambda: None,
        pause: float = FIRST_SECONDS,
    ) -> None:
        self._run_once, self._health, self._lost = run, health, lost
        self._restarted, self._first = restarted, pause
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="penstock-watches", daemon=True)
        self._home: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Future[BaseException | None] | None = None
        self._stop: Callable[[], object] = lambda: None
        self._random = random.Random()  # noqa: S311 - jitter guards nothing

    def start(self) -> asyncio.Future[BaseException | None]:
        """Start watching; the future is done when the thread stops, with the error that stopped it."""
        self._home = asyncio.get_running_loop()
        self._ended = self._home.create_future()
        self._thread.start()
        return self._ended

    async def stop(self) -> None:
        """End the watches; waits ten seconds for them."""
        self._stopped.set()
        self._stop()
        await asyncio.to_thread(self._thread.join, STOP_SECONDS)

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            self._run_again_and_again()
        except BaseException as raised:  # noqa: BLE001 - reported in the other thread, which stops the process
            error = raised
        assert self._home is not None
        if not self._home.is_closed():
            self._home.call_soon_threadsafe(self._report, error)

    def _report(self, error: BaseException | None) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(error)

    def _run_again_and_again(self) -> None:
        pause = self._first
        while not self._stopped.is_set():
            started = time.monotonic()
            try:
                run_bounded(self._watch())
            except MemoryError:
                raise
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever ended them
                problem = f"{type(error).__name__}: {error}"
                if self._stopped.is_set():
                    return
            else:
                return
            if time.monotonic() - started > CALM_SECONDS:
                pause = self._first
            delay = pause * self._random.uniform(0.5, 1.0)
            logger.warning("watches stopped, restarting", extra={"error": str(problem), "seconds": round(delay, 1)})
            self._health.restarted(problem)
            self._restarted()
            self._stopped.wait(delay)
            pause = min(pause * 2, LAST_SECONDS)

    async def _watch(self) -> None:
        """One run.

        Raises:
            WatchesEnded: it ended by itself, or a watch is asked for by nobody.
            Exception: that ended it.
        """
        stop, loop = asyncio.Event(), asyncio.get_running_loop()

        def stop_it() -> None:
            with contextlib.suppress(RuntimeError):  # it has been closed just now
                loop.call_soon_threadsafe(stop.set)

        self._stop = stop_it
        if self._stopped.is_set():
            return
        guard = asyncio.create_task(self._guard(), name="guard of the watches")
        watching = asyncio.ensure_future(self._run_once(stop))
        stopping = asyncio.create_task(stop.wait(), name="stop of the watches")
        parts: set[asyncio.Future[Any]] = {guard, watching, stopping}
        await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        await asyncio.wait({watching}, timeout=END_SECONDS)
        if watching.done():
            watching.result()
        if not self._stopped.is_set():
            raise WatchesEnded(guard.result() if guard.done() else "they stopped by themselves")

    async def _guard(self) -> str:
        """Show that the loop turns; return why the run is over when a watch is asked for by nobody."""
        while (reason := self._lost() or self._health.abandoned()) is None:
            self._health.tick()
            await asyncio.sleep(TICK_SECONDS)
        return reason


def run_bounded(main: Coroutine[Any, Any, None]) -> None:
    """Run it in a loop of its own, which ends in bounded time whatever its tasks do when they are cancelled."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(main)
    finally:
        try:
            loop.run_until_complete(_cancel_all())
        finally:
            loop.close()


async def _cancel_all() -> None:
    for _ in range(CANCELLATIONS):
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if not left:
            return
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=END_SECONDS / CANCELLATIONS)
