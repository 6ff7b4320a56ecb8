"""Applies what a renewal of the lease says: claims lost, cancellations, the worker's state.

The lease thread hands each renewal over; everything is applied on the event loop. Must not renew or decide anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass

from penstock.store import MovedRenewal, Renewal

from .claims.claimer import Claimer
from .claims.exclusive import Exclusive
from .claims.held_claims import HeldClaims
from .claims.lease import Lease
from .execution.consumers import Consumers
from .execution.processes.executor import ChildExecutor
from .state import WorkerState

logger = logging.getLogger("penstock.worker")


@dataclass(slots=True, kw_only=True)
class RenewalHandler:
    """The parts of one worker that a renewal concerns."""

    lease: Lease
    state: WorkerState
    held_claims: HeldClaims
    claimer: Claimer
    consumers: Consumers
    exclusive: Exclusive
    children: ChildExecutor

    def hand_over(self, renewal: Renewal, loop: asyncio.AbstractEventLoop) -> None:
        """In the lease thread: apply the renewal on the event loop, soon."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing is left to apply it to
            loop.call_soon_threadsafe(self.apply, renewal)

    def apply(self, renewal: Renewal) -> None:
        """On the event loop."""
        self.children.renewed()
        self.claimer.check_claims(moved=isinstance(renewal, MovedRenewal))
        if renewal.fenced:
            self.held_claims.remove(self.consumers.drop(set(renewal.fenced)))
            self.exclusive.fenced(set(renewal.fenced))
        if renewal.cancelled:
            self.consumers.cancel_jobs(set(renewal.cancelled))
        if self.state.lease_changed(self.lease.state):
            extra = {"worker": self.lease.worker, "lease": self.lease.state, "phase": self.state.phase.value}
            logger.info("worker state changed", extra=extra)
        if self.state.may_hold:
            self.consumers.start_waiting()
            self.consumers.ask()
            self.claimer.wake()
