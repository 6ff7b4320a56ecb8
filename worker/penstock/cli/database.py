"""Where a command finds the database, and the options that every command about a database has.

From the environment, or with `--jobqueue` from the Secret that a JobQueue names. The URL stays in this process: it is
in no argument, no output and no log.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated

import typer

from penstock.database.variables import DATABASE_VARIABLES
from penstock.settings import Settings

from .output import Format

Output = Annotated[Format, typer.Option("-o", "--output", help="Form of the answer.", case_sensitive=False)]
JobQueue = Annotated[
    str | None,
    typer.Option(
        "--jobqueue", help="Take the database from the Secret of this JobQueue, through kubectl.", show_default=False
    ),
]
Namespace = Annotated[
    str | None, typer.Option("-n", "--namespace", help="Its namespace. Default: kubectl's.", show_default=False)
]


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """How a database is reached; both URLs are credentials. `pooled`: a pooler stands before the first."""

    url: str
    direct_url: str
    pooled: bool


def address(jobqueue: str | None = None, namespace: str | None = None) -> Address:
    """The database of a JobQueue, else of the environment.

    Raises:
        ConfigurationError: there is none, or kubectl cannot be run.
        PenstockError: the cluster does not say.
    """
    environ = {name: os.environ.get(name, "") for name in DATABASE_VARIABLES}
    if jobqueue is not None:
        from .kubectl import database_variables  # noqa: PLC0415 - most commands ask no cluster

        environ = database_variables(jobqueue, namespace)
    settings = Settings.from_env(environ)
    return Address(settings.database_url, settings.direct_url, settings.pooled)
