"""Tasks in Django's TestCase: the schema is there, jobs are rolled back, and tasks run on the data of the test."""

from __future__ import annotations

from django.conf import settings
from django.test import TestCase

from penstock.contrib.django import app
from penstock.job import JobState, OutcomeState
from tests.postgres.django_project.orders.models import Order
from tests.postgres.django_project.orders.tasks import pack, pack_and_ship, ship

ALIAS = settings.ALIAS


class InTestCase(TestCase):
    databases = ("default", "other")

    @classmethod
    def setUpTestData(cls):
        cls.order = Order.objects.using(ALIAS).create(item="lamp")

    def state(self) -> str:
        return str(Order.objects.using(ALIAS).get(pk=self.order.pk).state)

    def test_a_job_is_enqueued_in_the_transaction_of_the_test(self):
        handle = pack.enqueue(self.order.pk)
        self.assertEqual(handle.status(), JobState.QUEUED)
        self.assertEqual(handle.info().queue, "orders")

    def test_a_plain_task_runs_on_the_data_of_the_test(self):
        [run] = app.run_inline(pack.job(self.order.pk))
        self.assertEqual((run.state, run.result, self.state()), (OutcomeState.COMPLETED, "packed lamp", "packed"))

    def test_an_async_task_runs_on_the_data_of_the_test(self):
        [run] = app.run_inline(ship.job(self.order.pk))
        self.assertEqual((run.state, run.result, self.state()), (OutcomeState.COMPLETED, "shipped lamp", "shipped"))

    async def test_both_run_in_an_async_test(self):
        runs = await app.run_inline_async(pack.job(self.order.pk), ship.job(self.order.pk))
        self.assertEqual([run.result for run in runs], ["packed lamp", "shipped lamp"])
        self.assertEqual((await Order.objects.using(ALIAS).aget(pk=self.order.pk)).state, "shipped")

    def test_what_a_view_enqueues_is_collected_and_run(self):
        with app.test_mode() as jobs:
            self.client.get("/place/?item=chair")
            jobs.assert_enqueued(pack)
            [run] = app.run_inline()
        self.assertEqual(run.result, "packed chair")

    def test_a_task_called_as_a_function(self):
        self.assertEqual(pack(self.order.pk), "packed lamp")

    def test_jobs_of_a_task_are_enqueued_with_its_own_transaction(self):
        runs = app.run_inline(pack_and_ship.job(self.order.pk, fail=False))
        self.assertEqual([run.result for run in runs], [None, "shipped lamp"])
