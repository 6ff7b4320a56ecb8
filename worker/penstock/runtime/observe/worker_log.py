"""Ensures that the worker's own log lines are written, whatever the application's logging configuration is.

Loggers of the worker write to a handler of their own, on a copy of the file of standard error, at the worker's level
(PENSTOCK_LOG_LEVEL). An application may disable loggers, replace or close handlers and raise levels, as `dictConfig`
does by default: that affects its own lines only. Handlers of the application get the worker's lines as
well, where its configuration lets them, from a thread: one that raises or blocks does no harm. Those on standard output
and standard error are left out, because the line is there already.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final, TextIO

MAX_PENDING: Final = 1000
"""Records that wait for handlers of the application; further ones are dropped there."""
NAMES: Final = (
    "penstock",
    "penstock.acknowledger",
    "penstock.attempt",
    "penstock.breaker",
    "penstock.child",
    "penstock.children",
    "penstock.claimer",
    "penstock.drain",
    "penstock.exclusive",
    "penstock.hooks",
    "penstock.http",
    "penstock.lease",
    "penstock.loop",
    "penstock.maintenance",
    "penstock.stages",
    "penstock.store",
    "penstock.tracing",
    "penstock.worker",
)
"""All loggers of the worker."""

_call_handlers = logging.Logger.callHandlers


class OwnHandler(logging.Handler):
    """Writes to a copy of the file of standard error; nothing closes it before the process exits.

    Args:
        level: of the lines that are written.
        formatter: of the lines; where it fails, a plain line is written in its place.
    """

    def __init__(self, level: str, formatter: logging.Formatter) -> None:
        super().__init__(level.upper())
        self.setFormatter(formatter)
        self._stream: TextIO = sys.stderr
        with contextlib.suppress(OSError):  # there is no standard error
            self._stream = open(os.dup(2), "w", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: PTH123, SIM115
        self.pending: queue.Queue[tuple[WorkerLogger, logging.LogRecord]] = queue.Queue(MAX_PENDING)
        self._passing = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line."""
        try:
            line = self.format(record)
        except BaseException as error:  # noqa: BLE001 - an argument or an exception of the application may have no text
            line = f"{record.levelname} {record.name}: {record.msg!s} <cannot be shown: {type(error).__name__}>"
        with contextlib.suppress(Exception):  # no reader, or the disk is full: there is no place to report it
            self._stream.write(line + "\n")

    def close(self) -> None:
        """`dictConfig` closes every handler of the process; this one stays open."""

    def pass_on(self, logger: WorkerLogger, record: logging.LogRecord) -> None:
        """Have handlers of the application get a record, soon."""
        with contextlib.suppress(queue.Full, RuntimeError):  # no thread is left, or the interpreter exits
            self.pending.put_nowait((logger, record))
            if not self._passing:
                self._passing = True
                threading.Thread(target=self._pass, name="penstock-log", daemon=True).start()

    def _pass(self) -> None:
        while True:
            logger, record = self.pending.get()
            with contextlib.suppress(BaseException):  # a handler of the application may raise anything
                logger.pass_on(record)


class WorkerLogger(logging.Logger):
    """A logger of the worker. Existing loggers become one by a change of their class."""

    own: OwnHandler

    @property
    def disabled(self) -> bool:
        """Never; what the application sets counts for its own handlers."""
        return False

    @disabled.setter
    def disabled(self, value: bool) -> None:
        self.__dict__["disabled"] = value

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's name
        """At the worker's level, or where the application asks for more."""
        return level >= self.own.level or super().isEnabledFor(level)

    def makeRecord(self, name: str, level: int, *args: Any, **kwargs: Any) -> logging.LogRecord:  # noqa: N802
        """Also where a record factory of the application fails."""
        try:
            return super().makeRecord(name, level, *args, **kwargs)
        except BaseException:  # noqa: BLE001 - as above
            path, line, message, values, error, function, extra, stack = (*args, *[None] * 8)[:8]
            record = logging.LogRecord(name, level, path, line, message, values, error, function, stack)
            record.__dict__.update(extra if isinstance(extra, Mapping) else kwargs.get("extra") or {})
            return record

    def handle(self, record: logging.LogRecord) -> None:
        """Write it; then have handlers of the application get it, where there are any."""
        if record.levelno >= self.own.level:
            self.own.handle(record)
        muted = self.__dict__.get("disabled", False) or not super().isEnabledFor(record.levelno)
        if not muted and (logging.Logger.callHandlers is not _call_handlers or any(self._others())):
            self.own.pass_on(self, record)

    def pass_on(self, record: logging.LogRecord) -> None:
        """In a thread: to the application's handlers, and to what it has put in the place of `callHandlers`."""
        if not self.filter(record):
            return
        for handler in self._others():
            if record.levelno >= handler.level:
                with contextlib.suppress(BaseException):  # one must not keep the line from the next
                    handler.handle(record)
        if logging.Logger.callHandlers is not _call_handlers:  # as tools for error reports do
            alone = logging.Logger(self.name)  # noqa: LOG001 - without the handlers that have had it
            alone.addHandler(logging.NullHandler())
            logging.Logger.callHandlers(alone, record)

    def _others(self) -> Iterator[logging.Handler]:
        logger: logging.Logger | None = self
        while logger is not None:
            yield from (handler for handler in list(logger.handlers) if not _is_on_terminal(handler))
            logger = logger.parent if logger.propagate else None


def _is_on_terminal(handler: logging.Handler) -> bool:
    """Return True if it writes to standard output or standard error, as far as that can be seen."""
    stream = getattr(handler, "stream", None)
    if stream is None:
        return False
    if stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        return True
    try:
        return stream.fileno() in {1, 2}
    except Exception:  # noqa: BLE001 - it is no file
        return False


def always_write(level: str, formatter: logging.Formatter, fields: logging.Filter | None = None) -> None:
    """From now on, write what the worker logs.

    Args:
        level: of the lines that are written; for handlers of the application its own levels count.
        formatter: of the lines.
        fields: adds fields to each record.
    """
    WorkerLogger.own = OwnHandler(level, formatter)
    if fields is not None:
        WorkerLogger.own.addFilter(fields)
    for name in NAMES:
        logging.getLogger(name).__class__ = WorkerLogger
