"""An enqueue belongs to the transaction that is open, wherever it is made; seen from another connection."""

from __future__ import annotations

from contextlib import suppress

import psycopg
from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.exceptions import SynchronousOnlyOperation
from django.core.management import call_command
from django.db import transaction
from django.test import AsyncClient, Client, SimpleTestCase, TransactionTestCase

from penstock.contrib.django import app
from penstock.contrib.django.database_url import database_url
from penstock.errors import ConfigurationError
from penstock.job import JobState
from penstock.store import delete_jobs_on
from tests.postgres.django_project.orders.models import Order
from tests.postgres.django_project.orders.tasks import pack

ALIAS = settings.ALIAS
ELSEWHERE = {"default": "other", "other": "default"}[ALIAS]


class Undone(Exception):  # noqa: N818
    """Rolls a block back."""


class Case(SimpleTestCase):
    """With real commits, and without Django's flush of all tables after each test, which takes longer than a test."""

    databases: tuple[str, ...] = ("default", "other")

    def setUp(self):
        self.outside = psycopg.connect(database_url(ALIAS), autocommit=True)
        self.addCleanup(self.outside.close)
        self.addCleanup(delete_jobs_on, self.outside)
        self.addCleanup(self.outside.execute, "DELETE FROM orders_order")

    def jobs(self) -> int:
        return len(self.outside.execute("SELECT id FROM penstock.jobs").fetchall())

    def orders(self) -> int:
        return len(self.outside.execute("SELECT id FROM orders_order").fetchall())


class Blocks(Case):
    """`atomic`, and connections without it."""

    def test_a_job_is_there_exactly_when_its_transaction_commits(self):
        with suppress(Undone), transaction.atomic(using=ALIAS):
            pack.enqueue(1)
            raise Undone
        self.assertEqual(self.jobs(), 0)
        with transaction.atomic(using=ALIAS):
            pack.enqueue(1)
            self.assertEqual(self.jobs(), 0)
        self.assertEqual(self.jobs(), 1)

    def test_many_jobs_belong_to_it_too(self):
        with suppress(Undone), transaction.atomic(using=ALIAS):
            app.enqueue_many(pack.job(number) for number in range(300))
            raise Undone
        self.assertEqual(self.jobs(), 0)

    def test_a_savepoint_takes_its_jobs_with_it(self):
        with transaction.atomic(using=ALIAS):
            pack.enqueue(1)
            with suppress(Undone), transaction.atomic(using=ALIAS):
                pack.enqueue(2)
                raise Undone
            with transaction.atomic(using=ALIAS):
                pack.enqueue(3)
        found = self.outside.execute("SELECT args FROM penstock.jobs ORDER BY id").fetchall()
        self.assertEqual(found, [({"order_id": 1},), ({"order_id": 3},)])

    def test_without_a_transaction_it_commits_at_once(self):
        pack.enqueue(1)
        self.assertEqual(self.jobs(), 1)

    def test_a_transaction_by_set_autocommit_carries_it(self):
        transaction.set_autocommit(False, using=ALIAS)
        try:
            pack.enqueue(1)
            self.assertEqual(self.jobs(), 0)
            transaction.rollback(using=ALIAS)
            self.assertEqual(self.jobs(), 0)
            pack.enqueue(1)
            transaction.commit(using=ALIAS)
        finally:
            transaction.set_autocommit(True, using=ALIAS)
        self.assertEqual(self.jobs(), 1)

    def test_on_commit_runs_after_the_commit_and_enqueues_by_itself(self):
        seen = []
        with transaction.atomic(using=ALIAS):
            transaction.on_commit(lambda: seen.append(self.jobs()), using=ALIAS)
            transaction.on_commit(lambda: pack.enqueue(2), using=ALIAS)
            pack.enqueue(1)
            self.assertEqual(seen, [])
        self.assertEqual(seen, [1])
        self.assertEqual(self.jobs(), 2)

    def test_a_given_connection_wins(self):
        with suppress(Undone), transaction.atomic(using=ALIAS):
            pack.options(connection=self.outside).enqueue(1)
            raise Undone
        self.assertEqual(self.jobs(), 1)

    def test_a_handle_sees_and_cancels_the_job_of_its_own_transaction(self):
        with transaction.atomic(using=ALIAS):
            handle = pack.enqueue(1)
            self.assertEqual(handle.status(), JobState.QUEUED)
            self.assertEqual(handle.info().args, {"order_id": 1})
        with suppress(Undone), transaction.atomic(using=ALIAS):
            self.assertTrue(handle.cancel("a mistake"))
            self.assertEqual(handle.status(), JobState.CANCELLED)
            raise Undone
        self.assertEqual(handle.status(), JobState.QUEUED)
        self.assertTrue(handle.cancel())
        self.assertFalse(handle.cancel())


