"""Database URLs of tenants, for a process that serves several of them: an allow-list of what a URL may say.

libpq reads files, sockets and service definitions of the machine that it runs on when a connection string says so. On
the operator's machine those are not the tenant's. A tenant chooses where the database is, who logs in, and how TLS is
checked; every other key is refused by its name.
"""

from __future__ import annotations

from typing import Final

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from penstock.errors import InvalidDatabaseURL

from ..errors import check_url

MAX_URL: Final = 8192
"""Characters of a URL."""
MAX_HOSTS: Final = 8
"""Hosts in one URL: each is resolved and tried in turn."""
PASSED: Final = frozenset(
    {"host", "port", "dbname", "user", "password"}
    | {"sslmode", "sslnegotiation", "sslsni", "ssl_min_protocol_version", "ssl_max_protocol_version"}
    | {"channel_binding", "require_auth", "target_session_attrs", "load_balance_hosts"}
    | {"min_protocol_version", "max_protocol_version"}
)
"""Keys whose values are used."""
IGNORED: Final = frozenset(
    {"application_name", "fallback_application_name", "connect_timeout", "client_encoding", "sslcompression"}
    | {"gssencmode", "sslcertmode"}
    | {"keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"}
)
"""Keys that are harmless and whose values are ours."""
FIXED: Final = {"passfile": "/nonexistent/pgpass", "gssencmode": "disable", "sslcertmode": "disable"}
"""No password file, no Kerberos ticket, no client certificate of the machine."""
NO_TICKETS: Final = "!gss,!sspi"
"""Methods of authentication that would use the machine's identity rather than the tenant's password."""


def restricted(url: str, *, certificates: bool = False, client_certificate: bool = False) -> str:
    """A connection string that uses nothing of this machine.

    Args:
        url: of a tenant.
        certificates: the tenant gave some beside the URL; they take the place of a file that the URL names.
        client_certificate: the tenant gave one beside the URL, which may be shown to the server.

    Raises:
        InvalidDatabaseURL: it does not parse, has no host, or has a key that is not allowed. No value is quoted.
    """
    if len(url) > MAX_URL:
        raise InvalidDatabaseURL(f"database URL: must have at most {MAX_URL} characters, got {len(url)}")
    check_url(url)
    parts = {key: str(value) for key, value in conninfo_to_dict(url).items() if value is not None}
    root = parts.pop("sslrootcert", None)
    if root not in {None, "system"} and not certificates:
        raise _refused("sslrootcert", "may only be `system`; give other certificates by databaseRef.caSecretRef")
    for key in parts:
        if key in {"sslcert", "sslkey"}:
            raise _refused(key, "is not allowed; give a client certificate by databaseRef.clientCertificateSecretRef")
        if key not in PASSED | IGNORED:
            raise _refused(key, "is not allowed, for it would be read on the operator's machine")
    if parts.get("gssencmode") == "require" or (parts.get("sslcertmode") == "require" and not client_certificate):
        raise _refused("gssencmode or sslcertmode", "may not be `require`, for the operator has no such credentials")
    _check_hosts(parts.get("host", ""))
    if not parts.get("user"):  # libpq would take the name of the operator's own account
        raise InvalidDatabaseURL("database URL: must name a user, as in postgresql://USER@HOST:PORT/DATABASE")
    made = {key: value for key, value in parts.items() if key in PASSED} | FIXED
    if client_certificate:
        made["sslcertmode"] = "require" if parts.get("sslcertmode") == "require" else "allow"
    if "require_auth" not in made:
        made["require_auth"] = NO_TICKETS
    elif any(one.strip() in {"gss", "sspi"} for one in made["require_auth"].split(",")):
        raise _refused("require_auth", "may not name gss or sspi, for the operator has no such credentials")
    if root == "system":
        made["sslrootcert"] = root
    return make_conninfo("", **made)


def _check_hosts(text: str) -> None:
    hosts = text.split(",")
    if len(hosts) > MAX_HOSTS:
        raise InvalidDatabaseURL(f"database URL: must have at most {MAX_HOSTS} hosts, got {len(hosts)}")
    if not all(hosts):
        raise InvalidDatabaseURL("database URL: must name a host, as in postgresql://USER@HOST:PORT/DATABASE")
    if any(host.startswith(("/", "@")) for host in hosts):
        raise InvalidDatabaseURL("database URL: host must be a name or an address, not the path of a socket")


def _refused(key: str, rule: str) -> InvalidDatabaseURL:
    return InvalidDatabaseURL(f"database URL: {key} {rule}")
