"""The cgroups below which a node's processes are, on hosts with cgroup v1, v2 or both.

Owns their creation and removal. Must not limit anything; the kubelet does, for pods.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
COMPONENTS = "components"
REMOVE_SECONDS = 60.0


class CgroupError(Exception):
    """This machine does not let us use cgroups; the text says why."""


def unified() -> bool:
    """Whether the host has cgroup v2 alone."""
    return (ROOT / "cgroup.controllers").exists()


def hierarchies() -> list[Path]:
    """The mounted hierarchies; with v2 alone there is one."""
    if unified():
        return [ROOT]
    return sorted({path.resolve() for path in ROOT.iterdir() if (path / "cgroup.procs").exists()})


def create(name: str) -> None:
    """Make the cgroup and one below it for the node's components, in every hierarchy.

    Raises:
        CgroupError: none is mounted, or they cannot be written.
    """
    try:
        found = hierarchies()
        if not found:
            raise CgroupError("no cgroup hierarchy is mounted below /sys/fs/cgroup")
        for hierarchy in found:
            for path in (hierarchy / name, hierarchy / name / COMPONENTS):
                path.mkdir(exist_ok=True)
                _delegate(path.parent, path)
    except OSError as error:
        remove(name)
        raise CgroupError(f"cannot create a cgroup: {error}") from error


def _delegate(parent: Path, path: Path) -> None:
    """Let `path` use the controllers and, with v1, the CPUs and memory nodes of its parent."""
    if unified():
        controllers = (parent / "cgroup.controllers").read_text().split()
        wanted = [f"+{one}" for one in ("cpu", "cpuset", "io", "memory", "pids", "hugetlb") if one in controllers]
        (parent / "cgroup.subtree_control").write_text(" ".join(wanted))
        return
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (path / name).exists() and not (path / name).read_text().strip():
            (path / name).write_text((parent / name).read_text())


def join(name: str) -> None:
    """Move the calling process into the components' cgroup."""
    for hierarchy in hierarchies():
        (hierarchy / name / COMPONENTS / "cgroup.procs").write_text("0")


def processes(name: str) -> set[int]:
    """The processes of the node, pods included."""
    found: set[int] = set()
    for hierarchy in hierarchies():
        for path in (hierarchy / name).rglob("cgroup.procs"):
            with contextlib.suppress(OSError):  # removed meanwhile
                found.update(int(pid) for pid in path.read_text().split())
    return found


def remove(name: str) -> None:
    """Remove the cgroup and all below it, as soon as their processes have ended; harmless if there is none.

    Raises:
        CgroupError: something is still running there after a minute.
    """
    deadline = time.monotonic() + REMOVE_SECONDS
    for hierarchy in hierarchies():
        while (hierarchy / name).exists():
            for path, _, _ in os.walk(hierarchy / name, topdown=False):
                with contextlib.suppress(OSError):
                    Path(path).rmdir()
            if time.monotonic() > deadline:
                raise CgroupError(f"processes {sorted(processes(name))} of {hierarchy / name} do not end")
            time.sleep(0.02)
