"""Checks the hosts of tenants' database URLs, and pins a URL to the checked addresses.

The operator's machine reaches addresses that no tenant may reach through it: itself, and link-local services, among
them the one that issues a cloud's credentials. A host is resolved once, each of its addresses is checked, and libpq
connects to those addresses (`hostaddr`); the name is kept for TLS.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterator, Sequence
from typing import Final

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from penstock.database.url import DEFAULT_PORT
from penstock.errors import DatabaseUnavailable, InvalidDatabaseURL

MAX_ADDRESSES: Final = 16
"""Addresses of one URL that are tried, in the order of its hosts."""
LOOPBACK: Final = "a loopback address"
_IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_METADATA: Final = "the address of a cloud's metadata service"
_NETWORKS: Final = tuple(
    (ipaddress.ip_network(network), what)
    for network, what in (
        ("127.0.0.0/8", LOOPBACK),
        ("::1/128", LOOPBACK),
        ("0.0.0.0/8", "an unspecified address"),
        ("::/128", "an unspecified address"),
        ("169.254.0.0/16", "a link-local address"),
        ("fe80::/10", "a link-local address"),
        ("224.0.0.0/4", "a multicast address"),
        ("ff00::/8", "a multicast address"),
        ("240.0.0.0/4", "a reserved address"),
        ("fd00:ec2::/32", _METADATA),
        ("fd20:ce::254/128", _METADATA),  # AWS and Google Cloud by IPv6
        ("168.63.129.16/32", _METADATA),
        ("100.100.100.200/32", _METADATA),
        ("192.0.0.0/24", _METADATA),
    )  # Azure, Alibaba, Oracle
)
_EMBEDDING: Final = (
    (ipaddress.ip_network("::ffff:0:0/96"), 0),
    (ipaddress.ip_network("::/96"), 0),
    (ipaddress.ip_network("64:ff9b::/96"), 0),
    (ipaddress.ip_network("64:ff9b:1::/48"), 0),
    (ipaddress.ip_network("2002::/16"), 80),
)
"""IPv6 networks whose addresses embed IPv4 ones, and the number of bits after those."""
_LOCAL_NAMES: Final = ("localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback")


def address_refusal(address: str, *, loopback: bool) -> str:
    """Why an address is not allowed for a tenant's database; empty if it is.

    Args:
        address: IPv4 or IPv6, with or without a zone.
        loopback: whether loopback addresses are allowed.
    """
    for one in _with_embedded(ipaddress.ip_address(address.partition("%")[0])):
        for network, what in _NETWORKS:
            if one in network and not (loopback and what == LOOPBACK):
                return what
    return ""


def _with_embedded(address: _IPAddress) -> Iterator[_IPAddress]:
    """The address, and the IPv4 address that an IPv6 one embeds; `::1` embeds none."""
    yield address
    if isinstance(address, ipaddress.IPv6Address) and int(address) > 1:
        for network, shift in _EMBEDDING:
            if address in network:
                yield ipaddress.IPv4Address((int(address) >> shift) & 0xFFFF_FFFF)


def literal(host: str) -> str:
    """The address of a host that needs no name server, as the resolver parses it; empty for a name."""
    try:
        return str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))  # 127.1, 0x7f000001, 2130706433
    except (OSError, ValueError):
        return ""


def check_host(host: str, *, loopback: bool) -> None:
    """Check that a host is a name or an allowed address.

    Raises:
        InvalidDatabaseURL: it is an address that is not allowed, or a name of this machine.
    """
    bare = host.lower().rstrip(".")
    found = literal(host)
    local = bare in _LOCAL_NAMES or bare.endswith(".localhost")
    what = address_refusal(found, loopback=loopback) if found else LOOPBACK if local and not loopback else ""
    if what:
        raise InvalidDatabaseURL(f"database URL: host must not be {what}; use the address of a database server")


async def pinned(url: str, *, loopback: bool) -> str:
    """The connection string with the resolved addresses of its hosts.

    Args:
        url: with host names, as `restricted` returns it.
        loopback: whether loopback addresses are allowed.

    Raises:
        InvalidDatabaseURL: a host is an address that is not allowed, or the ports do not match the hosts.
        DatabaseUnavailable: no host resolves, or one resolves to such an address.
    """
    parts = conninfo_to_dict(url)
    hosts = str(parts["host"]).split(",")
    ports = str(parts.get("port") or DEFAULT_PORT).split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    if len(ports) != len(hosts):
        rule = f"must be one number, or one for each host (hosts: {len(hosts)}), got {len(ports)}"
        raise InvalidDatabaseURL(f"database URL: port {rule}")
    for host in hosts:
        check_host(host, loopback=loopback)
    places: list[tuple[str, str, str]] = []
    unknown = ""
    for host, port in zip(hosts, ports, strict=True):
        try:
            addresses = await _addresses(host)
        except (OSError, UnicodeError) as error:
            unknown = f"host {host!r} cannot be resolved: {error}"
            continue
        _check_addresses(host, addresses, loopback=loopback)
        places += [(host, address, port or DEFAULT_PORT) for address in addresses]
    if not places:
        raise DatabaseUnavailable(f"connect: {unknown}")
    names, found, numbers = zip(*places[:MAX_ADDRESSES], strict=True)
    return make_conninfo(url, host=",".join(names), hostaddr=",".join(found), port=",".join(numbers))


async def _addresses(host: str) -> list[str]:
    """All addresses of a host, in the resolver's order."""
    if "%" not in host and (found := literal(host)):
        return [found]
    answers = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


def _check_addresses(host: str, addresses: Sequence[str], *, loopback: bool) -> None:
    for address in addresses:
        if what := address_refusal(address, loopback=loopback):
            raise DatabaseUnavailable(f"connect: host {host!r} resolves to {address}, {what}, which is not allowed")
