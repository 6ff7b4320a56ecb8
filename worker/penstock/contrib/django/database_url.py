"""The libpq URL of a database of Django's settings, for the worker and the commands, which open their own connections.

Never printed. Options of Django's backend that mean nothing to libpq are left out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from django.db import connections

from penstock.errors import ConfigurationError

from .config import config

_DJANGOS_OWN: Final = frozenset(
    {"assume_role", "client_encoding", "isolation_level", "pool", "prepare_threshold", "server_side_binding"}
)


def database_url(alias: str) -> str:
    """The URL of an alias.

    Raises:
        ConfigurationError: there is no such alias, or it is of another database than PostgreSQL.
    """
    if alias not in connections:
        raise ConfigurationError(f"DATABASES has no alias {alias!r}; it has {', '.join(connections)}")
    connection: Any = connections[alias]
    if connection.vendor != "postgresql":
        raise ConfigurationError(f"database {alias!r} must be of PostgreSQL, got {connection.vendor}")
    settings = connection.settings_dict
    options = {
        name: str(value)
        for name, value in settings.get("OPTIONS", {}).items()
        if name not in _DJANGOS_OWN and isinstance(value, str | int)
    }
    login = quote(settings.get("USER") or "", safe="")
    if settings.get("PASSWORD"):
        login += ":" + quote(settings["PASSWORD"], safe="")
    host = str(settings.get("HOST") or "")
    if host.startswith("/"):  # the folder of a socket has no place in the authority
        options["host"], host = host, ""
    if settings.get("PORT"):
        host += f":{settings['PORT']}"
    at = f"{login}@" if login else ""
    query = f"?{urlencode(options, quote_via=quote)}" if options else ""
    return f"postgresql://{at}{host}/{quote(settings.get('NAME') or '', safe='')}{query}"


def variables(environ: Mapping[str, str] = os.environ, alias: str | None = None) -> dict[str, str]:
    """The variables that name the database to a worker or a command; those of the environment win over the settings.

    Raises:
        ConfigurationError: as `database_url`.
    """
    names = ("PENSTOCK_DATABASE_URL", "PENSTOCK_DATABASE_URL_FILE")
    if alias is None and any(environ.get(name) for name in names):
        return {}
    found = {"PENSTOCK_DATABASE_URL": database_url(alias or config().database)}
    if alias is None and config().direct_database is not None and not environ.get("PENSTOCK_DIRECT_URL"):
        found["PENSTOCK_DIRECT_URL"] = database_url(config().direct_database or "")
    return found
