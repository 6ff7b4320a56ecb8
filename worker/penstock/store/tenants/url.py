"""Database URLs of tenants, for a process that serves several tenants: an allow-list of their parameters.

libpq reads files, sockets and service definitions of its own machine if a connection string says so; the operator's are
not the tenant's. A tenant chooses where the database is, who logs in, and how TLS is verified; every other parameter is
refused by name.
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
"""Parameters whose values are used."""
IGNORED: Final = frozenset(
    {"application_name", "fallback_application_name", "connect_timeout", "client_encoding", "sslcompression"}
    | {"gssencmode", "sslcertmode"}
    | {"keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"}
)
"""Harmless parameters, whose values are replaced by ours."""
FIXED: Final = {"passfile": "/nonexistent/pgpass", "gssencmode": "disable", "sslcertmode": "disable"}
"""No password file, no Kerberos ticket, no client certificate of the machine."""
NO_TICKETS: Final = "!gss,!sspi"
"""Excludes authentication methods that would use the machine's identity instead of the tenant's password."""


def restricted(url: str, *, certificates: bool = False, client_certificate: bool = False) -> str:
    """A connection string that uses nothing of this machine.

    Args:
        url: of a tenant.
        certificates: the tenant set CA certificates separately; they replace a file that the URL names.
        client_certificate: the tenant set one separately; it may be presented to the server.

    Raises:
        InvalidDatabaseURL: it cannot be parsed, has no host, or has a parameter that is not allowed. No value is
            quoted.
    """
    if len(url) > MAX_URL:
        raise InvalidDatabaseURL(f"database URL: must have at most {MAX_URL} characters, got {len(url)}")
    check_url(url)
    parts = {key: str(value) for key, value in conninfo_to_dict(url).items() if value is not None}
    root = parts.pop("sslrootcert", None)
    if root not in {None, "system"} and not certificates:
        raise _refused("sslrootcert", "must be `system`; set other CA certificates by databaseRef.caSecretRef")
    for key in parts:
        if key in {"sslcert", "sslkey"}:
            raise _refused(key, "is not allowed; set a client certificate by databaseRef.clientCertificateSecretRef")
        if key not in PASSED | IGNORED:
            raise _refused(key, "is not allowed: it would apply to the operator's machine")
    if parts.get("gssencmode") == "require" or (parts.get("sslcertmode") == "require" and not client_certificate):
        raise _refused("gssencmode or sslcertmode", "must not be `require`: the operator has no such credentials")
    _check_hosts(parts.get("host", ""))
    if not parts.get("user"):  # libpq would take the name of the operator's own account
        raise InvalidDatabaseURL("database URL: must name a user, as in postgresql://USER@HOST:PORT/DATABASE")
    made = {key: value for key, value in parts.items() if key in PASSED} | FIXED
    if client_certificate:
        made["sslcertmode"] = "require" if parts.get("sslcertmode") == "require" else "allow"
    if "require_auth" not in made:
        made["require_auth"] = NO_TICKETS
    elif any(one.strip() in {"gss", "sspi"} for one in made["require_auth"].split(",")):
        raise _refused("require_auth", "must not name gss or sspi: the operator has no such credentials")
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
