"""A node changes nothing of the machine: while it runs, removed, killed, or if it cannot start."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import strays
from tests.support.cluster import cgroups, node
from tests.support.cluster.cluster import Cluster
from tests.support.cluster.components import SYSCTLS
from tests.support.cluster.layout import nodes_folder
from tests.support.go_build import ROOT
from tests.support.waiting import eventually

NAME = "traces"
UP = [sys.executable, "-m", "tests.support.cluster", "up"]


def _shell(preparation: str) -> list[str]:
    """The head of a command that runs after a preparation in mount and network namespaces of its own."""
    return ["unshare", "--mount", "--net", "sh", "-ec", f'{preparation}; exec "$@"', "-"]


OBSTACLES = {
    "no root": (["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"], "needs root"),
    "no runc": (["env", "PATH=/nowhere"], "needs .*runc.* on PATH; install .*runc"),
    "no namespaces": (["setpriv", "--bounding-set=-sys_admin", "--"], "namespaces"),
    "no cgroups": (_shell("mount -t tmpfs tmpfs /sys/fs/cgroup"), "cgroup"),
    "disk full": (
        _shell("mount -t tmpfs -o size=9m tmpfs /mnt; export XDG_CACHE_HOME=/mnt"),
        r"needs \d+ GB below /mnt",
    ),
    "no network": (_shell("ip link set lo up; ip addr add 10.244.0.1/15 dev lo"), "all 64 pairs of networks"),
    "a folder that it replaces": (["env", "XDG_CACHE_HOME=/var/lib/penstock-test"], "set XDG_CACHE_HOME"),
    "a bad name": (["env", "PENSTOCK_CLUSTER=Two Words"], "PENSTOCK_CLUSTER: .*'Two Words'"),
}
"""What is missing -> how to take it away, and what the one sentence says."""


@pytest.fixture
def name(cluster: Cluster) -> Iterator[str]:
    """A second node's name, next to the session's."""
    if cluster.node is None:
        pytest.skip("the cluster is not a node of this machine")
    strays.keep(node.outer_pids)
    yield NAME
    node.down(NAME)


@pytest.mark.parametrize("missing", OBSTACLES)
def test_what_a_machine_lacks_for_a_node_is_reported_in_one_sentence(missing: str, cluster: Cluster):
    """What is missing and what to do, a failure for the shell, and nothing left."""
    if cluster.node is None:
        pytest.skip("the cluster is not a node of this machine")
    before = things()
    head, sentence = OBSTACLES[missing]
    environ = {**os.environ, "PENSTOCK_CLUSTER": NAME}
    done = subprocess.run([*head, *UP], cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    said = done.stderr.strip().splitlines()[-1]
    assert re.search(f"^node: .*{sentence}", said), done.stderr
    assert "Traceback" not in done.stderr
    assert not (nodes_folder() / NAME).exists()
    eventually(lambda: not things() - before, "nothing is left")


def test_a_node_changes_nothing_of_the_machine_and_leaves_nothing(name: str):
    """While it runs there are one link and its cgroups; no mount, firewall rule or setting of the machine changes."""
    before = things()
    up = node.up(name, print, tied=True)
    eventually(lambda: own(things() - before, name) == own(things() - before), "only its own are new")
    assert f"link {up.layout.host_link}" in things() - before
    assert {thing for thing in things() - before if thing.startswith(("mount", "rule", "setting"))} == set()
    node.down(name)
    eventually(lambda: not things() - before, "nothing is left")
    assert not up.layout.folder.exists()


def test_a_killed_node_is_noticed_and_its_name_is_free_again(name: str):
    """The kernel ends all of it with its first process; the next start removes the rest."""
    before = things()
    first = node.up(name, print, tied=True)
    os.kill(first.holder, signal.SIGKILL)
    eventually(lambda: not cgroups.processes(first.layout.cgroup), "every process has ended")
    with pytest.raises(node.NodeFailedError, match="it was killed"):
        first.check()
    assert node.find(name, print) is None
    node.up(name, print, tied=True)
    node.down(name)
    eventually(lambda: not things() - before, "nothing is left")


def test_a_component_that_dies_ends_the_node_with_its_log(name: str):
    """A dead scheduler is not found out by a wait of minutes."""
    up = node.up(name, print, tied=True)
    scheduler = next(pid for pid in cgroups.processes(up.layout.cgroup) if "kube-scheduler" in command_of(pid))
    os.kill(scheduler, signal.SIGKILL)
    eventually(lambda: node.find(name, print) is None, "the node has ended")
    with pytest.raises(node.NodeFailedError, match=r"kube-scheduler ended with -9; the end of its log:\n.+"):
        up.check()


def things() -> set[str]:
    """What a node could leave: mounts, links, firewall rules, settings and cgroups of this machine."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=False).stdout.splitlines()
    settings = [*SYSCTLS, "net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables"]
    found = {f"mount {mount}" for mount in mounts}
    found |= {f"link {path.name}" for path in Path("/sys/class/net").iterdir()}
    found |= {f"rule {rule}" for rule in rules if rule.startswith("-A")}
    found |= {f"setting {name} {path.read_text()}" for name in settings if (path := Path("/proc/sys") / name).exists()}
    for hierarchy in cgroups.hierarchies():
        found |= {f"cgroup {path}" for path in hierarchy.glob("penstock-*")}
    return found


def own(found: set[str], name: str = "") -> set[str]:
    """Those of links and cgroups, of the node of that name."""
    return {thing for thing in found if thing.startswith(("link", "cgroup")) and name in thing}


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
