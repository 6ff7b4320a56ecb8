"""Circuit breakers: a task that mostly fails rests for a while, its jobs deferred, not failed. Pure.

    closed ──failures──► open ──open_seconds──► half-open ──probes succeed──► closed
                           ▲─────────a probe fails──────────────┘

One `Breaker` for each task of a worker; time is an argument. The failure rate is that of a sliding window, counted in
twelve slices, so a million attempts cost twelve pairs of numbers. Only attempts admitted since the last change of state
count: one that started before the circuit opened and finishes later says nothing about now. Probes that do not finish
keep no circuit half-open: one more is admitted each `open_seconds`, as in Hystrix, and a late result counts.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass

SLICES = 12
"""Parts of the window: the oldest is dropped as a whole, so the window is up to a twelfth longer than its setting."""
MAX_PROBES = 3
"""Attempts admitted at once while half-open, more only if none finishes; the same number of successes closes it."""


class CircuitState(enum.IntEnum):
    """The numbers are those of the metric `penstock_circuit_state`."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When a circuit opens and for how long.

    Attributes:
        failure_percent: 1 to 100; this share of failures in the window opens it.
        minimum_calls: attempts in the window below which it stays closed; also bounds the probes.
        window_seconds: length of the window.
        open_seconds: until probes are admitted; and from the last probe to one more, while none finishes.
    """

    failure_percent: int
    minimum_calls: int
    window_seconds: float
    open_seconds: float

    @property
    def probes(self) -> int:
        """Probes at once, and successes that close: no more than it took to open."""
        return min(MAX_PROBES, self.minimum_calls)


@dataclass(slots=True)
class _Slice:
    until: float
    succeeded: int = 0
    failed: int = 0


class Window:
    """Successes and failures of the last `seconds`."""

    __slots__ = ("_length", "_slices", "failed", "succeeded")

    def __init__(self, seconds: float) -> None:
        self._length = seconds / SLICES
        self._slices: deque[_Slice] = deque()
        self.succeeded = self.failed = 0

    def add(self, *, failed: bool, now: float) -> None:
        """An attempt finished; times must not decrease."""
        self.forget(now)
        if not self._slices or now >= self._slices[-1].until:
            self._slices.append(_Slice(until=now + self._length))
        if failed:
            self._slices[-1].failed += 1
            self.failed += 1
        else:
            self._slices[-1].succeeded += 1
            self.succeeded += 1

    def forget(self, now: float) -> None:
        """Drop the slices that are older than the window."""
        while self._slices and self._slices[0].until + self._length * (SLICES - 1) <= now:
            old = self._slices.popleft()
            self.succeeded -= old.succeeded
            self.failed -= old.failed


class Breaker:
    """The circuit of one task."""

    __slots__ = ("_opened_at", "_passed", "_policy", "_probed_at", "_probing", "_state", "_window", "epoch")

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._window = Window(policy.window_seconds)
        self._state = CircuitState.CLOSED
        self._opened_at = self._probed_at = 0.0
        self._probing = self._passed = 0
        self.epoch = 0
        """Counts changes of state; an attempt keeps the one in which it was admitted."""

    def state(self, now: float) -> CircuitState:
        """The state at that time: an open circuit becomes half-open with time, without an attempt. Changes nothing."""
        if self._state is CircuitState.OPEN and now - self._opened_at >= self._policy.open_seconds:
            return CircuitState.HALF_OPEN
        return self._state

    @property
    def counted(self) -> tuple[int, int]:
        """Failures and attempts in the window; kept at the moment of opening."""
        return self._window.failed, self._window.failed + self._window.succeeded

    def admit(self, now: float) -> bool:
        """True if an attempt may start; if so, its caller calls `finished` or `abandoned` with the current `epoch`."""
        state = self.state(now)
        if state is CircuitState.CLOSED:
            return True
        if state is not self._state:
            self._change(state)
        if state is CircuitState.OPEN or (self._full and now - self._probed_at < self._policy.open_seconds):
            return False
        self._probing += 1
        self._probed_at = now
        return True

    @property
    def _full(self) -> bool:
        """Enough probes are under way, if all of them succeed."""
        return self._probing >= self._policy.probes - self._passed

    def finished(self, epoch: int, *, failed: bool, now: float) -> None:
        """An admitted attempt succeeded or failed."""
        if epoch != self.epoch:
            return
        if self._state is CircuitState.HALF_OPEN:
            self._probed(failed=failed, now=now)
        elif self._state is CircuitState.CLOSED:
            self._window.add(failed=failed, now=now)
            failures, calls = self.counted
            if (
                failed
                and calls >= self._policy.minimum_calls
                and failures * 100 >= self._policy.failure_percent * calls
            ):
                self._open(now)

    def abandoned(self, epoch: int) -> None:
        """An admitted attempt did neither: snoozed, cancelled, released. A probe makes room for another."""
        if epoch == self.epoch and self._state is CircuitState.HALF_OPEN:
            self._probing -= 1

    def _probed(self, *, failed: bool, now: float) -> None:
        self._probing -= 1
        if failed:
            self._open(now)
            return
        self._passed += 1
        if self._passed >= self._policy.probes:
            self._window = Window(self._policy.window_seconds)
            self._change(CircuitState.CLOSED)

    def _open(self, now: float) -> None:
        self._opened_at = now
        self._change(CircuitState.OPEN)

    def _change(self, state: CircuitState) -> None:
        self._state = state
        self.epoch += 1
        self._probing = self._passed = 0
