"""`penstock dev`: the manifests of JobQueues, run on this machine without a cluster."""

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
    files: Annotated[list[Path], typer.Option("-f", "--file", help="A file of JobQueues; may be given again.")],
    external: Annotated[
        bool, typer.Option("--external", help="Use PENSTOCK_DATABASE_URL instead of an embedded server.")
    ] = False,
    data_dir: Annotated[
        Path | None, typer.Option(help="Keep the embedded server's data here. Default: gone at the end.")
    ] = None,
    reload: Annotated[bool, typer.Option("--reload", help="Restart workers when code below changes.")] = False,
    log_file: Annotated[Path | None, typer.Option(help="The workers' output. Default: a temporary file.")] = None,
    metrics_port: Annotated[int, typer.Option(help="/metrics on 127.0.0.1; 0: any free port.", min=0, max=65535)] = 0,
) -> None:
    """Run every queue of the manifests as local processes, scaled as the operator would; Ctrl-C drains and ends.

    Example: penstock dev -f jobqueues.yaml --reload
    """
    try:
        from penstock.local.dev import DevOptions, run_dev  # noqa: PLC0415 - the libraries of the `dev` extra
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"penstock dev needs the extra `dev` (no module {error.name!r}): penstock[dev]"
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