class Aliases(Case):
    """Two databases, one of them with two aliases."""

    databases = ("default", "other", "twin")

    def test_a_transaction_on_another_database_is_refused(self):
        with transaction.atomic(using=ELSEWHERE):
            said = f"is open on database '{ELSEWHERE}', but jobs are in '{ALIAS}'"
            with self.assertRaisesMessage(ConfigurationError, said):
                pack.enqueue(1)
        self.assertEqual(self.jobs(), 0)

    def test_with_both_open_it_belongs_to_the_one_with_the_schema(self):
        with suppress(Undone), transaction.atomic(using=ELSEWHERE), transaction.atomic(using=ALIAS):
            pack.enqueue(1)
            raise Undone
        self.assertEqual(self.jobs(), 0)
        with suppress(Undone), transaction.atomic(using=ELSEWHERE):
            with transaction.atomic(using=ALIAS):
                pack.enqueue(1)
            raise Undone
        self.assertEqual(self.jobs(), 1)

    def test_another_alias_of_the_same_database_carries_it(self):
        with suppress(Undone), transaction.atomic(using="twin"):
            pack.enqueue(1)
            raise Undone
        self.assertEqual(self.jobs(), 0)
        with transaction.atomic(using="twin"):
            pack.enqueue(1)
        self.assertEqual(self.jobs(), 1)


class Callers(Case):
    """Views, signals and commands."""

    def test_a_view_under_atomic_requests(self):
        self.assertEqual(Client().get("/place/?item=lamp").status_code, 200)
        self.assertEqual((self.orders(), self.jobs()), (1, 1))
        with self.assertRaises(ValueError):
            Client().get("/place/?item=")
        self.assertEqual((self.orders(), self.jobs()), (1, 1))

    def test_a_signal(self):
        with suppress(Undone), transaction.atomic(using=ALIAS):
            Order.objects.using(ALIAS).create(item="signal lamp")
            raise Undone
        self.assertEqual((self.orders(), self.jobs()), (0, 0))
        Order.objects.using(ALIAS).create(item="signal lamp")
        self.assertEqual((self.orders(), self.jobs()), (1, 1))

    def test_a_command(self):
        with self.assertRaises(ValueError):
            call_command("place_order", "")
        self.assertEqual((self.orders(), self.jobs()), (0, 0))
        call_command("place_order", "lamp")
        self.assertEqual((self.orders(), self.jobs()), (1, 1))


class AsyncCallers(Case):
    """Async views, and async code under a transaction of sync code."""

    async def test_an_async_view_commits_at_once(self):
        self.assertEqual((await AsyncClient().get("/place-async/?item=lamp")).status_code, 200)
        self.assertEqual((self.orders(), self.jobs()), (1, 1))

    async def test_a_transaction_of_an_async_view(self):
        self.assertEqual((await AsyncClient().get("/place-in-atomic/?item=lamp")).status_code, 200)
        with self.assertRaises(ValueError):
            await AsyncClient().get("/place-in-atomic/?item=")
        self.assertEqual((self.orders(), self.jobs()), (1, 1))

    async def test_a_sync_enqueue_on_the_event_loop_is_refused_by_django(self):
        with self.assertRaises(SynchronousOnlyOperation):
            await AsyncClient().get("/wrong-async/")
        self.assertEqual(self.jobs(), 0)

    def test_async_code_in_a_transaction_of_its_caller_belongs_to_it(self):
        with suppress(Undone), transaction.atomic(using=ALIAS):
            handle = async_to_sync(pack.enqueue_async)(1)
            self.assertEqual(async_to_sync(handle.status_async)(), JobState.QUEUED)
            self.assertTrue(async_to_sync(handle.cancel_async)())
            raise Undone
        self.assertEqual(self.jobs(), 0)


class Flushed(TransactionTestCase):
    """Django empties its tables after each test of this kind; the jobs go with them."""

    databases = ("default", "other")

    def test_first(self):
        self.one_job()

    def test_second(self):
        self.one_job()

    def one_job(self):
        handle = pack.enqueue(1)
        with psycopg.connect(database_url(ALIAS)) as outside:
            self.assertEqual(outside.execute("SELECT id FROM penstock.jobs").fetchall(), [(handle.id,)])
