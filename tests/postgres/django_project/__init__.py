"""A Django project: its own tests (`check_*.py`) run under Django's runner, started by tests/postgres/test_django.py.

PROJECT_URL is the URL of its server; PROJECT_ALIAS the alias that has Penstock's schema, of "default" and "other".
"""
