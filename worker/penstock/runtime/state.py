"""The state of a worker: one phase, derived from five facts, and the only code that changes it.

    Starting ──registered──► Running ◄──suspects──► Isolating
                              ▲   │
                        lease │   ▼ lease
                             Cordoned              any ──drain──► Draining ──stop──► Stopped

Pure: no clock, no I/O, no lock. The event loop alone calls the events; any thread may read the attributes. The
permissions are stored, not computed on reading, because claiming and starting read them once per job.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final, NamedTuple


class Phase(enum.StrEnum):
    """Where a worker is between its start and its exit."""

    STARTING = "starting"
    """Not registered yet."""
    RUNNING = "running"
    ISOLATING = "isolating"
    """Holds a suspect: a job that was running at two crashes, and that runs with nothing else."""
    CORDONED = "cordoned"
    """The lease says that this worker gets no jobs: an operator cordoned it, or its registration was lost."""
    DRAINING = "draining"
    """Final: running attempts finish, nothing else starts."""
    STOPPED = "stopped"
    """Final: the attempts that were left are being cancelled, and none of them has an outcome."""


class Permissions(NamedTuple):
    """The actions that a phase allows. `may_ask` and `may_start` need, in addition, that acknowledgements keep up."""

    may_claim: bool
    """Turn open demand into claims."""
    may_ask: bool
    """Emit demand."""
    may_start: bool
    """Start attempts."""
    may_isolate: bool
    """Start one suspect alone."""
    may_hold: bool
    """Keep jobs unstarted; otherwise they are released."""


_PERMISSIONS: Final = {
    Phase.STARTING: Permissions(False, False, False, False, True),
    Phase.RUNNING: Permissions(True, True, True, False, True),
    Phase.ISOLATING: Permissions(False, False, False, True, True),
    Phase.CORDONED: Permissions(False, False, False, False, False),
    Phase.DRAINING: Permissions(False, False, False, False, False),
    Phase.STOPPED: Permissions(False, False, False, False, False),
}
NEW: Final = "new"
"""The lease state before the worker is registered."""


def phase_of(*, lease: str, suspects: int, draining: bool, stopped: bool) -> Phase:
    """The phase that follows from the facts; a final one wins over everything else.

    Args:
        lease: state of the worker's row: `running`, `cordoned`, `drained`, `draining`, `lost`; or `new`, no row yet.
        suspects: suspects that this worker holds, waiting or running.
        draining: a drain was requested.
        stopped: the remaining attempts were cancelled.
    """
    if stopped:
        return Phase.STOPPED
    if draining:
        return Phase.DRAINING
    if lease == NEW:
        return Phase.STARTING
    if lease != "running":
        return Phase.CORDONED
    return Phase.ISOLATING if suspects else Phase.RUNNING


class WorkerState:
    """The phase of one worker and its permissions.

    Args:
        on_drain: called once, by the first event that requests a drain.

    Attributes:
        phase: the current phase.
        draining: the phase is Draining or Stopped.
        may_claim, may_ask, may_start, may_isolate, may_hold: see `Permissions`.
    """

    __slots__ = (
        "_backlog",
        "_lease",
        "_on_drain",
        "_suspects",
        "draining",
        "may_ask",
        "may_claim",
        "may_hold",
        "may_isolate",
        "may_start",
        "phase",
    )

    def __init__(self, on_drain: Callable[[], None] = lambda: None) -> None:
        self._on_drain = on_drain
        self._lease = NEW
        self._suspects = 0
        self._backlog = False
        self.draining = False
        self._enter(Phase.STARTING)

    @property
    def stopped(self) -> bool:
        """True if the remaining attempts were cancelled."""
        return self.phase is Phase.STOPPED

    def lease_changed(self, lease: str) -> bool:
        """The lease was renewed and says this; True if it said something else before."""
        changed, self._lease = lease != self._lease, lease
        self._update()
        return changed

    def suspects_changed(self, count: int) -> None:
        """This many suspects are here, waiting or running."""
        self._suspects = count
        self._update()

    def backlog_changed(self, *, full: bool) -> None:
        """Unacknowledged outcomes passed their limit, in one direction or the other."""
        self._backlog = full
        self._update()

    def drain(self) -> None:
        """Claim, ask and start nothing more. Final and idempotent."""
        if not self.draining:
            self.draining = True
            self._update()
            self._on_drain()

    def stop(self) -> None:
        """The remaining attempts are being cancelled. Final and idempotent; implies `drain`."""
        self.drain()
        self._enter(Phase.STOPPED)

    def _update(self) -> None:
        self._enter(phase_of(lease=self._lease, suspects=self._suspects, draining=self.draining, stopped=self.stopped))

    def _enter(self, phase: Phase) -> None:
        allowed = _PERMISSIONS[phase]
        self.phase = phase
        self.may_claim, self.may_isolate, self.may_hold = allowed.may_claim, allowed.may_isolate, allowed.may_hold
        self.may_ask = allowed.may_ask and not self._backlog
        self.may_start = allowed.may_start and not self._backlog
