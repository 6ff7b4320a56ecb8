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
        typer.Argument(help="The App, as package.module:attribute. [PENSTOCK_APP]", show_default=False),
    ] = None,
    *,
    queue: Annotated[str | None, _option("QUEUE", "The queue to take jobs from.")] = None,
    concurrency: Annotated[int | None, _option("CONCURRENCY", "Jobs that run at once.")] = None,
    min_demand: Annotated[int | None, _option("MIN_DEMAND", "Ask again at this level.")] = None,
    max_demand: Annotated[int | None, _option("MAX_DEMAND", "Most jobs asked for at once.")] = None,
    executor: Annotated[str | None, _option("EXECUTOR", "async, thread or process.")] = None,
    drain_timeout_seconds: Annotated[float | None, _option("DRAIN_TIMEOUT_SECONDS", "Grace from SIGTERM.")] = None,
    lease_seconds: Annotated[float | None, _option("LEASE_SECONDS", "Unheard of for so long, jobs are lost.")] = None,
    poll_seconds: Annotated[float | None, _option("POLL_SECONDS", "Look for jobs this often when idle.")] = None,
    listen: Annotated[bool | None, _option("LISTEN", "Take wake-ups by LISTEN.")] = None,
    http_host: Annotated[str | None, _option("HTTP_HOST", "Address of health and metrics.")] = None,
    http_port: Annotated[int | None, _option("HTTP_PORT", "Their port; 0: any free one.")] = None,
    log_level: Annotated[str | None, _option("LOG_LEVEL", "debug, info, warning, error or critical.")] = None,
    log_format: Annotated[str | None, _option("LOG_FORMAT", "text or json.")] = None,
) -> None:
    """Take jobs from one queue and run them until SIGTERM; a second signal ends at once.

    What is not given is read from the variable named beside it; the database is PENSTOCK_DATABASE_URL.

    Example: penstock worker mailer.jobs:app --queue emails --concurrency 20
    """
    given = dict(locals())
    settings = Settings.from_env({**os.environ, **_variables(given)})
    if not settings.app:
        raise ConfigurationError("app (PENSTOCK_APP) must be given, as package.module:attribute")
    buffer_lines()
    with leaving_at_once():  # until the worker listens itself; its start takes as long as the application's import
        from penstock.app.loading import load_app  # noqa: PLC0415 - wrong settings need no application
        from penstock.runtime import run_worker  # noqa: PLC0415

        code = run_worker(load_app(settings.app), settings)
    raise typer.Exit(code)


def _variables(given: dict[str, object]) -> dict[str, str]:
    """Options as the variables that they stand for, so that one parser judges both."""
    texts = {True: "true", False: "false"}
    return {
        f"PENSTOCK_{name.upper()}": texts[value] if isinstance(value, bool) else str(value)
        for name, value in given.items()
        if value is not None
    }
