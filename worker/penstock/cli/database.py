"""The options that say which database a command uses, and how they become its URLs.

The URLs come from the environment or, with `--jobqueue`, from the Secret that the JobQueue names. They stay in this
process: no argument, output or log line contains them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated

import typer

from penstock.database.variables import DATABASE_VARIABLES
from penstock.settings import Settings

from .output import Format

OutputOption = Annotated[Format, typer.Option("-o", "--output", help="Output format.", case_sensitive=False)]
JobQueueOption = Annotated[
    str | None,
    typer.Option(
        "--jobqueue", help="Read the database URL from the Secret of this JobQueue, by kubectl.", show_default=False
    ),
]
Namespace = Annotated[
    str | None,
    typer.Option("-n", "--namespace", help="Namespace of the JobQueue. Default: kubectl's.", show_default=False),
]


@dataclass(frozen=True, slots=True, repr=False)
class DatabaseUrls:
    """The two URLs of a database, both credentials. `pooled`: `url` leads to a pooler, `direct_url` to the server."""

    url: str
    direct_url: str
    pooled: bool


def database_urls(jobqueue: str | None = None, namespace: str | None = None) -> DatabaseUrls:
    """The URLs of a JobQueue's database, or those of the environment without a JobQueue.

    Raises:
        ConfigurationError: no URL is set, or kubectl is not installed.
        PenstockError: kubectl failed.
    """
    environ = {name: os.environ.get(name, "") for name in DATABASE_VARIABLES}
    if jobqueue is not None:
        from .kubectl import variables_of_jobqueue  # noqa: PLC0415 - most commands need no cluster

        environ = variables_of_jobqueue(jobqueue, namespace)
    settings = Settings.from_env(environ)
    return DatabaseUrls(settings.database_url, settings.direct_url, settings.pooled)
