"""State of the process: its memory, and settings that the worker relies on and code of the application may change."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


class ProcessState:
    """Settings as they were when they were noted; before that, nothing is restored."""

    def __init__(self) -> None:
        self._stack = 0
        self._environment: dict[str, str] | None = None
        self._folder: Path | None = None

    def note(self) -> None:
        """Remember them: at the start, after the import of the application."""
        self._stack, self._environment = sys.getrecursionlimit(), dict(os.environ)
        with contextlib.suppress(OSError):  # it was removed
            self._folder = Path.cwd()

    def keep_stack(self) -> None:
        """Raise the recursion limit to what was noted, if a task has lowered it: steps of ours need stack as well."""
        if sys.getrecursionlimit() < self._stack:
            sys.setrecursionlimit(self._stack)

    @property
    def environment(self) -> dict[str, str] | None:
        """The environment of child processes; None: the current one."""
        return self._environment

    @property
    def folder(self) -> Path | None:
        """The working folder of child processes; None: that of this moment."""
        return self._folder if self._folder is not None and self._folder.is_dir() else None


here = ProcessState()
"""Of this process."""


def resident() -> int:
    """Bytes of memory that this process has resident; 0 where /proc does not say."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
