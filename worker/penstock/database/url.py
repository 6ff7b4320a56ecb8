"""Database URLs: compose one from parts, add certificate files and a password, explain why one is malformed.

Pure text; nothing here connects. A URL is a credential: no message quotes one, or a part of one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from ..errors import ConfigurationError

DEFAULT_PORT: Final = "5432"
MAX_PORT: Final = 65_535
_SCHEMES: Final = ("postgresql://", "postgres://")
_FORM: Final = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"


def compose(*, host: str, port: str = "", user: str, password: str, database: str) -> str:
    """Make the URL of a database from its parts.

    Args:
        host: a name or an address, IPv6 with or without brackets; several are separated by commas.
        port: a number, or one per host separated by commas; empty: 5432.
        user: the login.
        password: any text; percent-encoded in the URL.
        database: the database's name.

    Raises:
        ConfigurationError: a part is missing, has a line break, is a socket's path, or the port is not a port. The
            message names the part, never its value.
    """
    given = {"host": host, "username": user, "password": password, "dbname": database}
    for name, value in given.items():
        if not value:
            raise ConfigurationError(f"database: {name} must be set, it is empty")
        if not value.isprintable():
            raise ConfigurationError(f"database: {name} must be one line of printable text")
    ports = port.split(",") if port else [DEFAULT_PORT]
    if not all(_is_port(one) for one in ports):
        raise ConfigurationError(f"database: port must be a number from 1 to {MAX_PORT}")
    hosts = [_host(one) for one in host.split(",")]
    if len(ports) not in {1, len(hosts)}:
        raise ConfigurationError(f"database: port must be one number, or one for each host (hosts: {len(hosts)})")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    places = ",".join(f"{one}:{number}" for one, number in zip(hosts, ports, strict=True))
    return f"postgresql://{_quoted(user)}:{_quoted(password)}@{places}/{_quoted(database)}"


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= MAX_PORT


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _host(text: str) -> str:
    host = text.strip()
    if not host or host.startswith(("/", "@")):
        raise ConfigurationError("database: host must be a name or an address; it is empty or the path of a socket")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if ":" in host:
        if re.fullmatch(r"[0-9a-fA-F:.]+(%[\w.-]+)?", host) is None:
            raise ConfigurationError("database: host must be a name or an address; set the port separately")
        return f"[{quote(host, safe=':.')}]"
    return _quoted(host)


def with_certificates(url: str, file: str) -> str:
    """The URL with a CA file for the server's certificate, and full verification.

    The URL's own `sslrootcert` and `sslmode` win.
    """
    return _with(url, {"sslrootcert": file, "sslmode": "verify-full"})


def with_verification(url: str) -> str:
    """The URL with `sslmode=verify-full`, unless it has a mode."""
    return _with(url, {"sslmode": "verify-full"})


def with_client_files(url: str, certificate: str, key: str) -> str:
    """The URL with the files of a client certificate and its key, and `sslmode=require` unless it has a mode."""
    return _with(url, {"sslcert": certificate, "sslkey": key, "sslmode": "require"})


def with_password(url: str, password: str) -> str:
    """The URL with its password replaced."""
    if not url.startswith(_SCHEMES):
        escaped = password.replace("\\", "\\\\").replace("'", "\\'")
        return f"{url} password='{escaped}'"
    bare, hash_, fragment = url.partition("#")
    joint = "" if bare.endswith(("?", "&")) else "&" if "?" in bare.rpartition("@")[2] else "?"
    return f"{bare}{joint}password={quote(password, safe='')}{hash_}{fragment}"


def _with(url: str, added: Mapping[str, str]) -> str:
    if url.startswith(_SCHEMES):
        query = url.partition("?")[2].partition("#")[0]
        named = {pair.partition("=")[0] for pair in query.split("&") if pair}
        more = "&".join(f"{name}={quote(value, safe='/')}" for name, value in added.items() if name not in named)
        joint = "" if not more else "&" if query else "" if url.endswith("?") else "?"
        return f"{url}{joint}{more}"
    bare = re.sub(r"'(?:[^'\\]|\\.)*'", "''", url)  # a password may contain the name of a key
    missing = {name: value for name, value in added.items() if not re.search(rf"(^|\s){name}\s*=", bare)}
    return " ".join([url, *(f"{name}='{value}'" for name, value in missing.items())])


_OMIT: Final = "remove it"
_CORRECTIONS: Final = {
    "schema": "remove it, the tables are in the schema penstock",
    "currentschema": "remove it, the tables are in the schema penstock",
    "search_path": "remove it, the tables are in the schema penstock",
    "pgbouncer": "remove it, and set PENSTOCK_DIRECT_URL to declare a pooler",
    "ssl": "write sslmode=require",
    "sslaccept": "write sslmode=require, or sslmode=verify-full",
    "ssl-mode": "write sslmode=require, or sslmode=verify-full",
    "ssl_mode": "write sslmode=require, or sslmode=verify-full",
    "tls": "write sslmode=require, or sslmode=verify-full",
    "timeout": "write connect_timeout=SECONDS",
    "connecttimeout": "write connect_timeout=SECONDS",
    "connectiontimeout": "write connect_timeout=SECONDS",
    "applicationname": "write application_name=NAME",
    "targetservertype": "write target_session_attrs=read-write",
    "username": "write user=NAME, or the name before the host",
    "database": "write the name after the host, /DATABASE",
    "charset": "remove it, text is always UTF-8",
    "encoding": "remove it, text is always UTF-8",
    **dict.fromkeys(
        (
            "connection_limit",
            "pool_timeout",
            "pool_size",
            "max_overflow",
            "pool_recycle",
            "pool_pre_ping",
            "pool_mode",
            "max_conns",
            "statement_cache_size",
            "prepared_statement_cache_size",
            "preparethreshold",
            "async_fallback",
            "serverversion",
            "sockettimeout",
            "logintimeout",
            "command_timeout",
            "socket_timeout",
            "workaround",
            "supa",
            "sslidentity",
            "sslpassword_file",
            "uselibpqcompat",
            "stringtype",
            "rewritebatchedinserts",
            "jdbccompliant",
            "conn_max_age",
            "conn_health_checks",
            "poolclass",
            "echo",
        ),
        _OMIT,
    ),
}
"""URL parameters of other tools, in lower case, and what to write instead. No name in this list is a secret."""
SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

_HINTS: Final = (
    (r"\s*['\"`\u2018-\u201f<].*", "it starts with a quotation mark: write the value without quotes"),
    (r"\ufeff.*", "it starts with a byte order mark: save the file as UTF-8 without one"),
    (r"psql\s.*", "it starts with the command psql: write the URL alone"),
    (
        r"(?i:(host|server|user id|username|database|port)\s*=[^;]*;.*)",
        "it is a connection string of .NET: write postgresql://USER:PASSWORD@HOST:PORT/DATABASE",
    ),
    (r"\s*(export\s+)?[A-Z_]+=.*", "it starts with the name of a variable: write the value alone"),
    (r"jdbc:.*", "it is a JDBC URL: write it without `jdbc:`, with the login before the host"),
    (r"postgres(ql)?\+\w+://.*", "its scheme names a driver of SQLAlchemy: write postgresql://"),
    (r"(?i:postgres(ql)?:/?(?!/).*)", "two slashes follow the scheme: postgresql://"),
    (r"(?i:(mysql|mongodb|redis|http|https|sqlite|amqp)\b.*)", "its scheme is not PostgreSQL's: write postgresql://"),
    (r"[^:/?#\s=]+:[^/?#\s]*@[^@\s]+", "it has no scheme: write postgresql:// before it"),
    (r"[A-Za-z0-9+/]{12,}={0,2}", "it looks like base64: a Secret's `data` is encoded once, `stringData` not at all"),
)


def _of_parameters(text: str) -> str:
    """The error after the '?'; a parameter is named only if it belongs to another tool."""
    names = [pair.partition("=")[0] for pair in text.partition("?")[2].partition("#")[0].split("&") if pair]
    for name in names:
        if correction := _CORRECTIONS.get(name.lower()):
            return f"libpq has no parameter `{name}`: {correction}"
    return ""


def parts_hint(url: str, parts: Mapping[str, object]) -> str:
    """The error in a URL that libpq can parse; empty if there is none.

    Args:
        url: the original text.
        parts: libpq's parse of it.
    """
    ports, bare = str(parts.get("port") or "").split(","), "%40" not in url
    if "@" in str(parts.get("host") or "") or not all(port.isdigit() or not port for port in ports):
        # libpq takes the end of a password with a bare '/' or '@' for host or port, and would quote it
        return hint(url) or f"the port must be a number from 1 to {MAX_PORT}"
    if url.startswith(_SCHEMES) and "@" in str(parts.get("dbname") or "") and bare:
        return "a '/' or '@' inside a password or a user name is written %2F or %40"
    if (mode := parts.get("sslmode")) is not None and mode not in SSL_MODES:
        return f"sslmode must be one of {', '.join(SSL_MODES)} (no-verify of other tools is require)"
    return ""


def hint(url: str) -> str:
    """The probable mistake in a URL that does not parse, without quoting it; empty if none is recognized."""
    text = url.strip()
    if "\n" in text or "\r" in text:
        return "it contains a line break: write it on one line"
    for pattern, found in _HINTS:
        if re.fullmatch(pattern, text, re.DOTALL):
            return found
    if not text.startswith(_SCHEMES):
        return f"it must start with postgresql://, as in {_FORM}" if "=" not in text else ""
    if re.search(r"\$[({]?\w+|\{\{.*\}\}|%\w+%$", text):
        return "it contains a variable that was not expanded: write the value"
    if re.search(r"\s", text):
        return "it contains a space: write %20"
    authority = re.split(r"[/?#]", text.partition("://")[2], maxsplit=1)[0]
    login, at, place = authority.rpartition("@")
    if "@" in login or (not at and "@" in text):
        return "a '/', '@', '?' or '#' inside a password or a user name is written %2F, %40, %3F or %23"
    if found := _of_parameters(text):
        return found
    if re.search(r"%(?![0-9a-fA-F]{2})", text):
        return "a '%' inside a password is written %25"
    if re.search(r":[^\]]*[^0-9\],:.][^\]]*$", place.rpartition("]")[2] or place):
        return f"the port must be a number from 1 to {MAX_PORT}"
    if place.count(":") > 1 and "[" not in place and "," not in place:
        return "an IPv6 address is written in brackets, as in [2001:db8::1]:5432"
    return ""
