"""Reads objects as deeply nested as the API server accepts: a JobQueue must not crash the operator.

The definition passes most of a PodSpec on unseen, and the API server accepts 10,000 levels. Python's parsers stop far
below that, in the middle of a list or a watch in which the JobQueues of everybody else are.
"""

from __future__ import annotations

import sys
import threading
from typing import Final

LEVELS: Final = 12_000
"""More than the API server accepts."""
STACK_BYTES: Final = 32 * 1024 * 1024
"""Of each thread; parsers need less than 8 MiB for that depth, and memory is taken only when it is used."""


def allow_deep_objects() -> None:
    """Set both for this process; before any thread is started."""
    sys.setrecursionlimit(max(LEVELS, sys.getrecursionlimit()))
    threading.stack_size(STACK_BYTES)
