"""Logs what a child process writes to its standard output and error, within bounds.

A child that writes without end is read at 1 MiB/s at most: it waits, and the worker does not work for it. Of the lines
in a second 50 are logged, and the number of the others. Must not block; keeps only the last lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import os
from collections import deque
from typing import Final

from penstock.job import ClaimedJob
from penstock.runtime.observe.logs import fields

logger = logging.getLogger("penstock.child")

READ_BYTES: Final = 64 * 1024
BYTES_PER_SECOND: Final = 1024 * 1024
LINES_PER_SECOND: Final = 50
MAX_LINE_BYTES: Final = 4096
"""The rest of a longer line is dropped."""
LAST_LINES: Final = 20
MAX_KEPT_CHARACTERS: Final = 300
"""Lines, and characters of each, that are kept for the error of a crash."""


class CapturedOutput:
    """One stream of one child.

    Args:
        fd: the reading side; closed by `close`.
        child: process id, for the lines.
        stream: stdout or stderr.
        level: of the lines.
    """

    def __init__(self, fd: int, *, child: int, stream: str, level: int, loop: asyncio.AbstractEventLoop) -> None:
        self._fd, self._level, self._loop = fd, level, loop
        self._origin: dict[str, object] = {"child": child, "stream": stream}
        self._rest = b""
        self._read = self._lines = self._dropped = 0
        self.last: deque[str] = deque(maxlen=LAST_LINES)
        """The last lines, logged or not."""
        self._window: asyncio.TimerHandle | None = None
        os.set_blocking(fd, False)
        self.job: ClaimedJob | None = None
        """The job that runs in the child, or ran last: its lines carry it."""
        contextvars.Context().run(loop.add_reader, fd, self._readable)  # not that of an attempt

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._loop.remove_reader(self._fd)
            return
        if self._window is None:
            self._window = self._loop.call_later(1.0, self._window_over)
        self._read += len(data)
        if self._read >= BYTES_PER_SECOND:
            self._loop.remove_reader(self._fd)
        self._split(data)

    def _split(self, data: bytes) -> None:
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._log(line)
        if len(rest) > MAX_LINE_BYTES:
            self._log(rest)
            rest = b""
        self._rest = rest

    def _log(self, line: bytes) -> None:
        text = line[:MAX_LINE_BYTES].decode("utf-8", "replace").rstrip()
        if not text:
            return
        text = "".join(sign if sign.isprintable() else " " for sign in text)
        self.last.append(text[:MAX_KEPT_CHARACTERS])
        if self._lines >= LINES_PER_SECOND:
            self._dropped += 1
            return
        self._lines += 1
        logger.log(self._level, "%s", text, extra=self._extra())

    def _extra(self) -> dict[str, object]:
        return self._origin if self.job is None else {**fields(self.job), **self._origin}

    def _window_over(self) -> None:
        if self._dropped:
            logger.warning("output of a child process suppressed", extra={**self._origin, "lines": self._dropped})
        paused = self._read >= BYTES_PER_SECOND
        self._window, self._read, self._lines, self._dropped = None, 0, 0, 0
        if paused:
            self._loop.add_reader(self._fd, self._readable)

    def close(self) -> None:
        """The child exited: log what is left, once, and close; a process that it forked may hold the other side."""
        self._loop.remove_reader(self._fd)
        with contextlib.suppress(BlockingIOError):
            self._split(os.read(self._fd, READ_BYTES))
        if self._rest:
            self._log(self._rest)
        if self._window is not None:
            self._window.cancel()
            if self._dropped:
                logger.warning("output of a child process suppressed", extra={**self._origin, "lines": self._dropped})
        os.close(self._fd)
