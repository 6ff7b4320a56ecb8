"""The backend for Django's Tasks framework: what it stores, what it answers, and what it refuses."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

import django
from django.conf import settings
from django.core.checks import run_checks
from django.db import transaction
from django.test import TestCase, override_settings
from django.utils import timezone

from penstock.contrib.django import app
from penstock.contrib.django.tasks_backend.framework import (
    InvalidTask,
    TaskResultDoesNotExist,
    TaskResultStatus,
    signals,
)
from tests.postgres.django_project.orders import tasks

if django.VERSION[0] >= 6:
    from django.tasks import task_backends
else:
    from django_tasks import task_backends

ALIAS = settings.ALIAS


class Backend(TestCase):
    databases = ("default", "other")

    def test_the_flags_say_what_the_other_tests_show(self):
        backend = task_backends["default"]
        flags = ("defer", "async_task", "get_result", "priority")
        self.assertEqual([getattr(backend, f"supports_{name}") for name in flags], [True] * 4)

    def test_an_enqueued_task_is_a_job(self):
        result = tasks.add.enqueue(1, b=2)
        info = app.job(int(result.id)).info()
        self.assertEqual((info.queue, info.task, info.state), ("orders", tasks.add.module_path, "queued"))
        self.assertEqual(info.args, {"args": [1], "kwargs": {"b": 2}})
        self.assertEqual((info.priority, info.max_attempts), (1, 1))
        self.assertEqual((result.status, result.attempts, result.is_finished), (TaskResultStatus.READY, 0, False))

    def test_a_result_that_is_read_equals_the_one_of_the_enqueue(self):
        result = tasks.add.enqueue(1, b=2)
        self.assertEqual(tasks.add.get_result(result.id), result)

    async def test_it_can_be_enqueued_and_read_by_async_callers(self):
        result = await tasks.add.aenqueue(1)
        self.assertEqual(await tasks.add.aget_result(result.id), result)
        await result.arefresh()

    def test_an_enqueue_belongs_to_the_transaction(self):
        result: Any = None
        with suppress(ZeroDivisionError), transaction.atomic(using=ALIAS):
            result = tasks.add.enqueue(1)
            self.assertEqual(tasks.add.get_result(result.id).args, [1])
            raise ZeroDivisionError
        with self.assertRaises(TaskResultDoesNotExist):
            tasks.add.get_result(result.id)

    def test_priorities_keep_their_order(self):
        stored = []
        for priority in (100, 1, 0, -1, -50, -51, -100):
            result = tasks.add.using(priority=priority).enqueue(1)
            stored.append(app.job(int(result.id)).info().priority)
            self.assertEqual(tasks.add.get_result(result.id).task.priority, priority)
        self.assertEqual(stored, [0, 0, 1, 2, 2, 3, 3])

    def test_run_after_delays_the_job(self):
        later = timezone.now() + timedelta(hours=1)
        result = tasks.add.using(run_after=later).enqueue(1)
        info = app.job(int(result.id)).info()
        self.assertEqual((info.state, info.due_at), ("scheduled", later))
        self.assertEqual(tasks.add.get_result(result.id).task.run_after, later)

    def test_a_queue_can_be_chosen(self):
        result = tasks.add.using(queue_name="slow").enqueue(1)
        self.assertEqual(app.job(int(result.id)).info().queue, "slow")
        self.assertEqual(tasks.add.get_result(result.id).task.queue_name, "slow")
        with self.assertRaisesMessage(InvalidTask, "queue_name"):
            tasks.add.using(queue_name="not a queue")

    def test_arguments_without_a_json_form_are_refused(self):
        with self.assertRaises(TypeError):
            tasks.add.enqueue(object())

    def test_results_that_do_not_exist(self):
        native = tasks.pack.enqueue(1)
        for unknown in ("0", "-1", "999999999", str(2**64), "x", "", "1.5", "\u0663", str(native.id)):
            with self.subTest(unknown), self.assertRaises(TaskResultDoesNotExist):
                task_backends["default"].get_result(unknown)

    def test_a_cancelled_job_has_failed(self):
        result = tasks.add.enqueue(1)
        app.job(int(result.id)).cancel()
        result.refresh()
        self.assertEqual(result.status, TaskResultStatus.FAILED)
        self.assertEqual(result.errors[0].exception_class.__name__, "JobCancelled")

    def test_task_enqueued_is_sent(self):
        seen = []

        def record(sender, task_result, **more):
            seen.append((sender.__name__, task_result.id))

        signals.task_enqueued.connect(record)
        self.addCleanup(signals.task_enqueued.disconnect, record)
        result = tasks.add.enqueue(1)
        self.assertEqual(seen, [("TasksBackend", result.id)])


class Run(TestCase):
    """Attempts, in this process; test_django.py runs them in workers."""

    databases = ("default", "other")

    def setUp(self):
        self.seen: list[tuple[str, str]] = []

        def record(signal, task_result, **more):
            name = "started" if signal is signals.task_started else "finished"
            self.seen.append((name, str(task_result.status)))

        for signal in (signals.task_started, signals.task_finished):
            signal.connect(record)
            self.addCleanup(signal.disconnect, record)

    def run_one(self, task, *args, **kwargs):
        with app.test_mode():
            task.enqueue(*args, **kwargs)
            [run] = app.run_inline()
        return run

    def test_plain_and_async_functions(self):
        self.assertEqual(self.run_one(tasks.add, 1, b=2).result, 3)
        self.assertEqual(self.run_one(tasks.add_async, 1, b=3).result, 4)
        self.assertEqual(self.seen, [("started", "RUNNING"), ("finished", "SUCCESSFUL")] * 2)

    def test_a_context(self):
        found = self.run_one(tasks.attempt_of).result
        self.assertEqual(found, {"attempt": 1, "id": "1", "status": "RUNNING", "enqueued": True})

    def test_failures_are_not_retried(self):
        for task, error in ((tasks.refuse, LookupError), (tasks.leave, SystemExit), (tasks.unstorable, TypeError)):
            args = ("no",) if task is tasks.refuse else ()
            run = self.run_one(task, *args)
            self.assertEqual((run.state, run.attempts, type(run.exception)), ("failed", 1, error))
        self.assertEqual(self.seen, [("started", "RUNNING"), ("finished", "FAILED")] * 3)

    @override_settings(
        TASKS={"default": {"BACKEND": "penstock.contrib.django.TasksBackend", "OPTIONS": {"MAX_ATTEMPTS": 3}}}
    )
    def test_attempts_are_an_option(self):
        with app.test_mode():
            tasks.refuse.using(queue_name="default").enqueue("no")
            [run] = app.run_inline()
        self.assertEqual(run.attempts, 3)
        self.assertEqual(self.seen, [("started", "RUNNING")] * 3 + [("finished", "FAILED")])


class Checks(TestCase):
    """`manage.py check`."""

    def found(self):
        return [(message.id, message.msg) for message in run_checks() if message.id.startswith("penstock")]

    def test_this_project_is_fine(self):
        self.assertEqual(self.found(), [])

    def test_options_are_checked(self):
        options = {"QUEUES": ["not a queue"], "OPTIONS": {"MAX_ATTEMPTS": 0, "RETRY": 1}}
        with override_settings(TASKS={"default": {"BACKEND": "penstock.contrib.django.TasksBackend", **options}}):
            ids = [name for name, _ in self.found()]
        self.assertEqual(ids, ["penstock.E102", "penstock.E103", "penstock.E103"])

    def test_settings_are_checked(self):
        wrong = {"DATABSE": "default", "DATABASE": "", "INCLUDE": "shop", "TASKS_MODULE": "a.b", "MIGRATE_SCHEMA": 1}
        with override_settings(PENSTOCK={**wrong, "DIRECT_DATABASE": 7}):
            found = self.found()
        self.assertEqual([name for name, _ in found], ["penstock.E001"] * 6)
        self.assertIn("there is no key 'DATABSE'; the keys are DATABASE, DIRECT_DATABASE", found[0][1])
        with override_settings(PENSTOCK=["default"]):
            self.assertIn("must be a dictionary, got ['default']", self.found()[0][1])
        with override_settings(PENSTOCK={"DATABASE": "elsewhere"}):
            self.assertEqual([name for name, _ in self.found()], ["penstock.E002"])
