"""A tenant's address as the process of its database uses it: with nothing of this machine."""

from __future__ import annotations

from dataclasses import replace

from penstock.store.tenant_url import restricted

from ..sampling import Address


def usable(address: Address) -> Address:
    """The address with restricted URLs.

    Raises:
        InvalidDatabaseURL: a URL does not parse, has no host, or has a key that is not allowed.
    """
    given = {"certificates": address.ca is not None, "client_certificate": address.certificate is not None}
    url = restricted(address.url, **given)
    same = address.url == address.direct_url
    return replace(address, url=url, direct_url=url if same else restricted(address.direct_url, **given))
