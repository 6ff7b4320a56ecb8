"""Waits for the database when a worker starts; meanwhile the worker is alive, is not ready, and says why.

An error that only a new process can cure stops it: an invalid URL and a missing right at once; a rejected login and an
unknown database after a minute, because only a new container reads the Secret of the URL again.

The database is asked in a thread: a signal stops the wait at once, even if a name server or a server does not answer.
The pages are served here only while there is something to wait for; then the worker itself serves them.
"""

from __future__ import annotations

import logging
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from penstock.errors import InvalidDatabaseURL, LoginRefused, NoSuchDatabase, StatementRefused, StoreError
from penstock.http_server import HttpServer, verdict
from penstock.settings import Settings

from .retry_delay import retry_delay

logger = logging.getLogger("penstock.worker")

REFUSED_SECONDS: Final = 60.0
"""A rejected login or an unknown database is retried for this long: it may be created soon."""
REPEAT_SECONDS: Final = 60.0
"""Between two lines of the log about the same reason."""
_AT_ONCE: Final = (InvalidDatabaseURL, StatementRefused)
_AFTER_A_WHILE: Final = (LoginRefused, NoSuchDatabase)


def is_final(error: StoreError, *, waited: float, patience: float = REFUSED_SECONDS) -> bool:
    """Return True if only a new process can cure an error of the start.

    Args:
        error: of the last try.
        waited: seconds since the first try.
        patience: seconds for which a refused login and an unknown database are retried.
    """
    return isinstance(error, _AT_ONCE) or (isinstance(error, _AFTER_A_WHILE) and waited > patience)


class Startup:
    """Waits until a check passes.

    Args:
        check: raises a StoreError while the worker could not work.
        settings: where the pages are served meanwhile.
        patience: seconds for which a refused login is tried again.
        rng: spreads the attempts of many pods.
    """

    def __init__(
        self,
        check: Callable[[], None],
        settings: Settings,
        *,
        patience: float = REFUSED_SECONDS,
        rng: random.Random | None = None,
    ) -> None:
        self._check, self._settings, self._patience = check, settings, patience
        self._rng = rng or random.Random()  # noqa: S311 - jitter guards nothing
        self._problem: str | None = None
        self._error: BaseException | None = None
        self._passed = False
        self._over, self._left = threading.Event(), threading.Event()
        self._failing = threading.Event()

    def wait(self) -> bool:
        """True once the check has passed, False if a signal stopped the process.

        Raises:
            StoreError: only a new process can cure it.
            ConfigurationError: the pages cannot be served.
        """
        thread = threading.Thread(target=self._retry, name="penstock-startup", daemon=True)
        with self._signals():
            thread.start()
            self._failing.wait()
            try:
                if not self._over.is_set():
                    self._serve_until_over()
            finally:
                self._over.set()
        if self._left.is_set():
            return False
        if self._error is not None:
            raise self._error
        return self._passed

    def ready(self) -> str:
        """Why the worker is not ready."""
        return f"waiting for the database: {self._problem or 'no response yet'}"

    def _serve_until_over(self) -> None:
        pages = {
            "/healthz": lambda: verdict(None),
            "/readyz": lambda: verdict(self.ready()),
            "/metrics": lambda: (200, b"", "text/plain; version=0.0.4; charset=utf-8"),
        }
        settings = self._settings
        server = HttpServer(host=settings.http_host, port=settings.http_port, pages=pages, name="penstock-health")
        server.start()
        try:
            self._over.wait()
        finally:
            server.close()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT stop the wait; only the main thread gets them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def received(_: int, __: FrameType | None) -> None:
            logger.info("signal received during the start, exiting")
            self._left.set()
            self._end()

        before = {number: signal.signal(number, received) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end(self) -> None:
        self._over.set()
        self._failing.set()

    def _retry(self) -> None:
        try:
            self._passed = self._passes()
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self._error = error
        self._end()

    def _passes(self) -> bool:
        started = time.monotonic()
        failures, said_at = 0, float("-inf")
        while not self._over.is_set():
            try:
                self._check()
            except StoreError as error:
                if is_final(error, waited=time.monotonic() - started, patience=self._patience):
                    raise
                if str(error) != self._problem or time.monotonic() - said_at > REPEAT_SECONDS:
                    said_at = time.monotonic()
                    logger.warning("cannot start yet, retrying", extra={"error": str(error)})
                self._problem = str(error)
                self._failing.set()
                failures += 1
                self._over.wait(retry_delay(failures, self._rng))
            else:
                if failures:
                    logger.info("database reachable", extra={"after_seconds": round(time.monotonic() - started, 1)})
                return True
        return False
