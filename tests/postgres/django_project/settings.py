"""Two databases on one server; see the package."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import unquote, urlsplit

_url = urlsplit(os.environ["PROJECT_URL"])
_major = __import__("django").VERSION[0]


def _database(name: str) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(_url.username or ""),
        "PASSWORD": unquote(_url.password or ""),
        "HOST": _url.hostname or "",
        "PORT": str(_url.port or ""),
        "ATOMIC_REQUESTS": True,
        "DISABLE_SERVER_SIDE_CURSORS": os.environ.get("PROJECT_POOLED") == "1",
        "OPTIONS": {"application_name": "django project"},
    }


ALIAS = os.environ.get("PROJECT_ALIAS", "default")
SECRET_KEY = "only for tests"
USE_TZ = True
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "tests.postgres.django_project.urls"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.admin",
    *(["django_tasks"] if _major < 6 else []),
    "penstock.contrib.django",
    "penstock.contrib.django.admin",
    "tests.postgres.django_project.orders",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {
    "default": _database(_url.path.lstrip("/")),
    "other": _database(os.environ.get("PROJECT_OTHER_NAME", _url.path.lstrip("/") + "_other")),
}
DATABASES["twin"] = {
    **DATABASES[ALIAS],
    "ATOMIC_REQUESTS": False,
}  # another login of the database
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PENSTOCK = {"DATABASE": ALIAS}
TASKS = {"default": {"BACKEND": "penstock.contrib.django.TasksBackend", "QUEUES": []}}
