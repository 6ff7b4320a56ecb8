"""`penstock dev`: run the JobQueues of manifest files on this machine, without a cluster."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from penstock.database.variables import DATABASE_VARIABLES
from penstock.errors import ConfigurationError
from penstock.settings import Settings

Files = Annotated[list[Path], typer.Option("-f", "--file", help="Manifest file with JobQueues; repeatable.")]
External = Annotated[bool, typer.Option("--external", help="Use PENSTOCK_DATABASE_URL instead of an embedded server.")]
DataDir = Annotated[
    Path | None, typer.Option(help="Keep the embedded server's data in this directory. Default: deleted at exit.")
]
Reload = Annotated[
    bool, typer.Option("--reload", help="Restart workers when code below the current directory changes.")
]
LogFile = Annotated[Path | None, typer.Option(help="File for the workers' output. Default: a temporary file.")]
MetricsPort = Annotated[int, typer.Option(help="Port of /metrics on 127.0.0.1; 0 picks a free port.", min=0, max=65535)]
Explain = Annotated[
    bool, typer.Option("--explain", help="Show the arithmetic of each scale decision, below its reason.")
]


def dev(
    *,
    files: Files,
    external: External = False,
    data_dir: DataDir = None,
    reload: Reload = False,
    log_file: LogFile = None,
    metrics_port: MetricsPort = 0,
    explain: Explain = False,
) -> None:
    """Run JobQueues as local processes, without a cluster.

    Workers are scaled as the operator would scale them. Ctrl-C drains the workers and exits.

    Example: penstock dev -f jobqueues.yaml --reload
    """
    try:
        from penstock.dev.run_dev import DevOptions, run_dev  # noqa: PLC0415 - the libraries of the `dev` extra
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
            explain=explain,
        )
    )
