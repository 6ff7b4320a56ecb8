"""What belongs to one node by its name: folders, network, cgroups. Everything else is derived from these.

Must not create anything. A node's addresses come from its number, the first of 64 whose networks this machine does not
use, so two nodes with different names run at once.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.support.go_build import user_cache

DEFAULT_NAME = "penstock"
NAME = re.compile(r"[a-z][a-z0-9-]{0,9}")
NUMBERS = range(64)
SERVICES = "10.96.0.0/16"
API_PORT = 6443
SOCKET_BYTES = 108
"""Limit of the kernel for the path of a Unix socket."""


def node_name() -> str:
    """The name of the node that this process uses: `PENSTOCK_CLUSTER`, by default `penstock`.

    Raises:
        ValueError: it is no name of a node.
    """
    name = os.environ.get("PENSTOCK_CLUSTER") or DEFAULT_NAME
    if not NAME.fullmatch(name):
        raise ValueError(f"PENSTOCK_CLUSTER: at most 10 of a-z, 0-9 and '-', the first a letter; got {name!r}")
    return name


def nodes_folder() -> Path:
    """Where all nodes of this user keep their data."""
    return user_cache() / "cluster" / "nodes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The addresses and paths of one node.

    Args:
        name: of the node, unique on this machine.
        number: which of the 64 pairs of networks it uses.
    """

    name: str
    number: int

    @property
    def folder(self) -> Path:
        """Data, certificates, configuration, logs."""
        return nodes_folder() / self.name

    @property
    def logs(self) -> Path:
        """One file for each component."""
        return self.folder / "logs"

    @property
    def kubeconfig(self) -> Path:
        """An administrator's."""
        return self.folder / "kubeconfig"

    @property
    def control_socket(self) -> Path:
        """Where the node's first process takes commands."""
        return self.folder / "control"

    @property
    def host_address(self) -> str:
        """This machine's address, as pods see it."""
        return f"10.245.{self.number}.1"

    @property
    def node_address(self) -> str:
        """The node's address, as this machine sees it: API server, kubelet, NodePorts."""
        return f"10.245.{self.number}.2"

    @property
    def link_network(self) -> ipaddress.IPv4Network:
        """Of the two ends of the link."""
        return ipaddress.IPv4Network(f"10.245.{self.number}.0/30")

    @property
    def pod_network(self) -> ipaddress.IPv4Network:
        """Of the pods."""
        return ipaddress.IPv4Network(f"10.244.{self.number}.0/24")

    @property
    def bridge_address(self) -> str:
        """The pods' gateway, where the cluster's DNS listens."""
        return f"10.244.{self.number}.1"

    @property
    def host_link(self) -> str:
        """This machine's end of the link; at most 15 characters."""
        return f"pst-{self.name}"

    @property
    def cgroup(self) -> str:
        """Below which all of the node's processes are, in every hierarchy."""
        return f"penstock-{self.name}"

    @property
    def url(self) -> str:
        """Of the API server."""
        return f"https://{self.node_address}:{API_PORT}"

    def save(self) -> None:
        """Write what `load` reads."""
        (self.folder / "layout.json").write_text(json.dumps(asdict(self)))


def load(name: str) -> Layout | None:
    """The layout that a node of this name has saved, or None."""
    try:
        return Layout(**json.loads((nodes_folder() / name / "layout.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def free_layout(name: str, used: list[ipaddress.IPv4Network]) -> Layout | None:
    """The first layout whose networks overlap none of `used`; None if there is none."""
    for number in NUMBERS:
        layout = Layout(name=name, number=number)
        wanted = (layout.link_network, layout.pod_network)
        if not any(one.overlaps(other) for one in wanted for other in used):
            return layout
    return None
