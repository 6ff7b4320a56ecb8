"""Pauses after failures: each doubles the last, until an attempt succeeds or the wanted state changes. Pure.

A rejected template, a taken name and a missing right do not heal by retrying twice a second, and every retry costs the
API server and the other queues of the database. Failures that may heal by themselves (no answer, a conflict) are
retried sooner.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Final

from penstock.errors import StoreError

from ..error_reasons import summary
from ..errors import Conflict, Unreachable

REST_SECONDS: Final = 10.0
"""After the first failure; doubled by each that follows."""
MAX_REST_SECONDS: Final = 300.0
SHORT_REST_SECONDS: Final = 1.0
"""The same for what may heal by itself."""
MAX_SHORT_REST_SECONDS: Final = 30.0


class FailureBackoff:
    """The pauses of one thing that is wanted.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._key: Hashable = None
        self._error: Exception | None = None
        self._failures = 0
        self._reported = ""
        self._until = float("-inf")

    @property
    def until(self) -> float | None:
        """When it may be tried again, by the clock; None while nothing has failed."""
        return None if self._error is None else self._until

    @property
    def error(self) -> Exception | None:
        """The last failure, until something succeeds."""
        return self._error

    def check(self, key: Hashable) -> None:
        """Return if it may be tried.

        Args:
            key: what is wanted; another one than that which failed may be tried at once.

        Raises:
            Exception: the error of the last try, whose pause is not over.
        """
        if self._error is not None and self._key == key and self._clock() < self._until:
            raise self._error.with_traceback(None)

    def failed(self, key: Hashable, error: Exception) -> bool:
        """Start a pause; whether this error differs from the last one.

        The error that `check` raised starts none: nothing was tried.
        """
        if error is self._error:
            return False
        self._failures = self._failures + 1 if self._key == key else 1
        news = key != self._key or summary(error) != self._reported
        self._key, self._error, self._reported = key, error, summary(error)
        soon = isinstance(error, Unreachable | Conflict | StoreError)
        first, limit = (SHORT_REST_SECONDS, MAX_SHORT_REST_SECONDS) if soon else (REST_SECONDS, MAX_REST_SECONDS)
        self._until = self._clock() + min(limit, first * 2.0 ** min(self._failures - 1, 10))
        return news

    def succeeded(self) -> None:
        """Nothing is wrong any more."""
        self._key, self._error, self._failures, self._reported = None, None, 0, ""
