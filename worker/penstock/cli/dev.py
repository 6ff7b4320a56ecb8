"""`penstock dev`: run the JobQueues of manifest files on this machine, without a cluster."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from penstock.database.variables import DATABASE_VARIABLES
from penstock.errors import ConfigurationError
from penstock.settings import Settings


def dev(
    *,
    files: Annotated[list[Path], typer.Option("-f", "--file", help="Manifest file with JobQueues; repeatable.")],
    external: Annotated[
        bool, typer.Option("--external", help="Use PENSTOCK_DATABASE_URL instead of an embedded server.")
    ] = False,
    data_dir: Annotated[
        Path | None, typer.Option(help="Keep the embedded server's data in this directory. Default: deleted at exit.")
    ] = None,
    reload: Annotated[
        bool, typer.Option("--reload", help="Restart workers when code below the current directory changes.")
    ] = False,
    log_file: Annotated[
        Path | None, typer.Option(help="File for the workers' output. Default: a temporary file.")
    ] = None,
    metrics_port: Annotated[
        int, typer.Option(help="Port of /metrics on 127.0.0.1; 0 picks a free port.", min=0, max=65535)
    ] = 0,
) -> None:
    """Run JobQueues as local processes, without a cluster.

    Workers are scaled as the operator would scale them. Ctrl-C drains the workers and exits.

    Example: penstock dev -f jobqueues.yaml --reload
    """
    try:
        from penstock.local.dev import DevOptions, run_dev  # noqa: PLC0415 - the libraries of the `dev` extra
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"penstock dev needs the extra `dev` (there is no module {error.name!r}): pip install 'penstock[dev]'"
        ) from error
    url = None
    if external:
        url = Settings.from_env({name: os.environ.get(name, "") for name in DATABASE_VARIABLES}).database_url
    run_dev(
        DevOptions(
            files=files,
            database_url=url,
            data_dir=data_dir,
            reload=reload,
            log_file=log_file,
            metrics_port=metrics_port,
        )
    )
