"""The backend for Django's Tasks framework: `django.tasks` of Django 6, or the package `django-tasks` before it."""
