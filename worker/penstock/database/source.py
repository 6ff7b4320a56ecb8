"""Where a database URL comes from at each connect: a string, a file, or a URL and a function that returns the password.

Passwords that change (AWS RDS IAM, Vault, a mounted Secret) are read when a connection is made, never before, and
appear in no repr and no error.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ConfigurationError, DatabaseUnavailable, PenstockError
from .url import with_password
from .variables import completed

Url = str | Callable[[], str]
"""A database URL, or a function that returns one at each connect. Never printed."""


@dataclass(frozen=True, slots=True)
class UrlFile:
    """Reads a URL from a file; the environment's certificate variables apply to it."""

    path: str

    def __call__(self) -> str:
        """The URL that the file contains now.

        Raises:
            DatabaseUnavailable: the file cannot be read or is empty; it may be about to be replaced.
        """
        try:
            text = Path(self.path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
            raise DatabaseUnavailable(f"connect: cannot read the database URL from {self.path}: {why}") from None
        if not text:
            raise DatabaseUnavailable(f"connect: cannot read the database URL from {self.path}: the file is empty")
        return completed(text, os.environ)


@dataclass(frozen=True, slots=True)
class WithPassword:
    """A URL whose password comes from a function at each connect."""

    url: Url = field(repr=False)
    password: Callable[[], str] = field(repr=False)

    def __call__(self) -> str:
        """The URL with the current password.

        Raises:
            DatabaseUnavailable: the function raised; its error is the cause.
            ConfigurationError: it did not return a string.
        """
        try:
            password: object = self.password()
        except PenstockError:
            raise
        except Exception as error:
            kind = type(error).__name__
            raise DatabaseUnavailable(f"connect: the password function raised {kind}") from error
        if not isinstance(password, str) or not password:
            kind = type(password).__name__ if password else "an empty value"
            raise ConfigurationError(f"connect: the password function must return a non-empty string, got {kind}")
        return with_password(resolve(self.url), password)


def resolve(url: Url) -> str:
    """The URL to connect with now."""
    return url if isinstance(url, str) else url()


def source(url: str, file: str, password: Callable[[], str] | None) -> Url:
    """The URL of `file` if it is not empty, else `url`; with the password of the function, if there is one."""
    found: Url = UrlFile(file) if file else url
    return found if password is None else WithPassword(found, password)
