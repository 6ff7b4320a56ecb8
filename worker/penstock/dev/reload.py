"""Detects changes of code by the modification times of files.

Polls `*.py` below a directory twice a second, in a thread; hidden directories, virtual environments and caches are
skipped. Polling works with every editor and with network drives, and needs no library.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PERIOD_SECONDS = 0.5
SKIPPED = {"__pycache__", "node_modules", "site-packages", "venv"}


def changes(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """Files that were added, removed or written, sorted."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def times(root: Path) -> dict[str, int]:
    """When each Python file below `root` was last written, in nanoseconds."""
    found: dict[str, int] = {}
    for path in _files(root):
        try:
            found[path] = os.stat(path).st_mtime_ns  # noqa: PTH116 - a Path for each file would double the time of a scan
        except FileNotFoundError:
            continue
    return found


def _files(root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in SKIPPED]
        yield from (os.path.join(folder, name) for name in files if name.endswith(".py"))  # noqa: PTH118


async def watch(root: Path, changed: Callable[[list[str]], None], *, period: float = PERIOD_SECONDS) -> None:
    """Call `changed` with the files after each change below `root`, until cancelled. `period` is in seconds."""
    before = await asyncio.to_thread(times, root)
    while True:
        await asyncio.sleep(period)
        after = await asyncio.to_thread(times, root)
        if found := changes(before, after):
            changed(found)
        before = after
