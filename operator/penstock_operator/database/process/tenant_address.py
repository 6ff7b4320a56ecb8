"""A tenant's address as its database's process uses it: no defaults of this machine, and only checked hosts."""

from __future__ import annotations

from dataclasses import replace

from penstock.store.tenants.hosts import pinned
from penstock.store.tenants.url import restricted

from ..address import Address


def usable(address: Address) -> Address:
    """The address with restricted URLs.

    Raises:
        InvalidDatabaseURL: a URL does not parse, has no host, or has a key that is not allowed.
    """
    given = {"certificates": address.ca is not None, "client_certificate": address.certificate is not None}
    url = restricted(address.url, **given)
    same = address.url == address.direct_url
    return replace(address, url=url, direct_url=url if same else restricted(address.direct_url, **given))


async def resolve_address(address: Address) -> Address:
    """A usable address whose URLs name the addresses that their hosts resolve to now, each of them allowed.

    Raises:
        InvalidDatabaseURL: a host is an address that no tenant's database can have.
        DatabaseUnavailable: no host resolves, or one resolves to such an address.
    """
    url = await pinned(address.url, loopback=address.loopback)
    if address.direct_url == address.url:
        return replace(address, url=url, direct_url=url)
    return replace(address, url=url, direct_url=await pinned(address.direct_url, loopback=address.loopback))
