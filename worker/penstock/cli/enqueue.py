"""`penstock enqueue`: enqueue one job, checked against the application's task unless `--raw` is given."""

from __future__ import annotations

import os
from typing import Annotated, Any

import msgspec
import typer

from penstock.app.app import App
from penstock.app.arguments.codec import encode_object
from penstock.app.loading import load_app
from penstock.app.options import DEFAULT_PRIORITY, DEFAULT_QUEUE, Options
from penstock.app.task import Enqueuer
from penstock.app.task_options import check_task_name
from penstock.errors import ConfigurationError, InvalidArguments, UnknownTask, shown
from penstock.job import NewJob

Queue = Annotated[str | None, typer.Option(help="Queue of the job. Default: the task's queue.", show_default=False)]
Priority = Annotated[
    int | None, typer.Option(help="Priority from 0 to 3; 0 runs first. Default: the task's.", show_default=False)
]
Delay = Annotated[
    float | None, typer.Option(help="Seconds until the job may run. Default: the task's.", show_default=False)
]
MaxAttempts = Annotated[
    int | None, typer.Option(help="Maximum number of attempts. Default: the task's.", show_default=False)
]
AppOption = Annotated[
    str | None,
    typer.Option(help="App with the task, as package.module:attribute. [PENSTOCK_APP]", show_default=False),
]
Raw = Annotated[bool, typer.Option("--raw", help="Enqueue without an App; the task and its arguments are not checked.")]


def enqueue(
    task: Annotated[str, typer.Argument(help="Name of the task.")],
    *,
    args: Annotated[str, typer.Option(help="Arguments by parameter name, as a JSON object.")] = "{}",
    queue: Queue = None,
    priority: Priority = None,
    delay: Delay = None,
    max_attempts: MaxAttempts = None,
    app: AppOption = None,
    raw: Raw = False,
) -> None:
    """Enqueue one job and print its id.

    The database is PENSTOCK_DATABASE_URL.

    Example: penstock enqueue mailer.jobs:send_mail --app mailer.jobs:app --args '{"user_id": 7}'
    """
    options = Options(queue=queue, priority=priority, delay=delay, max_attempts=max_attempts)
    if raw:
        application = App()
        job = _raw_job(task, args, options)
    else:
        path = app or os.environ.get("PENSTOCK_APP", "")
        if not path:
            raise ConfigurationError("no App: give --app or PENSTOCK_APP, or --raw to enqueue without an App")
        application = load_app(path)
        job = _checked_job(application, task, args, options)
    with application:
        [job_id] = application.enqueue_many([job])
    typer.echo(job_id)


def _checked_job(app: App, name: str, args: str, options: Options) -> NewJob:
    task = app.tasks.get(name)
    if task is None:
        raise UnknownTask(f"the App has no task {name!r}; its tasks: {', '.join(app.tasks) or 'none'}")
    arguments = task.decode(args)
    return Enqueuer(task, options).job(**arguments)


def _raw_job(name: str, args: str, options: Options) -> NewJob:
    """The job that an application in any language would write: the task's name unchecked, plain JSON arguments."""
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
