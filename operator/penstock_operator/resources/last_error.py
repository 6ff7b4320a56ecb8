"""Classifies the database error with which a worker exited, by its last message. Pure.

The words are those of `penstock.store`; a test holds the two together. The text is the pod's own and may be anything,
so it decides a reason of a condition and nothing else.
"""

from __future__ import annotations

from typing import Final

_REASONS: Final = {
    "the server refused the login": "AuthFailed",
    "the server has no such database": "NoSuchDatabase",
    "a connection limit is reached": "TooManyConnections",
    "the login may not connect to this database": "MissingRights",
    "the login lacks a right": "MissingRights",
    "lacks EXECUTE on ": "MissingRights",
    "lacks USAGE on the schema penstock": "MissingRights",
    "schema penstock: not in this database": "SchemaMissing",
    "the schema penstock is missing": "SchemaMissing",
    "schema penstock: version": "SchemaTooOld",
    "the server accepts no writes": "ReadOnly",
    "database URL: ": "InvalidURL",
    "client certificate of the database: ": "InvalidClientCertificate",
    "the database cannot be reached": "DatabaseUnreachable",
    "the server is starting up or shutting down": "DatabaseUnreachable",
}
"""Words of our errors, and the reason that the operator has for the same error of its own."""
_SCANNED: Final = 4096


def database_reason(message: str) -> str | None:
    """The reason of the last database error in a container's termination message; None if it names none."""
    text = message[-_SCANNED:]
    found = max((text.rfind(words), reason) for words, reason in _REASONS.items())
    return found[1] if found[0] >= 0 else None
