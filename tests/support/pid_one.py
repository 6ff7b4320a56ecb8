"""A command as PID 1 of a PID namespace of its own, as the entry point of a container is: only root can start one.

The kernel drops a signal to PID 1 that has no handler, so only such a process shows whether one is lost.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.waiting import eventually

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="only root makes a PID namespace, and needs unshare for it",
)
SECONDS = 120.0


class PidOne:
    """One such command; its exit code is that of `unshare`, which waits for it."""

    def __init__(self, outer: subprocess.Popen[str]) -> None:
        self._outer = outer
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
        self.pid = int(eventually(lambda: children.read_text().split(), "the command has started")[0])

    def alive(self) -> bool:
        """Whether it runs."""
        return self._outer.poll() is None

    def terminated(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send the signal once and wait: exit code and what it said."""
        os.kill(self.pid, number)
        said, _ = self._outer.communicate(timeout=SECONDS)
        return self._outer.returncode, said


@contextmanager
def pid_one(command: Sequence[str], environment: dict[str, str], *, cwd: Path) -> Iterator[PidOne]:
    """Start the command; what is left of it is killed at the end."""
    unshared = ["unshare", "--pid", "--fork", "--kill-child", *command]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background ignores it, inherited
    try:
        started = subprocess.Popen(
            unshared,
            env={**os.environ, **environment},
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with started as outer:
        try:
            yield PidOne(outer)
        finally:
            outer.kill()
