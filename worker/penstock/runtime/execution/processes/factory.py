"""Builds the process executor of a worker, and knows whether a job in a child process is isolated from the others.

If the kernel kills a cgroup as a whole (Kubernetes 1.28 and later sets memory.oom.group), a child process that takes
too much memory takes the worker with it; a suspect then runs alone even in a child process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from penstock.app.task import TaskRegistry
from penstock.errors import ConfigurationError
from penstock.job import ClaimedJob
from penstock.runtime.execution.outcomes import OutcomeBuilder
from penstock.settings import Settings

from .executor import ChildExecutor, LeaseDeadline, ProgressFields
from .pool import ProcessPool
from .protocol import Hello

GROUP_KILL: Final = Path("/sys/fs/cgroup/memory.oom.group")


def child_executor(
    settings: Settings,
    *,
    outcomes: OutcomeBuilder,
    lease: LeaseDeadline,
    report: Callable[[ClaimedJob, ProgressFields], None],
) -> ChildExecutor:
    """The executor; it starts nothing before `open`."""
    backoff = settings.backoff
    hello = Hello(
        app=settings.app,
        parent=os.getpid(),
        database_url=settings.database_url,
        pooled=settings.pooled,
        database_url_file=settings.database_url_file,
        log_level=settings.log_level,
        strategy=backoff.strategy,
        base_seconds=settings.backoff_base_seconds,
        max_seconds=settings.backoff_max_seconds,
        incompatible_seconds=settings.incompatible_seconds,
    )
    max_bytes = settings.child_max_resident_mib * 2**20
    children = ProcessPool(hello=hello, max_jobs=settings.child_max_jobs, max_bytes=max_bytes)
    return ChildExecutor(children=children, outcomes=outcomes, lease=lease, report=report)


def in_children(tasks: TaskRegistry, settings: Settings) -> frozenset[str]:
    """Names of the tasks that this worker runs in child processes.

    Raises:
        ConfigurationError: there are some, and no import path from which a child could import the App.
    """
    found = [task for task in tasks.values() if task.executor_for(settings.executor) == "process"]
    if found and not settings.app:
        raise ConfigurationError(
            f"app (PENSTOCK_APP) must be given, as package.module:attribute: task {found[0].name!r} runs in a child "
            "process, which imports it"
        )
    return frozenset(name for task in found for name in (task.name, *task.aliases))


def killed_as_one(path: Path = GROUP_KILL) -> bool:
    """Return True if the kernel kills all processes of this container when memory runs out."""
    try:
        return path.read_text(encoding="ascii").strip() == "1"
    except OSError:
        return False
