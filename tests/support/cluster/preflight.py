"""What this machine must have for a node; each obstacle is one sentence that says what to do.

Must not change anything. `obstacle()` is the reason to skip where it is not None.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.cluster import cgroups
from tests.support.cluster.components import CNI_PLUGINS
from tests.support.cluster.layout import SOCKET_BYTES, Layout, nodes_folder

FREE_GIGABYTES = 6
TOOLS = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "mount": "mount",
    "ip": "iproute2",
    "iptables": "iptables",
    "runc": "runc",
    "openssl": "openssl",
}
"""Program -> its package in Debian."""
UNSHARE = (
    *("unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"),
    *("--mount-proc", "--propagation", "private", "--"),
)
"""The head of a command that runs in namespaces of its own; its processes end with it."""
_PRIVATE = ("/run", "/var/lib", "/var/log")


def obstacle(name: str) -> str | None:
    """Why this machine cannot carry a node of that name, in one sentence, or None."""
    checks: list[Callable[[], str | None]] = [
        _system,
        _root,
        _tools,
        _plugins,
        lambda: _folder(name),
        _disk,
        _namespaces,
        _cgroups,
    ]
    return next((found for check in checks if (found := check())), None)


def _system() -> str | None:
    if sys.platform != "linux" or platform.machine() not in {"x86_64", "aarch64"}:
        return f"a node needs Linux on x86_64 or aarch64, this is {sys.platform} on {platform.machine()}"
    return None


def _root() -> str | None:
    if os.geteuid() != 0:
        return f"a node needs root for namespaces, mounts and cgroups, this is uid {os.geteuid()}"
    return None


def _tools() -> str | None:
    missing = {program: package for program, package in TOOLS.items() if shutil.which(program) is None}
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        return f"a node needs {', '.join(missing)} on PATH; install {packages}"
    return None


def _plugins() -> str | None:
    missing = [name for name in ("bridge", "host-local", "portmap", "loopback") if not Path(CNI_PLUGINS, name).exists()]
    if missing:
        names = ", ".join(missing)
        return f"a node needs the CNI plugins {names} in {CNI_PLUGINS}; install containernetworking-plugins"
    return None


def _folder(name: str) -> str | None:
    layout = Layout(name=name, number=0)
    if any(layout.folder.resolve().is_relative_to(one) for one in _PRIVATE):
        return f"{layout.folder} is below {' or '.join(_PRIVATE)}, which a node replaces; set XDG_CACHE_HOME"
    if len(str(layout.control_socket)) >= SOCKET_BYTES:
        return f"{layout.control_socket} is too long for a socket's path; set XDG_CACHE_HOME to a shorter one"
    return None


def _disk() -> str | None:
    folder = nodes_folder()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        free = shutil.disk_usage(existing).free / 1e9
    except OSError as error:
        return f"{existing} cannot be read: {error}"
    if free < FREE_GIGABYTES:
        needs = f"a node needs {FREE_GIGABYTES} GB below {existing}, which has {free:.1f}"
        return f"{needs}; free some or set XDG_CACHE_HOME"
    return None


def _namespaces() -> str | None:
    tried = [*UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/run"]
    done = subprocess.run(tried, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = done.stderr.strip().splitlines() or ["no reason given"]
        return f"this machine does not let root make namespaces and mounts: {reason[-1]}"
    return None


def _cgroups() -> str | None:
    name = f"penstock-probe-{os.getpid()}"
    try:
        cgroups.create(name)
        cgroups.remove(name)
    except (OSError, cgroups.CgroupError) as error:
        return f"this machine does not let root make cgroups: {re.sub(r'^cannot create a cgroup: ', '', str(error))}"
    return None
