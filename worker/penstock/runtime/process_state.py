"""State of the process: its memory, and settings that the worker relies on and code of the application may change."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_stack = 0


def note_stack() -> None:
    """Remember the recursion limit: at the start, behind the import of the application."""
    global _stack  # noqa: PLW0603 - one per process, as the limit is
    _stack = sys.getrecursionlimit()


def keep_stack() -> None:
    """Raise the recursion limit to what was noted, should a task have lowered it: our own steps need stack as well."""
    if sys.getrecursionlimit() < _stack:
        sys.setrecursionlimit(_stack)


def resident() -> int:
    """Bytes of memory that this process has resident; 0 where /proc does not say."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
