"""The lease of this process, kept by a thread with a connection of its own.

A blocked event loop must not lose the lease, and a busy one must not be needed to keep it. The thread registers, renews
at every third of the lease, compares its claims with the database, and registers again if the worker was declared
lost. After two thirds of a lease without an answer `may_claim` is False, judged on the monotonic clock from before the
renewal was sent. Only the thread writes the attributes; any thread reads them. Renewals reach the event loop through
`on_renewed`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from penstock.errors import LoginRefused, StoreError
from penstock.store import Renewal, WorkerRegistry

from ..observe.metrics import WorkerMetrics
from .held_claims import HeldClaims
from .worker_report import report

logger = logging.getLogger("penstock.lease")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The identity of a worker in the registry."""

    identity: str
    queue: str
    version: str
    concurrency: int
    pod: str | None = None
    node: str | None = None
    info: Mapping[str, object] | None = None


class Lease:
    """Keeps one registration alive.

    Args:
        registry: used by the thread alone after `open`.
        seconds: length of the lease.
        on_renewed: called in the thread with each renewal.
    """

    def __init__(
        self,
        *,
        registry: WorkerRegistry,
        identity: Identity,
        held_claims: HeldClaims,
        metrics: WorkerMetrics,
        seconds: float,
        on_renewed: Callable[[Renewal], None],
    ) -> None:
        self._registry, self._identity, self._held_claims, self._metrics = registry, identity, held_claims, metrics
        self.seconds, self._on_renewed = seconds, on_renewed
        self.worker = self.queue = 0
        self.state = "new"
        self.confirmed_at = float("-inf")
        self.last_error: str | None = None
        """Why the last renewal failed; None if it succeeded."""
        self.refused_since: float | None = None
        """Since when, on the monotonic clock, the server rejects the login; None if it does not."""
        self._draining = False
        self._shorten: Callable[[float], None] = lambda _: None
        self._renew_now = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="penstock-lease", daemon=True)

    def open(self) -> None:
        """Register in the caller's thread, which gets the errors; then keep the lease in a thread of its own."""
        self._register()
        self._thread.start()

    def may_claim(self) -> bool:
        """Running, and renewed less than two thirds of a lease ago."""
        return self.state == "running" and self.recently_renewed

    @property
    def recently_renewed(self) -> bool:
        """True if the lease was renewed less than two thirds of its length ago: the rest is for clocks and pauses."""
        return self.age < self.seconds * 2 / 3

    @property
    def age(self) -> float:
        """Seconds since the last confirmed renewal was sent."""
        return time.monotonic() - self.confirmed_at

    @property
    def until(self) -> float:
        """When the lease expires on the monotonic clock, unless renewed; never later than in the database."""
        return self.confirmed_at + self.seconds

    @property
    def alive(self) -> bool:
        """True if the thread runs, or was asked to stop."""
        return self._thread.is_alive() or self._closing.is_set()

    def renew_soon(self) -> None:
        """Renew now: something may have changed."""
        self._renew_now.set()

    def start_drain(self, shorten: Callable[[float], None] = lambda _: None) -> None:
        """Mark this worker as draining in the registry, at once and for good.

        Args:
            shorten: called in the thread with the seconds that are left, if the operator says that the pod is
                killed before its grace period is over.
        """
        self._draining, self._shorten = True, shorten
        self._renew_now.set()

    def close(self, *, empty: bool) -> None:
        """Stop renewing and deregister. `empty`: no claim and no acknowledgement is open."""
        self._closing.set()
        self._renew_now.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=self.seconds)
        try:
            if self.worker and not self._thread.is_alive():
                self._registry.deregister(self.worker, empty=empty)
        except StoreError as error:
            logger.warning("cannot deregister, the lease will expire", extra={"error": str(error)})
        finally:
            self._registry.close()

    def _register(self) -> None:
        sent = time.monotonic()
        who = self._identity
        registration = self._registry.register(
            queue=who.queue,
            identity=who.identity,
            version=who.version,
            concurrency=who.concurrency,
            lease=self.seconds,
            pod=who.pod,
            node=who.node,
            info=who.info,
        )
        self.worker, self.queue = registration
        self.state, self.confirmed_at = "running", sent

    def _run(self) -> None:
        pause = self.seconds / 3
        while not self._closing.is_set():
            if self._renew_now.wait(pause):
                self._renew_now.clear()
            if not self._closing.is_set():
                pause = self._renew()

    def _report(self) -> str:
        """The worker report as JSON; empty if it cannot be built, because no lease must be lost for it."""
        try:
            return report(self._held_claims)
        except Exception:
            logger.exception("cannot build the worker report, renewing without one")
            return "{}"

    def _renew(self) -> float:
        """One renewal; returns seconds until the next."""
        sent = time.monotonic()
        jobs = self._held_claims.snapshot()
        in_flight = {self._identity.queue: len(jobs)}
        try:
            renewal = self._registry.renew(
                self.worker,
                lease=self.seconds,
                claims=[(j.id, j.token) for j in jobs if j.worker == self.worker],
                in_flight=in_flight,
                done=dict(self._held_claims.done),
                drained=not jobs,
                report=self._report(),
            )
            if renewal.state in {None, "lost"}:
                logger.warning("worker was declared lost, registering again", extra={"worker": self.worker})
                self._register()
            else:
                self.state, self.confirmed_at = str(renewal.state), sent
            if self._draining and self.state != "draining":  # after a new registration too, which counts as running
                self.state = self._registry.start_drain(self.worker) or self.state
            if self._draining and (left := self._registry.grace_left(self.worker)) is not None:
                self._shorten(left)
            self.last_error = self.refused_since = None
        except Exception as error:  # without its lease thread a worker must be restarted
            self.last_error = str(error)
            refused = isinstance(error, LoginRefused)
            self.refused_since = (self.refused_since or time.monotonic()) if refused else None
            self._metrics.renewal_failures += 1
            expected = isinstance(error, StoreError)
            extra = {"age_seconds": round(self.age, 1), "error": str(error)}
            logger.warning("lease not renewed", exc_info=not expected, extra=extra)
            return min(1.0, self.seconds / 15)
        self._on_renewed(renewal)
        return self.seconds / 3
