"""Orders, in the database that has the jobs."""

from django.db import models
from django.db.models.signals import post_save
from django.dispatch import receiver


class Order(models.Model):
    item = models.CharField(max_length=100)
    state = models.CharField(max_length=20, default="placed")

    class Meta:
        app_label = "orders"


@receiver(post_save, sender=Order)
def announce(sender, instance, created, using, **more):
    """Enqueue from a signal, for items that ask for it."""
    from tests.postgres.django_project.orders.tasks import pack

    if created and instance.item.startswith("signal"):
        pack.enqueue(instance.pk)
