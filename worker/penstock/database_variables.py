"""The environment variables that say where the database is: a URL, or its parts; in both cases a certificate file.

A Secret may hold a URL or the parts of one. A pod gets each part as a variable of its own, because no expansion of
variables can percent-encode a password. A URL that is given wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .database_url import compose, with_certificates

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
DATABASE_VARIABLES: Final = (URL, DIRECT_URL, *PARTS.values(), CA_FILE)


def database_urls(environ: Mapping[str, str]) -> dict[str, str]:
    """Both URLs as the variables say, empty where they say nothing.

    Raises:
        ConfigurationError: there are parts, and they make no URL.
    """
    url, direct = environ.get(URL, ""), environ.get(DIRECT_URL, "")
    if not url and any(environ.get(name) for name in PARTS.values()):
        url = compose(**{name: environ.get(variable, "") for name, variable in PARTS.items()})
    if file := environ.get(CA_FILE, ""):
        url = url and with_certificates(url, file)
        direct = direct and with_certificates(direct, file)
    return {URL: url, DIRECT_URL: direct}
