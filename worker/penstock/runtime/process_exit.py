"""The exit of a process: on a signal while it has claimed nothing, and in bounded time once its worker has stopped.

Owns handlers for the phases between `penstock.early_signals` and a worker's own (`signals`), which drain. Must not
import anything of the rest: it is used before the application is imported.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

logger = logging.getLogger("penstock.worker")

Handler = Callable[[int, FrameType | None], None]


def interrupt_on_signals() -> Callable[[], bool]:
    """From now on SIGTERM and SIGINT raise KeyboardInterrupt, on which the database driver cancels its statement.

    A second SIGTERM stops the process at once, with 143. Returns a function: whether there was a SIGTERM.
    """
    came: list[int] = []

    def received(number: int, _: FrameType | None) -> None:
        if came:
            os._exit(128 + number)
        came.append(number)
        raise KeyboardInterrupt

    _install({signal.SIGTERM: _in_this_process(received), signal.SIGINT: signal.default_int_handler})
    return lambda: bool(came)


@contextmanager
def leaving_at_once() -> Iterator[None]:
    """In the block SIGTERM and SIGINT exit the process with 0 at once: for use while it has no claims.

    An exception would not do: the import of an application may catch it.
    """

    def received(_: int, __: FrameType | None) -> None:
        logger.info("signal received during the start, exiting")
        leave_now(0)

    before = _install(dict.fromkeys((signal.SIGTERM, signal.SIGINT), _in_this_process(received)))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def buffer_lines() -> None:
    """Have what is printed leave with each line, also where standard output is a pipe, as in a container."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # there is none, or the application has put its own in its place
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def leave_now(code: int) -> NoReturn:
    """End the process with this code, whatever its threads do; what was printed and logged is written before."""
    with contextlib.suppress(Exception):  # a handler of the application's
        logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # a signal may have come within a write; there may be no stream
            stream.flush()
    os._exit(code)


def leave_within(seconds: float, code: int) -> None:
    """The process has this many seconds to exit by itself; then it exits with this code, and logs why.

    Threads of an application that are no daemons, exit handlers that hang and lifespans that do not finish would keep a
    process that has nothing more to do, until a supervisor kills it.
    """

    def leave() -> None:
        time.sleep(seconds)
        others = [thread.name for thread in threading.enumerate() if not thread.daemon]
        with contextlib.suppress(Exception):  # the application may have closed what the log is written to
            extra = {"after_seconds": round(seconds, 1), "threads": ",".join(sorted(others)[:5])}
            logger.warning("process did not exit in time after its worker, exiting now", extra=extra)
        leave_now(code)

    threading.Thread(target=leave, name="penstock-leaving", daemon=True).start()


def _install(handlers: Mapping[signal.Signals, Handler]) -> dict[signal.Signals, signal._HANDLER]:
    """Install handlers and return the previous ones; only the main thread can.

    What the process was started to ignore, as a shell starts what it runs in the background, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {
        number: signal.signal(number, handler)
        for number, handler in handlers.items()
        if signal.getsignal(number) is not signal.SIG_IGN
    }


def _in_this_process(handler: Handler) -> Handler:
    """A process that the application forks inherits the handler, and exits as if it had none."""
    owner = os.getpid()

    def received(number: int, frame: FrameType | None) -> None:
        if os.getpid() == owner:
            handler(number, frame)
            return
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    return received
