"""The one network link between a node and this machine, and the networks that this machine knows.

Must not touch the firewall, nor any setting: the machine forwards nothing for a node. Pods reach this machine, and this
machine reaches pods by a route to their network, which disappears with the link.
"""

from __future__ import annotations

import ipaddress
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.cluster.layout import Layout


class LinkError(Exception):
    """`ip` has failed; the text has its command and what it said."""


def create(where: Layout, holder: int) -> None:
    """Make the link: one end here, the other, `eth0`, in the network namespace of the process `holder`.

    Raises:
        LinkError: it cannot be made.
    """
    _ip("link", "add", where.host_link, "type", "veth", "peer", "name", "eth0", "netns", str(holder))
    _ip("addr", "add", f"{where.host_address}/{where.link_network.prefixlen}", "dev", where.host_link)
    _ip("link", "set", where.host_link, "up")
    _ip("route", "add", str(where.pod_network), "via", where.node_address)


def remove(where: Layout) -> None:
    """Remove the link, unless it went with the node's namespaces."""
    if Path(f"/sys/class/net/{where.host_link}").exists():
        subprocess.run(["ip", "link", "del", where.host_link], capture_output=True, check=False)


def networks() -> Iterator[ipaddress.IPv4Network]:
    """Those that this machine has routes to, other than by default."""
    for route in json.loads(_ip("-4", "-json", "route", "show", "table", "all") or "[]"):
        if route["dst"] != "default":
            yield ipaddress.IPv4Network(route["dst"], strict=False)


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LinkError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
