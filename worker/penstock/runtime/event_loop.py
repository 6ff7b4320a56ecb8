"""The event loop of a worker and of its child processes: which one it is, and a runner that user code cannot stop.

`asyncio` stops a loop when SystemExit or KeyboardInterrupt leaves a callback or a task, a task of `gather` or
`TaskGroup` included, and when code calls `loop.stop()`. Here the loop keeps running: the code that awaits the task gets
the exception, and a callback, or a task that no code awaits, is simply over, as a thread would be.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Self, TypeVar

logger = logging.getLogger("penstock.loop")

T = TypeVar("T")

LEFT_SECONDS: Final = 1.0
"""At the exit, time for tasks and async generators that the application left running; then they are abandoned."""


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The constructor of uvloop's loop where it is installed; None means asyncio's own loop."""
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


class Runner:
    """As `asyncio.Runner`, for a loop that also runs code of the application.

    Args:
        factory: makes the loop; None: asyncio's own.
        left_seconds: how long `close` waits for cancelled tasks that the application left running.
    """

    def __init__(
        self, factory: Callable[[], asyncio.AbstractEventLoop] | None = None, *, left_seconds: float = LEFT_SECONDS
    ) -> None:
        self._loop = (factory or asyncio.new_event_loop)()
        self._left_seconds = left_seconds
        self._stopping = False
        asyncio.set_event_loop(self._loop)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop."""
        return self._loop

    def run(self, main: Coroutine[Any, Any, T], *, context: contextvars.Context | None = None) -> T:
        """Run a coroutine until it finishes, whatever other tasks raise; returns or raises what it does."""
        task = asyncio.Task(main, loop=self._loop, context=context)
        task.add_done_callback(self._stop)
        while not task.done():
            try:
                self._loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                if not task.done():
                    _report_escape(error)
            else:
                if not task.done() and not self._stopping:
                    logger.warning("event loop stopped by the application, restarted")
            self._stopping = False
        return task.result()

    def close(self) -> None:
        """Cancel the tasks that are left, wait for them for a moment, close the loop. Idempotent."""
        if self._loop.is_closed():
            return
        try:
            self.run(_cancel_tasks(self._left_seconds))
            self.run(_close_generators(self._loop, self._left_seconds))
        finally:
            asyncio.set_event_loop(None)
            with contextlib.suppress(RuntimeError):  # uvloop raises it if a callback was added meanwhile
                self._loop.close()

    def _stop(self, _: asyncio.Task[Any]) -> None:
        self._stopping = True
        self._loop.stop()


def _report_escape(error: BaseException) -> None:
    shown = f"SystemExit({error.code!r})" if isinstance(error, SystemExit) else type(error).__name__
    logger.error("exception reached the event loop, which keeps running", exc_info=error, extra={"exception": shown})


async def _cancel_tasks(seconds: float) -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if not left:
        return
    _, stuck = await asyncio.wait(left, timeout=seconds)
    if stuck:
        names = ",".join(sorted(task.get_name() for task in stuck)[:5])
        logger.warning("tasks ignored their cancellation, abandoned", extra={"tasks": len(stuck), "names": names})


async def _close_generators(loop: asyncio.AbstractEventLoop, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await loop.shutdown_asyncgens()


async def in_own_thread(call: Callable[[], None], *, name: str) -> None:
    """Call it in a new thread: the application may occupy all threads of `asyncio.to_thread`.

    Raises what the call raises.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[BaseException | None] = loop.create_future()

    def settle(error: BaseException | None) -> None:
        if not done.done():
            done.set_result(error)

    def run() -> None:
        error = None
        try:
            call()
        except BaseException as raised:  # noqa: BLE001 - raised again in the waiting task
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed, no task waits
            loop.call_soon_threadsafe(settle, error)

    threading.Thread(target=run, name=name, daemon=True).start()
    if (error := await done) is not None:
        raise error
