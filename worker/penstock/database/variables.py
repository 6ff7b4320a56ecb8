"""The environment variables that locate the database: a URL or its parts, and certificate files.

A Secret may contain a URL or the parts of one. A pod gets each part as a separate variable, because Kubernetes cannot
percent-encode a password when it expands variables. A URL wins over parts, and a file over both: a pod always has the
variables of its JobQueue, and a mounted file is there to be used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..errors import ConfigurationError
from .url import compose, with_certificates

URL: Final = "PENSTOCK_DATABASE_URL"
DIRECT_URL: Final = "PENSTOCK_DIRECT_URL"
URL_FILE: Final = "PENSTOCK_DATABASE_URL_FILE"
DIRECT_URL_FILE: Final = "PENSTOCK_DIRECT_URL_FILE"
PARTS: Final[Mapping[str, str]] = {
    "host": "PENSTOCK_DATABASE_HOST",
    "port": "PENSTOCK_DATABASE_PORT",
    "user": "PENSTOCK_DATABASE_USER",
    "password": "PENSTOCK_DATABASE_PASSWORD",
    "database": "PENSTOCK_DATABASE_NAME",
}
"""Variables of the parts, by the argument of `compose`."""
SECRET_PARTS: Final[Mapping[str, str]] = {
    "host": PARTS["host"],
    "port": PARTS["port"],
    "username": PARTS["user"],
    "password": PARTS["password"],
    "dbname": PARTS["database"],
}
"""The same by their names in a JobQueue, which are those of most Secrets."""
CA_FILE: Final = "PENSTOCK_DATABASE_CA_FILE"
CERTIFICATE_FILE: Final = "PENSTOCK_DATABASE_CERTIFICATE_FILE"
KEY_FILE: Final = "PENSTOCK_DATABASE_KEY_FILE"
DATABASE_VARIABLES: Final = (
    URL,
    DIRECT_URL,
    URL_FILE,
    DIRECT_URL_FILE,
    *PARTS.values(),
    CA_FILE,
    CERTIFICATE_FILE,
    KEY_FILE,
)
_CLIENT: Final = "client certificate of the database"


def _content(environ: Mapping[str, str], variable: str) -> str:
    """The content of the file that a variable names; empty if the variable is not set."""
    path = environ.get(variable, "")
    if not path:
        return ""
    from pathlib import Path  # noqa: PLC0415 - rarely needed

    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        rule = "must name a readable file that contains a database URL"
        raise ConfigurationError(f"{variable} {rule}, got {path}: {why}") from None
    if not text:
        raise ConfigurationError(
            f"{variable} must name a file that contains a database URL, got {path}, which is empty"
        )
    return text


def urls_from_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Both URLs by the variables; empty if they are not set.

    Raises:
        ConfigurationError: the parts make no valid URL, a file cannot be read, or a client certificate cannot be used.
    """
    url, direct = environ.get(URL, ""), environ.get(DIRECT_URL, "")
    url, direct = _content(environ, URL_FILE) or url, _content(environ, DIRECT_URL_FILE) or direct
    if not url and any(environ.get(name) for name in PARTS.values()):
        url = compose(**{name: environ.get(variable, "") for name, variable in PARTS.items()})
    return {URL: completed(url, environ), DIRECT_URL: completed(direct, environ)}


def completed(url: str, environ: Mapping[str, str]) -> str:
    """The URL with the certificates that the variables name; an empty URL stays empty.

    Raises:
        ConfigurationError: a client certificate cannot be used.
    """
    if url and (file := environ.get(CA_FILE, "")):
        url = with_certificates(url, file)
    certificate, key = environ.get(CERTIFICATE_FILE, ""), environ.get(KEY_FILE, "")
    if certificate or key:
        return _with_client_certificate(url, certificate=certificate, key=key)
    return url


def _with_client_certificate(url: str, *, certificate: str, key: str) -> str:
    """The URL with the files of the client certificate and its key, after checking them."""
    from .client_certificate import check, private, with_client_certificate  # noqa: PLC0415 - imports ssl, which is rarely needed

    if not certificate or not key:
        missing = KEY_FILE if certificate else CERTIFICATE_FILE
        raise ConfigurationError(f"{_CLIENT}: {missing} must be set too: a certificate and its key belong together")
    check(certificate, key, where=_CLIENT, names=(CERTIFICATE_FILE, KEY_FILE))
    return url and with_client_certificate(url, certificate, private(key), where=_CLIENT)
