"""The first process of a node's namespaces: `python -m tests.support.cluster.init NAME`, started by `node.py`.

Owns the mounts and the network inside, and the components as its children. It ends as soon as one of them ends that
nobody asked to stop, with the end of that component's log in the file `failure`; the kernel then ends all other
processes of the node, and with the last one the mounts, links and firewall rules are gone.

Commands come over the socket `control`, a JSON list a line: ["stop", COMPONENT], ["kill", COMPONENT],
["start", COMPONENT], ["pause", COMPONENT], ["resume", COMPONENT].
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from tests.support.cluster import cgroups
from tests.support.cluster.components import SYSCTLS
from tests.support.cluster.layout import Layout, load

TURN_SECONDS = 0.05
STOP_SECONDS = 30.0
READY_SECONDS = 180.0
LOG_LINES = 25
_SIGNALS = {"pause": signal.SIGSTOP, "resume": signal.SIGCONT}


class ComponentEndedError(Exception):
    """A component ended by itself; the text has its exit code and the end of its log."""


class Components:
    """The children of this process, by name.

    Args:
        layout: of the node.
        commands: their command lines, in the order of their start.
    """

    def __init__(self, layout: Layout, commands: dict[str, list[str]]) -> None:
        self._layout = layout
        self._commands = commands
        self._running: dict[str, int] = {}

    def start(self, name: str) -> None:
        """Start one; the caller waits for it to become ready. The shim of containerd is found on PATH."""
        command = self._commands[name]
        programs = str(Path(self._commands["containerd"][0]).parent)
        environ = {**os.environ, "PATH": f"{programs}:{os.environ.get('PATH', os.defpath)}"}
        with (self._layout.logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=None if name == "dns" else self._layout.folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        process.returncode = 0  # reaped by `reap`, with all others
        self._running[name] = process.pid

    def command(self, action: str, name: str) -> None:
        """Carry out a command of the control socket."""
        if action == "start":
            self.start(name)
        elif action in _SIGNALS:
            os.kill(self._running[name], _SIGNALS[action])
        else:
            pid = self._running.pop(name)
            os.kill(pid, signal.SIGCONT)
            os.kill(pid, signal.SIGTERM if action == "stop" else signal.SIGKILL)
            self._wait_for(pid)

    def reap(self) -> None:
        """Collect processes that have ended, also those of containers whose parent has ended before.

        Raises:
            ComponentEndedError: one of them is a component.
        """
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            for name, of in self._running.items():
                if of == pid:
                    code = os.waitstatus_to_exitcode(status)
                    raise ComponentEndedError(f"{name} ended with {code}; the end of its log:\n{self.log(name)}")

    def log(self, name: str) -> str:
        """The last lines that a component has written."""
        lines = (self._layout.logs / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-LOG_LINES:])

    def wait_until(self, ready: Callable[[], bool], what: str) -> None:
        """Wait for a condition while all components are running.

        Raises:
            ComponentEndedError: one has ended, or the condition does not come true within three minutes.
        """
        deadline = time.monotonic() + READY_SECONDS
        while not ready():
            self.reap()
            if time.monotonic() > deadline:
                logs = "\n".join(f"--- {name}\n{self.log(name)}" for name in self._running)
                raise ComponentEndedError(f"not within {READY_SECONDS:.0f} s: {what}\n{logs}")
            time.sleep(TURN_SECONDS)

    def _wait_for(self, pid: int) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        while Path(f"/proc/{pid}").exists():
            self.reap()
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(TURN_SECONDS)


def mount_private(layout: Layout) -> None:
    """Replace the folders that components write to by private ones, and cover settings of the whole machine.

    The kubelet, containerd and the CNI plugins have a few fixed paths below /run, /var/lib and /var/log.
    """
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for name in ("upper", "work"):
        Path(f"/run/var-lib/{name}").mkdir(parents=True)
    options = "lowerdir=/var/lib,upperdir=/run/var-lib/upper,workdir=/run/var-lib/work"
    _run("mount", "-t", "overlay", "-o", options, "overlay", "/var/lib")
    _run("mount", "-t", "tmpfs", "tmpfs", "/var/log")
    for name in SYSCTLS:
        target = Path("/proc/sys") / name
        if target.exists():
            _run("mount", "--bind", str(layout.folder / "sysctl" / name.replace("/", ".")), str(target))
    _run("mount", "--make-rshared", "/")
    socket.sethostname(layout.name)


def set_up_network(layout: Layout) -> None:
    """Loopback, this end of the link, the pods' bridge; a packet for any other network leaves by the link."""
    while not Path("/proc/sys/net/ipv4/conf/eth0").exists():
        time.sleep(TURN_SECONDS)
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "addr", "add", f"{layout.node_address}/{layout.link_network.prefixlen}", "dev", "eth0")
    _run("ip", "link", "set", "eth0", "up")
    _run("ip", "route", "add", "default", "via", layout.host_address)
    _run("ip", "link", "add", "cni0", "type", "bridge")
    _run("ip", "addr", "add", f"{layout.bridge_address}/{layout.pod_network.prefixlen}", "dev", "cni0")
    _run("ip", "link", "set", "cni0", "up")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def bring_up(layout: Layout, components: Components, names: list[str]) -> None:
    """Start all components; API server and containerd first, because the others wait for them by backing off."""
    components.start("etcd")
    components.start("kube-apiserver")
    components.start("containerd")
    components.wait_until(lambda: _api_server_ready(layout), "the API server is ready")
    for name in names:
        if name not in {"etcd", "kube-apiserver", "containerd", "kubelet"}:
            components.start(name)
    components.wait_until(lambda: _listens("/run/containerd/containerd.sock"), "containerd listens")
    _run(str(Path(sys.argv[2])), "-n", "k8s.io", "images", "import", str(layout.folder / "pause.tar"))
    components.start("kubelet")


def serve(layout: Layout, components: Components) -> None:
    """Reap and take commands until a component ends."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(layout.control_socket))
        listener.listen()
        listener.settimeout(TURN_SECONDS)
        (layout.folder / "started").touch()
        while True:
            components.reap()
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection, connection.makefile("rw") as stream:
                try:
                    components.command(*json.loads(stream.readline()))
                    stream.write("done\n")
                except (OSError, KeyError, ValueError, TypeError) as error:
                    stream.write(f"{type(error).__name__}: {error}\n")


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def _api_server_ready(layout: Layout) -> bool:
    context = ssl.create_default_context(cafile=str(layout.folder / "ca.crt"))
    try:
        with urllib.request.urlopen(f"{layout.url}/readyz", timeout=10, context=context) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ComponentEndedError(f"{' '.join(command)}: {done.stderr.strip()}")


def main() -> None:
    layout = load(sys.argv[1])
    assert layout is not None
    try:
        cgroups.join(layout.cgroup)
        mount_private(layout)
        set_up_network(layout)
        commands = json.loads((layout.folder / "commands.json").read_text())
        components = Components(layout, commands)
        bring_up(layout, components, list(commands))
        serve(layout, components)
    except (ComponentEndedError, OSError) as error:
        (layout.folder / "failure").write_text(str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
