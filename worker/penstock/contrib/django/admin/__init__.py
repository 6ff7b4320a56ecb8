"""Read-only pages in Django's admin, off unless `"penstock.contrib.django.admin"` is in INSTALLED_APPS.

An app of its own, because its models are views and tables of the store that Django must neither migrate nor dump.
"""
