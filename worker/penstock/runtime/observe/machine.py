"""Load, memory and threads of this process and its host, for the forensics of dead letters."""

from __future__ import annotations

import os
import platform
import threading
from pathlib import Path
from typing import Any


def machine_facts() -> dict[str, Any]:
    """The numbers that the platform reports; others are None or missing."""
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "pid": os.getpid(),
        "threads": threading.active_count(),
        "memory": {"resident_bytes": _resident(), "limit_bytes": _memory_limit()},
    }
    if hasattr(os, "getloadavg"):
        found["load"] = [round(load, 2) for load in os.getloadavg()]
    return found


def _resident() -> int | None:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _memory_limit() -> int | None:
    try:
        return int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such file, or "max"
        return None
