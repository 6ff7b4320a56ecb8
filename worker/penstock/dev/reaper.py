"""A process that stops the children of `penstock dev` if their parent is killed.

The reaper reads commands from a pipe: which processes to stop, which directories to remove. If the pipe closes without
`dismiss`, because the parent was killed, it sends each process its signal, waits, sends SIGKILL, and removes the
directories. It must not import penstock: it runs as a script, isolated and without site-packages, to start in
milliseconds and to work even if the environment is broken.

A parent-death signal (prctl) exists on Linux only, and it fires when the *thread* that started the child exits: for a
server started from a worker thread that is at once.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

GRACE_SECONDS = 5.0
"""Time between a process's signal and SIGKILL."""


class Reaper:
    """Stops watched processes and removes directories if this process dies; does nothing after `close()`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        command = [sys.executable, "-I", "-S", str(Path(__file__).resolve())]
        self._process = subprocess.Popen(  # in its own session: a terminal's Ctrl-C must not reach it
            command, stdin=subprocess.PIPE, text=True, start_new_session=True, cwd="/"
        )

    @property
    def pid(self) -> int:
        """Process id of the reaper."""
        return self._process.pid

    def watch(self, pid: int, *, with_signal: int = signal.SIGTERM) -> None:
        """If this process dies, send `with_signal` to `pid`, and SIGKILL after `GRACE_SECONDS`."""
        self._send(f"watch {pid} {int(with_signal)}")

    def forget(self, pid: int) -> None:
        """Stop watching `pid`, because it has exited."""
        self._send(f"forget {pid}")

    def remove(self, path: Path) -> None:
        """If this process dies, remove the directory `path` after every watched process has exited."""
        self._send(f"remove {path}")

    def close(self) -> None:
        """Dismiss the reaper; the caller stops what it watched."""
        self._send("dismiss")
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process.wait()

    def _send(self, line: str) -> None:
        with self._lock, contextlib.suppress(BrokenPipeError, ValueError):
            assert self._process.stdin is not None
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()


class _Watched:
    """One process to stop, by file descriptor where the system has them, because a process id may be reused."""

    def __init__(self, pid: int, with_signal: int) -> None:
        self.pid, self.with_signal = pid, with_signal
        self._fd: int | None = None
        self._gone = False
        if sys.platform == "linux":
            try:
                self._fd = os.pidfd_open(pid)
            except ProcessLookupError:
                self._gone = True
            except OSError:
                self._fd = None  # an old kernel or a strict sandbox: use the id

    def send(self, number: int) -> None:
        if self._gone:
            return
        try:
            if sys.platform == "linux" and self._fd is not None:
                signal.pidfd_send_signal(self._fd, number)
            else:
                os.kill(self.pid, number)
        except ProcessLookupError:
            self._gone = True

    def gone(self) -> bool:
        self.send(0)
        return self._gone or _is_zombie(self.pid)


def _is_zombie(pid: int) -> bool:
    """Return True if the process exited without being reaped, as under a container's PID 1."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False


def _stop(watched: list[_Watched], paths: list[str]) -> None:
    for process in watched:
        process.send(process.with_signal)
    until = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < until and not all(process.gone() for process in watched):
        time.sleep(0.05)
    for process in watched:
        process.send(signal.SIGKILL)
    until = time.monotonic() + 1
    while time.monotonic() < until and not all(process.gone() for process in watched):
        time.sleep(0.05)
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)


def main() -> None:
    """Read commands from stdin until it closes; then stop the watched processes, unless dismissed."""
    watched: dict[int, _Watched] = {}
    paths: list[str] = []
    for line in sys.stdin:
        word, _, rest = line.rstrip("\n").partition(" ")
        if word == "watch":
            pid, number = rest.split()
            watched[int(pid)] = _Watched(int(pid), int(number))
        elif word == "forget":
            watched.pop(int(rest), None)
        elif word == "remove":
            paths.append(rest)
        elif word == "dismiss":
            return
    _stop(list(watched.values()), paths)


if __name__ == "__main__":
    main()
