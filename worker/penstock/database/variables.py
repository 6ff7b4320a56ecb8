"""The environment variables that say where the database is: a URL, or its parts; in both cases certificate files.

A Secret may hold a URL or the parts of one. A pod gets each part as a variable of its own, because no expansion of
variables can percent-encode a password. A URL that is given wins over parts, and a file that holds one over both: a
pod has the variables of its JobQueue in any case, and somebody who mounts a file wants it to be used.
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
"""The same by the names that a JobQueue has for them, which are those of most Secrets."""
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
    """What the file holds that a variable names; empty if it names none."""
    path = environ.get(variable, "")
    if not path:
        return ""
    from pathlib import Path  # noqa: PLC0415 - few have one

    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        raise ConfigurationError(f"{variable} must name a readable file with a database URL, {path}: {why}") from None
    if not text:
        raise ConfigurationError(f"{variable} must name a file with a database URL, {path} is empty")
    return text


def database_urls(environ: Mapping[str, str]) -> dict[str, str]:
    """Both URLs as the variables say, empty where they say nothing.

    Raises:
        ConfigurationError: there are parts, and they make no URL; a file cannot be read; or a client certificate
            that cannot be used.
    """
    url, direct = environ.get(URL, ""), environ.get(DIRECT_URL, "")
    url, direct = _content(environ, URL_FILE) or url, _content(environ, DIRECT_URL_FILE) or direct
    if not url and any(environ.get(name) for name in PARTS.values()):
        url = compose(**{name: environ.get(variable, "") for name, variable in PARTS.items()})
    return {URL: completed(url, environ), DIRECT_URL: completed(direct, environ)}


def completed(url: str, environ: Mapping[str, str]) -> str:
    """A URL with the certificates that the variables name; empty stays empty.

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
    """The URL with the files of the client certificate and of its key, which are checked."""
    from .client_certificate import check, private, with_client_certificate  # noqa: PLC0415 - it needs ssl, and few do

    if not certificate or not key:
        missing = KEY_FILE if certificate else CERTIFICATE_FILE
        raise ConfigurationError(f"{_CLIENT}: {missing} must be set too: a certificate and its key belong together")
    check(certificate, key, where=_CLIENT, names=(CERTIFICATE_FILE, KEY_FILE))
    return url and with_client_certificate(url, certificate, private(key), where=_CLIENT)
