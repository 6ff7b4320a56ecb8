"""The one HTTP server: any address family, both where all addresses are asked for, and no name looked up."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from penstock.errors import ConfigurationError
from penstock.http_server import HttpServer, advertised, endpoint


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")


@contextmanager
def serving(host: str) -> Iterator[HttpServer]:
    """A server of one page."""
    server = HttpServer(host=host, port=0, pages={"/page": lambda: (200, b"here", "text/plain")}, name="test")
    server.start()
    try:
        yield server
    finally:
        server.close()


def answer(host: str, port: int) -> str:
    with urllib.request.urlopen(f"http://{endpoint(host, port)}/page", timeout=60) as found:
        return str(found.read(), "utf-8")


def test_all_addresses_are_reached_over_ipv4():
    """As a kubelet asks a pod, or a port-forward on the pod's localhost."""
    with serving("::") as server:
        assert answer("127.0.0.1", server.port) == "here"
        assert answer("127.0.0.2", server.port) == "here"


@needs_ipv6
@pytest.mark.parametrize("host", ["::", "::1", "[::1]"])
def test_an_ipv6_address_is_listened_on(host: str):
    """With or without brackets, and by the sign for all addresses, which takes both families."""
    with serving(host) as server:
        assert answer("::1", server.port) == "here"


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_an_ipv4_address_or_a_name_is_listened_on(host: str):
    """What worked before."""
    with serving(host) as server:
        assert answer("localhost" if host == "localhost" else "127.0.0.1", server.port) == "here"


def test_a_machine_without_ipv6_gets_all_of_its_ipv4_addresses(monkeypatch: pytest.MonkeyPatch):
    """A kernel that was started with ipv6.disable=1 has no such sockets at all."""
    real = socket.socket

    def no_ipv6(family: int = -1, *more: int, **named: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return real(family, *more, **named)

    monkeypatch.setattr(socket, "socket", no_ipv6)
    with serving("::") as server:
        assert server._server.server_address[0] == "0.0.0.0"


def test_no_name_of_our_own_is_looked_up(monkeypatch: pytest.MonkeyPatch):
    """The library does at each bind; where the name server is away, that takes many seconds."""

    def away(*_: object) -> str:
        raise AssertionError("looked up")

    monkeypatch.setattr(socket, "getfqdn", away)
    with serving("127.0.0.1") as server:
        assert answer("127.0.0.1", server.port) == "here"


def test_an_address_that_cannot_be_listened_on_is_one_error_with_the_address_in_brackets():
    """Taken, not this machine's, or a name that nobody knows."""
    with serving("127.0.0.1") as server, pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1:{server.port} \("):
        HttpServer(host="127.0.0.1", port=server.port, pages={}, name="test")
    with pytest.raises(ConfigurationError, match=r"cannot listen on \[2001:db8::1\]:80 \("):
        HttpServer(host="2001:db8::1", port=80, pages={}, name="test")
    with pytest.raises(ConfigurationError, match=r"cannot listen on nobody\.invalid:80 \("):
        HttpServer(host="nobody.invalid", port=80, pages={}, name="test")


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("::1", "[::1]:80"),
        ("[::1]", "[::1]:80"),
        ("fe80::1%eth0", "[fe80::1%eth0]:80"),
        ("10.0.0.1", "10.0.0.1:80"),
        ("pod", "pod:80"),
    ],
)
def test_an_ipv6_address_is_shown_in_brackets(host: str, shown: str):
    """As a URL has it."""
    assert endpoint(host, 80) == shown


@pytest.mark.parametrize(("host", "found"), [("::", "pod-1:80"), ("0.0.0.0", "pod-1:80"), ("::1", "[::1]:80")])
def test_all_addresses_are_advertised_by_name(host: str, found: str):
    """`::` is no address that somebody could connect to."""
    assert advertised(host, 80, name="pod-1") == found
