"""`penstock worker`: run one worker, as a pod does."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from penstock.errors import ConfigurationError
from penstock.runtime.process_exit import buffer_lines, leaving_at_once
from penstock.settings import Settings

from .parameters import Parameter, with_parameters

_HELP: Final[Mapping[str, tuple[Any, str]]] = {
    "queue": (str, "Queue to run jobs from."),
    "concurrency": (int, "Maximum number of jobs that run at the same time."),
    "min_demand": (int, "Ask for more jobs when the open demand falls to this number."),
    "max_demand": (int, "Maximum number of jobs to ask for, running jobs included."),
    "executor": (str, "Default executor of tasks: async, thread or process."),
    "drain_timeout_seconds": (float, "Grace period: how long jobs may run on after SIGTERM."),
    "lease_seconds": (float, "Lease length; a worker silent for this long has its jobs returned to the queue."),
    "poll_seconds": (float, "Polling interval of an idle worker."),
    "listen": (bool, "Wake up by LISTEN/NOTIFY; without it, jobs are found by polling alone."),
    "http_host": (str, "Address that serves health checks and metrics."),
    "http_port": (int, "Port of that address; 0 picks a free port."),
    "log_level": (str, "Lowest level to log: debug, info, warning, error or critical."),
    "log_format": (str, "Format of log lines: text or json."),
}
"""The settings that have an option, with its type and description."""


def _parameters() -> dict[str, Parameter]:
    app = typer.Argument(help="App to run, as package.module:attribute. [PENSTOCK_APP]", show_default=False)
    options = {
        name: (Annotated[kind | None, typer.Option(help=f"{text} [PENSTOCK_{name.upper()}]", show_default=False)], None)
        for name, (kind, text) in _HELP.items()
    }
    return {"app": (Annotated[str | None, app], None), **options}


def _worker(**given: Any) -> None:
    """Run a worker for one queue until SIGTERM.

    SIGTERM drains the worker; a second signal stops it at once. An option that is not given takes its value from the
    environment variable in brackets. The database is PENSTOCK_DATABASE_URL.

    Example: penstock worker mailer.jobs:app --queue emails --concurrency 20
    """
    settings = Settings.from_env({**os.environ, **_variables(given)})
    if not settings.app:
        raise ConfigurationError("app (PENSTOCK_APP) must be given, as package.module:attribute")
    buffer_lines()
    with leaving_at_once():  # until the worker handles signals itself: importing the application can take seconds
        from penstock.app.loading import load_app  # noqa: PLC0415 - wrong settings need no application
        from penstock.runtime import run_worker  # noqa: PLC0415

        code = run_worker(load_app(settings.app), settings)
    raise typer.Exit(code)


def _variables(given: dict[str, Any]) -> dict[str, str]:
    """Options as environment variables, because one parser checks both."""
    texts = {True: "true", False: "false"}
    return {
        f"PENSTOCK_{name.upper()}": texts[value] if isinstance(value, bool) else str(value)
        for name, value in given.items()
        if value is not None
    }


worker = with_parameters(_worker, _parameters())
