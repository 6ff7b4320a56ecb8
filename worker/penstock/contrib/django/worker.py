"""Where a worker outside `manage.py` finds the project's App: `penstock worker penstock.contrib.django.worker:app`.

Sets Django up; DJANGO_SETTINGS_MODULE must be set. Its child processes import this module too.
"""

from __future__ import annotations

import django
from django.apps import apps

if not apps.ready:
    django.setup()

from .project_app import app

__all__ = ["app"]
