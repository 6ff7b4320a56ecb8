"""`penstock enqueue`: one job from the command line, checked against the application's task unless told not to be."""

from __future__ import annotations

import os
from typing import Annotated, Any

import msgspec
import typer

from penstock.app.app import App
from penstock.app.arguments.codec import encode_object
from penstock.app.loading import load_app
from penstock.app.options import DEFAULT_PRIORITY, DEFAULT_QUEUE, Enqueuer, Options
from penstock.app.task_options import check_task_name
from penstock.errors import ConfigurationError, InvalidArguments, UnknownTask
from penstock.job import NewJob
from penstock.settings import shown


def enqueue(
    task: Annotated[str, typer.Argument(help="The task's name.")],
    *,
    args: Annotated[str, typer.Option(help="Its arguments: a JSON object by parameter name.")] = "{}",
    queue: Annotated[str | None, typer.Option(help="Default: the task's.", show_default=False)] = None,
    priority: Annotated[int | None, typer.Option(help="0 to 3, lower first.", show_default=False)] = None,
    delay: Annotated[float | None, typer.Option(help="Seconds from now.", show_default=False)] = None,
    max_attempts: Annotated[int | None, typer.Option(help="Default: the task's.", show_default=False)] = None,
    app: Annotated[
        str | None,
        typer.Option(help="The App, as package.module:attribute. [PENSTOCK_APP]", show_default=False),
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Without an App: task and arguments are not checked.")] = False,
) -> None:
    """Enqueue one job and print its id. The database is PENSTOCK_DATABASE_URL.

    Example: penstock enqueue mailer.jobs:send_mail --app mailer.jobs:app --args '{"user_id": 7}'
    """
    options = Options(queue=queue, priority=priority, delay=delay, max_attempts=max_attempts)
    if raw:
        application = App()
        job = _raw_job(task, args, options)
    else:
        path = app or os.environ.get("PENSTOCK_APP", "")
        if not path:
            raise ConfigurationError("app (PENSTOCK_APP) must be given with --app, or --raw to enqueue without one")
        application = load_app(path)
        job = _checked_job(application, task, args, options)
    with application:
        [job_id] = application.enqueue_many([job])
    typer.echo(job_id)


def _checked_job(app: App, name: str, args: str, options: Options) -> NewJob:
    task = app.tasks.get(name)
    if task is None:
        raise UnknownTask(f"no task {name!r} on this App; it has {', '.join(app.tasks) or 'none'}")
    arguments = task.decode(args)
    return Enqueuer(task, options).job(**arguments)


def _raw_job(name: str, args: str, options: Options) -> NewJob:
    """What an application in any language would write: the name as it is, plain JSON."""
    try:
        arguments = msgspec.json.decode(args, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidArguments(f"task {name!r}, arguments: {error}, got {shown(args)}") from error
    return NewJob(
        task=check_task_name(name),
        args=encode_object(arguments, of=f"task {name!r}, arguments"),
        queue=options.queue or DEFAULT_QUEUE,
        priority=DEFAULT_PRIORITY if options.priority is None else options.priority,
        max_attempts=options.max_attempts,
        delay=options.seconds,
    )
