"""The environment variables that say where the database is: a URL, or its parts; in both cases certificate files.

A Secret may hold a URL or the parts of one. A pod gets each part as a variable of its own, because no expansion of
variables can percent-encode a password. A URL that is given wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .database_url import compose, with_certificates
from .errors import ConfigurationError

URL: Final = "PENSTOCK_DATABASE_URL"
DIRECT_URL: Final = "PENSTOCK_DIRECT_URL"
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
DATABASE_VARIABLES: Final = (URL, DIRECT_URL, *PARTS.values(), CA_FILE, CERTIFICATE_FILE, KEY_FILE)
_CLIENT: Final = "client certificate of the database"


def database_urls(environ: Mapping[str, str]) -> dict[str, str]:
    """Both URLs as the variables say, empty where they say nothing.

    Raises:
        ConfigurationError: there are parts, and they make no URL; or a client certificate that cannot be used.
    """
    url, direct = environ.get(URL, ""), environ.get(DIRECT_URL, "")
    if not url and any(environ.get(name) for name in PARTS.values()):
        url = compose(**{name: environ.get(variable, "") for name, variable in PARTS.items()})
    if file := environ.get(CA_FILE, ""):
        url = url and with_certificates(url, file)
        direct = direct and with_certificates(direct, file)
    certificate, key = environ.get(CERTIFICATE_FILE, ""), environ.get(KEY_FILE, "")
    if certificate or key:
        url, direct = _with_client_certificate(url, direct, certificate=certificate, key=key)
    return {URL: url, DIRECT_URL: direct}


def _with_client_certificate(url: str, direct: str, *, certificate: str, key: str) -> tuple[str, str]:
    """Both URLs with the files of the client certificate and of its key, which are checked."""
    from .client_certificate import check, private, with_client_certificate  # noqa: PLC0415 - it needs ssl, and few do

    if not certificate or not key:
        missing = KEY_FILE if certificate else CERTIFICATE_FILE
        raise ConfigurationError(f"{_CLIENT}: {missing} must be set too: a certificate and its key belong together")
    check(certificate, key, where=_CLIENT, names=(CERTIFICATE_FILE, KEY_FILE))
    files = certificate, private(key)
    return (
        url and with_client_certificate(url, *files, where=_CLIENT),
        direct and with_client_certificate(direct, *files, where=_CLIENT),
    )
