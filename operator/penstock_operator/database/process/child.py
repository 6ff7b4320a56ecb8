"""The process of one database as the operator sees it: its socket, its log lines, and why it exited.

Owns the start, the kill and the reaping of that process. Must not speak the protocol on the socket or restart anything.
The process gets few variables and no PG* one, and its standard error counts as untrusted: lines are shortened,
sanitized and limited to ten a minute, because a tenant chooses what the database reports.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Final, Self

from penstock.errors import DatabaseUnavailable, StoreError

from ...errors import DatabaseMisbehaves
from ...sanitize import sanitized
from .limits import EXIT_MEMORY

logger = logging.getLogger("penstock.operator.database")

KEPT: Final = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "OPENSSL_CONF",
    "LOCALDOMAIN",
    "RES_OPTIONS",
)
"""Variables of the operator that a process gets. No PG* variable: it would complete what a tenant's URL leaves out."""
REAP_SECONDS: Final = 0.02
"""Between two checks whether a killed process has exited."""
LINES_A_MINUTE: Final = 10
READ_BYTES: Final = 4096


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process. HOME leads nowhere: libpq would search it for passwords and keys."""
    kept = {name: environ[name] for name in KEPT if name in environ}
    return {**kept, "HOME": "/nonexistent", "MALLOC_ARENA_MAX": "1", "PYTHONDONTWRITEBYTECODE": "1"}


class ChildLog:
    """The standard error of a database's processes, as log lines of the operator: few, short, harmless.

    Args:
        named: what a line calls the database.
        clock: monotonic seconds.
    """

    def __init__(self, named: Callable[[], str], clock: Callable[[], float] = time.monotonic) -> None:
        self._named, self._clock = named, clock
        self._rest = b""
        self._minute, self._lines = float("-inf"), 0

    def feed(self, data: bytes) -> None:
        """Log the lines that are complete; at most ten in a minute, the others are dropped."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-READ_BYTES:]
        for line in lines:
            now = self._clock()
            if now - self._minute >= 60.0:
                self._minute, self._lines = now, 0
            self._lines += 1
            if self._lines <= LINES_A_MINUTE:
                text = sanitized(line.decode("utf-8", "replace"))
                logger.warning("output of the database process", extra={"database": self._named(), "line": text})


class DatabaseProcess:
    """One process. `reader` has its frames."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        log: ChildLog,
    ) -> None:
        self.reader = reader
        self._process, self._writer, self._log = process, writer, log
        self._killed = False
        assert process.stderr is not None
        self._errors = process.stderr.fileno()
        os.set_blocking(self._errors, False)
        asyncio.get_running_loop().add_reader(self._errors, self._read_log)

    @classmethod
    async def start(cls, *, memory_mib: int, log: ChildLog) -> Self:
        """Start a process; it says that it is ready by its first frame.

        Raises:
            OSError: there is no room for another process, or too few file descriptors.
        """
        ours, theirs = socket.socketpair()
        process: subprocess.Popen[bytes] | None = None
        try:
            with theirs:
                process = _spawn(theirs.fileno(), memory_mib)
            reader, writer = await asyncio.open_unix_connection(sock=ours)
        except BaseException:
            ours.close()
            if process is not None:
                process.kill()
                process.wait()
            raise
        return cls(process, reader, writer, log)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """True if it may still answer."""
        return not self._killed and self._process.poll() is None

    def send(self, data: bytes) -> None:
        """Send a frame; to a process that has ended it goes nowhere."""
        if not self._writer.is_closing():
            self._writer.write(data)

    def kill(self) -> None:
        """End it; harmless when it has ended."""
        if self.running:
            self._killed = True
            self._process.kill()

    async def ended(self) -> StoreError:
        """Wait until it exits; returns the reason, as the error of the requests in progress."""
        while self._process.poll() is None:  # noqa: ASYNC110 - nothing notifies us: not every kernel has pidfds
            await asyncio.sleep(REAP_SECONDS)
        if self._errors >= 0:
            self._read_log()
        if self._errors >= 0:
            asyncio.get_running_loop().remove_reader(self._errors)
            assert self._process.stderr is not None
            self._process.stderr.close()
            self._errors = -1
        self._writer.close()
        return _reason(self._process.returncode, killed=self._killed)

    def _read_log(self) -> None:
        try:
            data = os.read(self._errors, READ_BYTES)
        except BlockingIOError:
            return
        if data:
            self._log.feed(data)
        else:
            asyncio.get_running_loop().remove_reader(self._errors)


def _spawn(descriptor: int, memory_mib: int) -> subprocess.Popen[bytes]:
    """Isolated from the operator's environment, its Python path and its terminal."""
    module = "penstock_operator.database.process.main"
    return subprocess.Popen(
        [sys.executable, "-I", "-m", module, str(descriptor), str(memory_mib)],
        env=environment(os.environ),
        pass_fds=[descriptor],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def _reason(code: int, *, killed: bool) -> StoreError:
    if killed and code == -signal.SIGKILL:
        return DatabaseUnavailable("the database process was killed because it did not answer in time")
    if code in {EXIT_MEMORY, -signal.SIGKILL}:  # the latter by the kernel, for want of memory
        return DatabaseMisbehaves("its answers exceeded the memory limit of one database")
    if code == -signal.SIGXCPU:
        return DatabaseMisbehaves("its answers exceeded the CPU limit of one database")
    return StoreError(f"the database process exited with code {code}")
