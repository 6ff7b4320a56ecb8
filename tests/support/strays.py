"""Finds what a test left running: threads, child processes, asyncio tasks, and garbage that was never closed.

Checks this process and its children only, so workers of `pytest -n` do not see each other. Servers that live as long
as the session are announced with `keep`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
import sys
import threading
import time
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

GRACE_SECONDS = 30.0
"""How long something that is on its way out may take; a test that leaves nothing waits for nothing."""

_kept: list[Callable[[], Iterable[int | None]]] = []


def keep(pids: Callable[[], Iterable[int | None]]) -> None:
    """The children that `pids` names belong to the session, not to a test; asked each time, for servers restart."""
    _kept.append(pids)


def threads() -> set[threading.Thread]:
    return set(threading.enumerate())


def children() -> dict[int, str]:
    """Process ids of our children, zombies too, with their command; without the session's and multiprocessing's own."""
    own = {*(pid for pids in _kept for pid in pids()), getattr(resource_tracker._resource_tracker, "_pid", None)}
    found: dict[int, str] = {}
    for pid in _child_pids() - own:
        with contextlib.suppress(OSError):  # gone in the meantime
            command = Path(f"/proc/{pid}/cmdline").read_text()
            found[pid] = command.replace("\0", " ").strip() or "ended, not reaped"
    return found


def _child_pids() -> set[int]:
    """Of every thread; read twice, because a child that exits meanwhile may hide its siblings."""
    try:
        lists = [path.read_text() for _ in range(2) for path in Path("/proc/self/task").glob("[0-9]*/children")]
    except OSError:  # a thread has ended
        return _child_pids()
    return {int(pid) for one in lists for pid in one.split()} if lists else _scanned_child_pids()


def _scanned_child_pids() -> set[int]:
    """As `_child_pids`, where the kernel keeps no list of children: milliseconds instead of microseconds."""
    found: set[int] = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError, ValueError):  # gone in the meantime
            if int(stat.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.add(int(stat.parent.name))
    return found


def left_running(
    threads_before: set[threading.Thread], children_before: dict[int, str], *, grace: float = GRACE_SECONDS
) -> str:
    """What is there that was not there before, after a short grace; empty if nothing."""
    until = time.monotonic() + grace
    while True:
        new_threads = [thread.name for thread in threads() - threads_before if thread.is_alive()]
        new_children = [f"{pid} ({command})" for pid, command in children().items() if pid not in children_before]
        if not new_threads and not new_children:
            return ""
        if time.monotonic() > until:
            return f"threads: {new_threads or 'none'}; child processes: {new_children or 'none'}"
        time.sleep(0.01)


FREEZE = 50
"""What is alive after so many collections is left out of the next, until the end of the session: modules, fixtures."""
_collections = itertools.count(1)


def unclosed() -> list[str]:
    """What garbage said as it was collected: sockets and transports that nobody closed, coroutines never awaited."""
    messages: list[str] = []
    before, sys.unraisablehook = sys.unraisablehook, lambda garbage: messages.append(repr(garbage.exc_value))
    try:
        gc.collect()
    finally:
        sys.unraisablehook = before
    if next(_collections) % FREEZE == 0:
        gc.freeze()
    return messages


async def tasks_left_running(*, turns: int = 400) -> list[str]:
    """Names of the tasks on this loop other than the current one, after a few turns of the loop; each takes 5 ms."""
    for _ in range(turns):
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task() and not task.done()]
        if not left:
            return []
        await asyncio.sleep(0.005)
    return [f"{task.get_name()}: {task.get_coro()}" for task in left]
