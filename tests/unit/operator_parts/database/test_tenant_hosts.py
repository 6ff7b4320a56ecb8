"""Where a tenant's hosts may lead: not to the operator's machine, to its link, or to a cloud's metadata service."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from penstock.errors import DatabaseUnavailable, InvalidDatabaseURL
from penstock.store.tenants.hosts import MAX_ADDRESSES, address_refusal, check_host, literal, pinned
from penstock.store.tenants.url import restricted
from penstock_operator.database.address import Address
from penstock_operator.database.client import DatabaseClient
from penstock_operator.database.failure_reasons import failure_condition
from penstock_operator.database.process.tenant_address import resolve_address, usable

LOOPBACK = ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"]
NEVER = [
    "169.254.169.254",
    "169.254.170.2",
    "fe80::1",
    "fe80::1%eth0",
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
    "fd00:ec2::254",
    "fd20:ce::254",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "::ffff:169.254.169.254",
    "::a9fe:a9fe",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
]
FREE = [
    "10.0.0.7",
    "192.168.1.1",
    "172.16.0.1",
    "100.64.0.1",
    "8.8.8.8",
    "fd00::5432",
    "2001:db8::1",
    "::ffff:10.0.0.7",
]
SPELLINGS = ["127.1", "0x7f000001", "2130706433", "017700000001", "0x7f.0.0.1", "localhost", "LOCALHOST."]


def url_of(*hosts: str) -> str:
    """A tenant's URL with these hosts."""
    return restricted(f"host={','.join(hosts)} user=tenant password=hunter2 dbname=shop")


@pytest.mark.parametrize("address", NEVER)
def test_an_address_of_the_link_or_of_a_metadata_service_is_never_connected_to(address: str):
    """Nor one that stands for it in IPv6; a setting for loopback does not change that."""
    assert address_refusal(address, loopback=False)
    assert address_refusal(address, loopback=True)


@pytest.mark.parametrize("address", LOOPBACK)
def test_a_loopback_address_is_connected_to_only_where_that_is_allowed(address: str):
    """In a pod it is the operator itself and its sidecars."""
    assert address_refusal(address, loopback=False) == "a loopback address"
    assert address_refusal(address, loopback=True) == ""


@pytest.mark.parametrize("address", FREE)
def test_other_addresses_are_free(address: str):
    """Where else the operator may connect is a NetworkPolicy's to say."""
    assert address_refusal(address, loopback=False) == ""


@pytest.mark.parametrize("host", [*LOOPBACK, *NEVER, *SPELLINGS])
async def test_a_host_that_is_such_an_address_is_an_invalid_url(host: str):
    """However it is spelled, and whichever host of several it is; the sentence has neither host nor password."""
    for hosts in ([host], ["10.0.0.7", host]):
        with pytest.raises(InvalidDatabaseURL, match="host must not be") as raised:
            await pinned(url_of(*hosts), loopback=False)
        reason, text = failure_condition(raised.value)
        assert reason == "InvalidURL"
        assert "hunter2" not in text


@pytest.mark.parametrize("host", ["db.example", "localhost.example", "10.example", "1.2.3.4.example"])
def test_a_name_is_no_address(host: str):
    """It is looked up."""
    assert literal(host) == ""
    check_host(host, loopback=False)


def resolver(monkeypatch: pytest.MonkeyPatch, **names: list[str]) -> None:
    """The C library's resolver, which knows these names and no other."""

    def known(host: Any, *_: Any, **__: Any) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        families = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(families[":" in one], socket.SOCK_STREAM, 6, "", (one, 0)) for one in names[name]]

    monkeypatch.setattr(socket, "getaddrinfo", known)


async def test_a_name_is_connected_to_by_the_addresses_that_were_checked(monkeypatch):
    """A second look up cannot return another one; the name stays for TLS, each address keeps its port."""
    resolver(monkeypatch, first=["10.0.0.7", "2001:db8::7"], second=["10.0.0.8"])
    made = conninfo_to_dict(
        await pinned("host=first,second,10.0.0.9 port=6432,5432,5433 user=u sslmode=verify-full", loopback=False)
    )
    assert made["host"] == "first,first,second,10.0.0.9"
    assert made["hostaddr"] == "10.0.0.7,2001:db8::7,10.0.0.8,10.0.0.9"
    assert made["port"] == "6432,6432,5432,5433"
    assert made["sslmode"] == "verify-full"


@pytest.mark.parametrize("address", ["169.254.169.254", "127.0.0.1", "::1", "0.0.0.0", "::ffff:169.254.169.254"])
async def test_a_name_that_resolves_to_such_an_address_reads_as_any_failure_to_connect(monkeypatch, address):
    """A tenant learns nothing of the operator's names by it; the operator's log says what was refused."""
    resolver(monkeypatch, inner=["10.0.0.7", address])
    with pytest.raises(DatabaseUnavailable, match="which is not allowed") as raised:
        await pinned(url_of("inner"), loopback=False)
    assert address in str(raised.value)
    assert failure_condition(raised.value) == failure_condition(DatabaseUnavailable("connect: timeout"))


async def test_a_name_that_does_not_resolve_leaves_the_other_hosts(monkeypatch):
    """As libpq does; without any other it is unreachable."""
    resolver(monkeypatch, here=["10.0.0.7"])
    assert conninfo_to_dict(await pinned(url_of("gone", "here"), loopback=False))["hostaddr"] == "10.0.0.7"
    for hosts in (["gone"], ["gone", "x" * 70], ["a..b"]):
        with pytest.raises(DatabaseUnavailable, match="cannot be resolved"):
            await pinned(url_of(*hosts), loopback=False)


async def test_a_name_with_hundreds_of_addresses_costs_a_few_attempts(monkeypatch):
    """Each attempt may take seconds."""
    resolver(monkeypatch, many=[f"10.0.{n // 250}.{n % 250 + 1}" for n in range(900)])
    made = conninfo_to_dict(await pinned(url_of("many"), loopback=False))
    assert len(str(made["hostaddr"]).split(",")) == MAX_ADDRESSES


async def test_ports_that_do_not_match_the_hosts_are_refused():
    """Rather than a host left out, or one tried at another's port."""
    with pytest.raises(InvalidDatabaseURL, match=r"one for each host \(hosts: 3\), got 2"):
        await pinned("host=10.0.0.1,10.0.0.2,10.0.0.3 port=1,2 user=u", loopback=False)


async def test_both_urls_of_an_address_are_checked(monkeypatch):
    """The pooler's and the direct one; one URL is resolved once."""
    resolver(monkeypatch, here=["10.0.0.7"])
    url, other = "postgresql://u@here/x", "postgresql://u@169.254.169.254/x"
    made = await resolve_address(usable(Address(url=url, direct_url=url, loopback=False)))
    assert made.url == made.direct_url
    assert conninfo_to_dict(made.url)["hostaddr"] == "10.0.0.7"
    with pytest.raises(InvalidDatabaseURL, match="link-local"):
        await resolve_address(usable(Address(url=url, direct_url=other, loopback=False)))


async def test_the_process_of_a_database_refuses_before_it_connects():
    """The address goes to it with the operator's setting, and the error comes back with its class."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        url = f"postgresql://u@127.0.0.1:{server.getsockname()[1]}/x"
        database = DatabaseClient(
            address=Address(url=url, direct_url=url, loopback=False), holder="a", woken=lambda: None
        )
        with pytest.raises(InvalidDatabaseURL, match="loopback"):
            await database.open()
        await database.stop()
        with pytest.raises(BlockingIOError):
            server.accept()
