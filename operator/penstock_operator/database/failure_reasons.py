"""The reason and the message that a JobQueue's conditions show for a failure of its database. Pure.

Whatever goes wrong before a Postgres server has answered reads the same, whether a name does not resolve, a port is
closed or mute, TLS fails, or something else than Postgres is there: otherwise a tenant could explore the operator's
network by writing URLs. For the same reason no sentence has an address that a name resolved to. The error itself goes
to the operator's log.
"""

from __future__ import annotations

import re
from typing import Final

from penstock.errors import PenstockError

MISBEHAVES: Final = "DatabaseMisbehaves"
TOO_MANY: Final = "TooManyDatabases"
UNREACHABLE: Final = (
    "No connection to a Postgres server; check host, port and TLS in the Secret. Details: the operator's log."
)
_REASONS: Final = {
    "LoginRefused": "AuthFailed",
    "NoSuchDatabase": "NoSuchDatabase",
    "TooManyConnections": "TooManyConnections",
    "MissingRights": "MissingRights",
    "WrongDatabase": "WrongDatabase",
    "SchemaMissing": "SchemaMissing",
    "SchemaMismatch": "SchemaTooOld",
    "InvalidDatabaseURL": "InvalidURL",
    "InvalidClientCertificate": "InvalidClientCertificate",
    "ReadOnlyServer": "ReadOnly",
    "StatementRefused": "StatementRefused",
    "RowLocked": "Timeout",
    "StatementTimeout": "Timeout",
    MISBEHAVES: MISBEHAVES,
}
_CONNECTION: Final = re.compile(r" \(connection (?:to server|failed|is bad)\b.*", re.DOTALL)
"""libpq's message about a connection: it contains the address that was tried."""


def reason_of(error: PenstockError) -> str:
    """The condition's reason for an error of the store."""
    return _REASONS.get(type(error).__name__, "Unreachable")


def failure_condition(error: PenstockError) -> tuple[str, str]:
    """The condition's reason and sentence for an error of the store."""
    reason, text = reason_of(error), _CONNECTION.sub("", str(error))
    if type(error).__name__ in {"DatabaseUnavailable", "ServerShutdown", "SessionTimedOut"}:
        text = UNREACHABLE
    elif reason == "AuthFailed":
        text = "The server refused the login; check user and password in the Secret. Details: the operator's log."
    elif reason == "Timeout":
        text = f"The database did not answer within its limit for locks and statements: {text}."
    elif reason == MISBEHAVES:
        text = f"The operator pauses its connections to this database: {text}."
    return reason, text


def described_timeout(seconds: float, *, opened: bool) -> tuple[str, str]:
    """The same where no answer came within `seconds`; `opened` says whether a Postgres server had answered before."""
    if not opened:
        return "Unreachable", UNREACHABLE
    return "Timeout", f"The database did not answer within {seconds:.0f} s."
