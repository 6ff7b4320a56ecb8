"""A node of this machine, from outside: up, down, commands to it.

Owns what is visible to the machine: one network link, the cgroups, the node's folder, and the process that holds its
namespaces. Must not touch the machine's firewall, settings or mounts. All else is inside the namespaces of `init.py`
and disappears with its first process, also when that is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from tests.support.api_client import ApiClient, ApiError
from tests.support.cluster import cgroups, layout, link, pause_image
from tests.support.cluster.cgroups import CgroupError
from tests.support.cluster.components import PAUSE_IMAGE, Setup
from tests.support.cluster.layout import Layout
from tests.support.cluster.link import LinkError
from tests.support.cluster.preflight import UNSHARE, obstacle
from tests.support.cluster.programs import Programs, programs
from tests.support.cluster.snapshotter import snapshotter
from tests.support.go_build import ROOT, Echo, build_lock

READY_SECONDS = 240.0
TURN_SECONDS = 0.1


class NodeUnavailableError(Exception):
    """This machine cannot carry a node; the text is one sentence."""


class NodeFailedError(Exception):
    """The node did not become ready, or has ended; the text has the reason and the end of a log."""


class Node:
    """A running node.

    Args:
        where: its layout.
        built: the built programs.
        holder: host's process id of the node's first process.
    """

    def __init__(self, where: Layout, built: Programs, holder: int) -> None:
        self.layout = where
        self.programs = built
        self.holder = holder
        self.token = _token(where)

    @property
    def client(self) -> ApiClient:
        """An administrator's."""
        return ApiClient(url=self.layout.url, ca_file=self.layout.folder / "ca.crt", token=self.token)

    def check(self) -> None:
        """Raise if the node has ended.

        Raises:
            NodeFailedError: with the reason.
        """
        if not _is_holder(self.layout.name, self.holder):
            raise NodeFailedError(f"node {self.layout.name} has ended: {failure(self.layout)}")

    def command(self, action: str, component: str) -> None:
        """Stop (SIGTERM), kill (SIGKILL), start, pause (SIGSTOP) or resume (SIGCONT) a component.

        Raises:
            NodeFailedError: it has no such component, or has ended.
        """
        self.check()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(READY_SECONDS)
            connection.connect(str(self.layout.control_socket))
            with connection.makefile("rw") as stream:
                stream.write(json.dumps([action, component]) + "\n")
                stream.flush()
                answer = stream.readline().strip()
        if answer != "done":
            raise NodeFailedError(f"{action} {component}: {answer or 'no answer'}")

    def run(self, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a program inside the node's namespaces."""
        enter = ["nsenter", "--target", str(self.holder), "--mount", "--net", "--pid", "--uts", "--ipc", "--"]
        return subprocess.run([*enter, *command], capture_output=True, text=True, check=False, **options)

    def load(self, archive: Path) -> None:
        """Import the images of an archive.

        Raises:
            NodeFailedError: containerd refused it.
        """
        done = self.run(self.programs.path("ctr"), "-n", "k8s.io", "images", "import", str(archive))
        if done.returncode:
            raise NodeFailedError(f"{archive.name} cannot be imported: {done.stderr.strip()[-500:]}")


def find(name: str, echo: Echo) -> Node | None:
    """The running node of that name."""
    where = layout.load(name)
    holder = _saved_holder(name)
    if where is None or holder is None or not (where.folder / "ready").exists():
        return None
    return Node(where, programs(echo), holder)


def up(name: str, echo: Echo, *, tied: bool = False) -> Node:
    """A ready node of that name: the running one, or a new one.

    Args:
        name: of the node.
        echo: takes lines about the progress.
        tied: the node ends with this process, even if that is killed.

    Raises:
        NodeUnavailableError: this machine cannot carry a node.
        BuildError: its programs cannot be built.
        NodeFailedError: it did not become ready; nothing is left of it.
    """
    if running := find(name, echo):
        return running
    if reason := obstacle(name):
        raise NodeUnavailableError(reason)
    built = programs(echo)
    started = time.monotonic()
    try:
        with build_lock(layout.nodes_folder() / "lock", f"start of node {name}", echo):
            _remove_leftovers()
            where = _claim(name)
            holder = _start(where, built, tied=tied)
        node = Node(where, built, holder)
        _wait_until_ready(node)
    except (CgroupError, LinkError, OSError) as error:
        down(name)
        raise NodeFailedError(f"node {name} cannot start: {error}") from error
    except BaseException:
        down(name)
        raise
    (where.folder / "ready").touch()
    echo(f"node {name}: ready after {time.monotonic() - started:.1f} s")
    return node


def down(name: str) -> None:
    """End the node and remove every trace; harmless if there is none, and after a run that was killed."""
    where = layout.load(name) or Layout(name=name, number=0)
    holder = _saved_holder(name)
    if holder is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(holder, signal.SIGKILL)
    if (outer := _outer.pop(name, None)) is not None:
        outer.kill()
        outer.wait()
    if os.geteuid() == 0 and cgroups.ROOT.exists():
        for pid in cgroups.processes(where.cgroup):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        cgroups.remove(where.cgroup)
    link.remove(where)
    shutil.rmtree(where.folder, ignore_errors=True)


def failure(where: Layout) -> str:
    """Why the node has ended, as far as it could say."""
    for name in ("failure", "node.log"):
        with contextlib.suppress(OSError):
            lines = (where.folder / name).read_text(errors="replace").splitlines()
            # unshare's own word for a child that a signal has ended.
            if text := "\n".join(line for line in lines if "sigprocmask unblock failed" not in line).strip():
                return text[-6000:]
    return "it was killed"


def _remove_leftovers() -> None:
    """Of runs that were killed. While the lock is held every other node has a first process, or is a leftover."""
    for path in layout.nodes_folder().iterdir():
        if path.is_dir() and _saved_holder(path.name) is None:
            down(path.name)


def _claim(name: str) -> Layout:
    """A layout whose networks are free, with its folder and cgroups."""
    where = layout.free_layout(name, list(link.networks()))
    if where is None:
        raise NodeUnavailableError("all 64 pairs of networks in 10.244.0.0/15 are in use on this machine")
    where.folder.mkdir(mode=0o700, parents=True)
    where.save()
    cgroups.create(where.cgroup)
    return where


def _start(where: Layout, built: Programs, *, tied: bool) -> int:
    """Start the first process and give it its end of the link; its process id."""
    Setup(layout=where, programs=built, snapshotter=snapshotter(where.folder)).write()
    pause_image.pack(Path(built.path("pause")), PAUSE_IMAGE, where.folder / "pause.tar")
    guard = ["setpriv", "--pdeathsig", "KILL", "--"] if tied else []
    init = [sys.executable, "-m", "tests.support.cluster.init", where.name, built.path("ctr")]
    with (where.folder / "node.log").open("wb") as log:
        outer = subprocess.Popen(
            [*guard, *UNSHARE, *init],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _outer[where.name] = outer
    holder = _child_of(outer, where)
    (where.folder / "holder").write_text(f"{holder} {_start_time(holder)}")
    link.create(where, holder)
    return holder


_outer: dict[str, subprocess.Popen[bytes]] = {}


def outer_pids() -> list[int]:
    """Children of this process that hold nodes."""
    return [process.pid for process in _outer.values()]


def _child_of(outer: subprocess.Popen[bytes], where: Layout) -> int:
    """The process that unshare has forked, once it is in its own network namespace."""
    deadline = time.monotonic() + READY_SECONDS
    own = Path("/proc/self/ns/net").readlink()
    while outer.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            for pid in Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split():
                if Path(f"/proc/{pid}/ns/net").readlink() != own:
                    return int(pid)
        time.sleep(0.01)
    raise NodeFailedError(f"no namespaces: {failure(where)}")


def _wait_until_ready(node: Node) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not _ready(node):
        node.check()
        if time.monotonic() > deadline:
            raise NodeFailedError(f"not ready after {READY_SECONDS:.0f} s; its logs are in {node.layout.logs}")
        time.sleep(TURN_SECONDS)


def _ready(node: Node) -> bool:
    if not (node.layout.folder / "started").exists():
        return False
    try:
        found = node.client.request("GET", f"/api/v1/nodes/{node.layout.name}")
        node.client.request("GET", "/api/v1/namespaces/default/serviceaccounts/default")
    except (ApiError, OSError):
        return False
    conditions = {one["type"]: one["status"] for one in found["status"].get("conditions", ())}
    return conditions.get("Ready") == "True"


def _token(where: Layout) -> str:
    return str(yaml.safe_load(where.kubeconfig.read_text())["users"][0]["user"]["token"])


def _saved_holder(name: str) -> int | None:
    """The first process of the node of that name, if it is still the one that was started."""
    try:
        pid, start = (layout.nodes_folder() / name / "holder").read_text().split()
    except (OSError, ValueError):
        return None
    return int(pid) if _start_time(int(pid)) == start else None


def _is_holder(name: str, pid: int) -> bool:
    return _saved_holder(name) == pid


def _start_time(pid: int) -> str:
    """When a process was started, in ticks: with its id it names one process; empty if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
