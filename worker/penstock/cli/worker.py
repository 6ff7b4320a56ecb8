"""`penstock worker`: run one worker, as a pod does."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from penstock.errors import ConfigurationError
from penstock.runtime.process_exit import buffer_lines, leaving_at_once
from penstock.settings import Settings


def _option(variable: str, text: str) -> Any:
    return typer.Option(help=f"{text} [PENSTOCK_{variable}]", show_default=False)


def worker(
    app: Annotated[
        str | None,
        typer.Argument(help="App to run, as package.module:attribute. [PENSTOCK_APP]", show_default=False),
    ] = None,
    *,
    queue: Annotated[str | None, _option("QUEUE", "Queue to run jobs from.")] = None,
    concurrency: Annotated[
        int | None, _option("CONCURRENCY", "Maximum number of jobs that run at the same time.")
    ] = None,
    min_demand: Annotated[
        int | None, _option("MIN_DEMAND", "Ask for more jobs when the open demand falls to this number.")
    ] = None,
    max_demand: Annotated[
        int | None, _option("MAX_DEMAND", "Maximum number of jobs to ask for, running jobs included.")
    ] = None,
    executor: Annotated[str | None, _option("EXECUTOR", "Default executor of tasks: async, thread or process.")] = None,
    drain_timeout_seconds: Annotated[
        float | None, _option("DRAIN_TIMEOUT_SECONDS", "How long jobs may run on after SIGTERM.")
    ] = None,
    lease_seconds: Annotated[
        float | None,
        _option("LEASE_SECONDS", "Lease length; a worker silent for this long has its jobs returned to the queue."),
    ] = None,
    poll_seconds: Annotated[float | None, _option("POLL_SECONDS", "Polling interval of an idle worker.")] = None,
    listen: Annotated[
        bool | None, _option("LISTEN", "Wake up by LISTEN/NOTIFY; without it, jobs are found by polling alone.")
    ] = None,
    http_host: Annotated[
        str | None, _option("HTTP_HOST", "DatabaseUrls that serves health checks and metrics.")
    ] = None,
    http_port: Annotated[int | None, _option("HTTP_PORT", "Port of that address; 0 picks a free port.")] = None,
    log_level: Annotated[
        str | None, _option("LOG_LEVEL", "Lowest level to log: debug, info, warning, error or critical.")
    ] = None,
    log_format: Annotated[str | None, _option("LOG_FORMAT", "Format of log lines: text or json.")] = None,
) -> None:
    """Run a worker for one queue until SIGTERM.

    SIGTERM drains the worker; a second signal stops it at once. An option that is not given takes its value from the
    environment variable in brackets. The database is PENSTOCK_DATABASE_URL.

    Example: penstock worker mailer.jobs:app --queue emails --concurrency 20
    """
    given = dict(locals())
    settings = Settings.from_env({**os.environ, **_variables(given)})
    if not settings.app:
        raise ConfigurationError("app (PENSTOCK_APP) must be given, as package.module:attribute")
    buffer_lines()
    with leaving_at_once():  # until the worker handles signals itself: importing the application can take seconds
        from penstock.app.loading import load_app  # noqa: PLC0415 - wrong settings need no application
        from penstock.runtime import run_worker  # noqa: PLC0415

        code = run_worker(load_app(settings.app), settings)
    raise typer.Exit(code)


def _variables(given: dict[str, object]) -> dict[str, str]:
    """Options as environment variables, because one parser checks both."""
    texts = {True: "true", False: "false"}
    return {
        f"PENSTOCK_{name.upper()}": texts[value] if isinstance(value, bool) else str(value)
        for name, value in given.items()
        if value is not None
    }
