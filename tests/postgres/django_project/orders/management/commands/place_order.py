"""`manage.py place_order ITEM`: places an order, or neither order nor job."""

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import transaction

from tests.postgres.django_project.orders.views import _placed


class Command(BaseCommand):
    def add_arguments(self, parser):
        parser.add_argument("item")

    def handle(self, *args, item, **options):
        with transaction.atomic(using=settings.ALIAS):
            _placed(item)
