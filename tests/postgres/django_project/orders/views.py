"""Views that place orders; an empty item is refused after its job was enqueued."""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import transaction
from django.http import HttpResponse

from tests.postgres.django_project.orders.models import Order
from tests.postgres.django_project.orders.tasks import pack

ALIAS = settings.ALIAS


def _placed(item: str) -> int:
    order = Order.objects.using(ALIAS).create(item=item)
    job = pack.enqueue(order.pk)
    if not item:
        raise ValueError("an order needs an item")
    return job.id


def place(request):
    """In the transaction of ATOMIC_REQUESTS."""
    return HttpResponse(str(_placed(request.GET["item"])))


@transaction.non_atomic_requests(using="default")
@transaction.non_atomic_requests(using="other")
async def place_async(request):
    """Without a transaction: each write commits at once."""
    order = await Order.objects.using(ALIAS).acreate(item=request.GET["item"])
    job = await pack.enqueue_async(order.pk)
    return HttpResponse(str(job.id))


@transaction.non_atomic_requests(using="default")
@transaction.non_atomic_requests(using="other")
async def place_in_atomic(request):
    """As Django recommends: the transaction in a sync function."""

    @sync_to_async
    def in_transaction() -> int:
        with transaction.atomic(using=ALIAS):
            return _placed(request.GET["item"])

    return HttpResponse(str(await in_transaction()))


@transaction.non_atomic_requests(using="default")
@transaction.non_atomic_requests(using="other")
async def wrong_async(request):
    """A sync enqueue on the event loop."""
    return HttpResponse(str(pack.enqueue(1).id))
