"""`TasksBackend`: Django's Tasks framework on Penstock, by one line of settings.

    TASKS = {"default": {"BACKEND": "penstock.contrib.django.TasksBackend"}}

An enqueue belongs to the transaction that is open, as every enqueue of the project's App does. A job of the framework
gets one attempt unless OPTIONS has MAX_ATTEMPTS: code written for the framework does not expect to be retried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.apps import apps
from django.core import checks
from django.utils import timezone

from penstock.app.options import MAX_ATTEMPTS, check_whole
from penstock.contrib.django.project_app import app
from penstock.errors import ConfigurationError, shown
from penstock.job import NewJob
from penstock.settings import check_queue_name

from . import results, runner
from .framework import BaseTaskBackend, InvalidTask, TaskResultDoesNotExist, normalize_json, signals
from .priorities import penstock_priority

MAX_ID: Final = 2**63 - 1
OPTION: Final = "MAX_ATTEMPTS"


class TasksBackend(BaseTaskBackend):
    """See above. QUEUES lists the queues that tasks may name; `[]` allows any."""

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: Mapping[str, Any]) -> None:
        super().__init__(alias, params)
        self._max_attempts = self.options.get(OPTION, 1)

    def validate_task(self, task: Any) -> None:
        """Check a Task, and register its function on the App; called for each `@task`, `using` and enqueue.

        Raises:
            InvalidTask: as the framework says, or Penstock cannot have a queue of that name.
        """
        super().validate_task(task)
        try:
            check_queue_name(task.queue_name, of="queue_name")
        except ConfigurationError as error:
            raise InvalidTask(str(error)) from error
        runner.register(app, task, type(self))

    def enqueue(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Enqueue a job; returns its TaskResult.

        Raises:
            InvalidTask: see `validate_task`.
            TypeError: an argument has no JSON form.
            PayloadTooLarge, StoreError: as `Task.enqueue` of Penstock.
        """
        self.validate_task(task)
        now = timezone.now()
        values, named = normalize_json(list(args)), normalize_json(dict(kwargs))
        [job_id] = app.enqueue_many([self._job(task, values, named, results.headers_of(task, now))])
        result = results.of_enqueued(job_id, task, values, named, now)
        signals.task_enqueued.send(type(self), task_result=result)
        return result

    def _job(self, task: Any, args: list[Any], kwargs: dict[str, Any], headers: Mapping[str, str]) -> NewJob:
        at = task.run_after
        if at is not None and timezone.is_naive(at):  # only without USE_TZ
            at = timezone.make_aware(at)
        options = runner.register(app, task, type(self)).options(
            queue=task.queue_name,
            priority=penstock_priority(task.priority),
            at=at,
            max_attempts=self._max_attempts,
            headers=headers,
        )
        return options.job(args, kwargs)

    def get_result(self, result_id: str) -> Any:
        """The TaskResult of a job, through the connection of the caller: one of its open transaction too.

        Raises:
            TaskResultDoesNotExist: there is no such job of a task of this project, or its retention has passed.
            StoreError: the database cannot be used.
        """
        job_id = int(result_id) if str(result_id).isdecimal() else 0
        info = app.client.info(job_id) if 0 < job_id <= MAX_ID else None
        template = None if info is None else runner.TEMPLATES.get(info.task)
        if info is None or template is None:
            raise TaskResultDoesNotExist(result_id)
        return results.of_info(info, template, self.alias)

    def check(self, **_given: Any) -> list[checks.CheckMessage]:
        """E101 to E103: the app is not installed, a queue's name or an option is invalid."""
        found: list[checks.CheckMessage] = []
        of = f"TASKS[{self.alias!r}]"
        if not apps.is_installed("penstock.contrib.django"):
            hint = 'Add "penstock.contrib.django" to INSTALLED_APPS.'
            found.append(checks.Error(f"{of}: Penstock is not installed", hint=hint, id="penstock.E101"))
        for queue in sorted(self.queues):
            try:
                check_queue_name(queue, of=f"{of}: QUEUES")
            except ConfigurationError as error:
                found.append(checks.Error(str(error), id="penstock.E102"))
        try:
            check_whole(self._max_attempts, of=f"{of}: OPTIONS[{OPTION!r}]", low=1, high=MAX_ATTEMPTS)
        except ConfigurationError as error:
            found.append(checks.Error(str(error), id="penstock.E103"))
        if unknown := sorted(set(self.options) - {OPTION}):
            text = f"{of}: OPTIONS has only {OPTION}, got {shown(unknown)}"
            found.append(checks.Error(text, id="penstock.E103"))
        return found
