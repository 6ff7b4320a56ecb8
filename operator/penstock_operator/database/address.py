"""The address of one database, for the operator: URLs and certificates. Its repr shows neither."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Address:
    """URL and credentials of a database; `repr` shows neither.

    Args:
        url: of the database, or of a pooler in front of it.
        direct_url: for LISTEN; the same without a pooler.
        ca: PEM text of the authorities that may sign the server's certificate; None: those in the URL.
        certificate: PEM text of the client certificate; None: none.
        key: PEM text of its private key.
        loopback: whether the database may be on this machine.
    """

    url: str
    direct_url: str
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    loopback: bool = True

    def __repr__(self) -> str:
        return "Address(…)"
