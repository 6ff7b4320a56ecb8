"""The database of an App or a worker: from its arguments, else from the settings of the environment. Opens nothing."""

from __future__ import annotations

import os
from collections.abc import Callable

from ..database.source import Url, WithPassword, source
from ..database.variables import DATABASE_VARIABLES
from ..settings import Settings


def sources(settings: Settings, password: Callable[[], str] | None = None) -> tuple[Url, Url]:
    """The database URL and the direct URL of these settings, resolved at each connect."""
    url = source(settings.database_url, settings.database_url_file, password)
    if not settings.pooled:
        return url, url
    return url, source(settings.direct_url, settings.direct_url_file, password)


def of_app(url: Url | None, password: Callable[[], str] | None, *, pooled: bool | None) -> tuple[Url, bool]:
    """An App's URL, or the environment's if it is None; and whether it leads to a pooler."""
    if url:
        return (url if password is None else WithPassword(url, password)), bool(pooled)
    settings = Settings.from_env({name: os.environ.get(name, "") for name in DATABASE_VARIABLES})
    return sources(settings, password)[0], settings.pooled if pooled is None else pooled
