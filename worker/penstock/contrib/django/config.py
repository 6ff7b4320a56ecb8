"""`PENSTOCK` in Django's settings: its keys, defaults and rules. Reads only settings; `checks` reports the problems.

A wrong value counts as its default until then: Django runs its system checks after all apps are loaded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from django.conf import settings
from django.core.signals import setting_changed

from penstock.errors import shown

SETTING: Final = "PENSTOCK"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The value of each key.

    Attributes:
        database: alias of the database with Penstock's schema; default "default".
        direct_database: alias that leads to the same server without a pooler, for LISTEN and migrations; default none.
        tasks_module: module that is imported from every installed app; default "tasks".
        include: further modules with tasks, by their full names; default none.
        migrate_schema: whether `manage.py migrate` installs and upgrades the schema; default True.
    """

    database: str = "default"
    direct_database: str | None = None
    tasks_module: str = "tasks"
    include: tuple[str, ...] = ()
    migrate_schema: bool = True


KEYS: Final = {field.name.upper(): field.name for field in fields(Config)}


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _are_modules(value: object) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_name, value))


_RULES: Final[Mapping[str, tuple[Callable[[object], bool], str]]] = {
    "DATABASE": (_is_name, "an alias of DATABASES"),
    "DIRECT_DATABASE": (lambda value: value is None or _is_name(value), "an alias of DATABASES, or None"),
    "TASKS_MODULE": (lambda value: isinstance(value, str) and value.isidentifier(), "the name of a module"),
    "INCLUDE": (_are_modules, "a list of module names"),
    "MIGRATE_SCHEMA": (lambda value: isinstance(value, bool), "True or False"),
}


@functools.cache
def read_config() -> tuple[Config, tuple[str, ...]]:
    """The configuration, and one sentence for each value that breaks a rule."""
    given: Any = getattr(settings, SETTING, {})
    if not isinstance(given, Mapping):
        return Config(), (f"{SETTING} must be a dictionary, got {shown(given)}",)
    values: dict[str, Any] = {}
    problems = []
    for key, value in given.items():
        if key not in KEYS:
            problems.append(f"{SETTING}: there is no key {key!r}; the keys are {', '.join(KEYS)}")
            continue
        holds, rule = _RULES[key]
        if holds(value):
            values[KEYS[key]] = tuple(value) if key == "INCLUDE" else value
        else:
            problems.append(f"{SETTING}[{key!r}] must be {rule}, got {shown(value)}")
    return Config(**values), tuple(problems)


def config() -> Config:
    """The configuration, wrong values replaced by their defaults."""
    return read_config()[0]


def _changed(*, setting: str, **_more: object) -> None:
    """A test overrides the settings."""
    if setting == SETTING:
        read_config.cache_clear()


setting_changed.connect(_changed, dispatch_uid="penstock.config")
