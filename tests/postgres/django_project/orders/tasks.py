"""Jobs of the App, and tasks of Django's Tasks framework."""

from __future__ import annotations

import django
from django.conf import settings
from django.db import connections, transaction

from penstock.contrib.django import app
from tests.postgres.django_project.orders.models import Order

if django.VERSION[0] >= 6:
    from django.tasks import task
else:
    from django_tasks import task

ALIAS = settings.ALIAS


@app.task(queue="orders")
def pack(order_id: int) -> str:
    order = Order.objects.using(ALIAS).get(pk=order_id)
    order.state = "packed"
    order.save(using=ALIAS)
    return f"packed {order.item}"


@app.task(queue="orders")
async def ship(order_id: int) -> str:
    order = await Order.objects.using(ALIAS).aget(pk=order_id)
    order.state = "shipped"
    await order.asave(using=ALIAS)
    return f"shipped {order.item}"


@app.task(queue="orders", executor="process")
def print_label(order_id: int) -> str:
    return f"label of {Order.objects.using(ALIAS).get(pk=order_id).item}"


@app.task(queue="orders")
def pack_and_ship(order_id: int, *, fail: bool) -> None:
    """Enqueues in the task's own transaction."""
    with transaction.atomic(using=ALIAS):
        ship.enqueue(order_id)
        if fail:
            raise ValueError("not today")


@app.task(queue="orders")
def backend_pid() -> int:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


@task(queue_name="orders")
def add(a: int, b: int = 1) -> int:
    return a + b


@task(queue_name="orders")
async def add_async(a: int, b: int = 1) -> int:
    return a + b


@task(queue_name="orders", takes_context=True)
def attempt_of(context) -> dict:
    result = context.task_result
    return {"attempt": context.attempt, "id": result.id, "status": result.status, "enqueued": bool(result.enqueued_at)}


@task(queue_name="orders")
def refuse(reason: str) -> None:
    raise LookupError(reason)


@task(queue_name="orders")
def leave() -> None:
    raise SystemExit("gone")


@task(queue_name="orders", takes_context=True)
def unstorable(context) -> object:
    return object()
