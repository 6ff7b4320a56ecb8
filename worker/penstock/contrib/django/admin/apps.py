"""The Django app of the admin pages."""

from __future__ import annotations

from django.apps import AppConfig


class PenstockAdminConfig(AppConfig):
    """`"penstock.contrib.django.admin"` in INSTALLED_APPS, after `"penstock.contrib.django"`."""

    name = "penstock.contrib.django.admin"
    label = "penstock_admin"
    verbose_name = "Penstock"
