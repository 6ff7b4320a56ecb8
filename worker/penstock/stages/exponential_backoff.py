"""Exponential backoff, pure: the waits between restarts and between attempts to subscribe again.

It owns one formula, `min(cap, base * factor ** (attempt - 1))`, spread by jitter to keep many stages from coming back
in the same instant. It must not sleep and must not read a clock; randomness is an argument.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import random as uniform

from .errors import BadOption


@dataclass(frozen=True, slots=True)
class ExponentialBackoff:
    """Delays in seconds: `base` first, times `factor` for each further attempt, at most `cap`.

    `jitter` is the share of the delay that is drawn at random, 0 to 1: 0.5 gives 50 to 100 % of it.
    """

    base: float = 0.1
    cap: float = 10.0
    factor: float = 2.0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        if self.base < 0 or self.cap < self.base:
            raise BadOption.of(
                "ExponentialBackoff", "base and cap", "0 <= base <= cap (seconds)", (self.base, self.cap)
            )
        if self.factor < 1:
            raise BadOption.of("ExponentialBackoff", "factor", "at least 1", self.factor)
        if not 0 <= self.jitter <= 1:
            raise BadOption.of("ExponentialBackoff", "jitter", "between 0 and 1", self.jitter)

    def delay(self, attempt: int, random: Callable[[], float] = uniform) -> float:
        """Seconds to wait before attempt number `attempt` (from 1). `random` gives numbers in [0, 1)."""
        exponent = min(max(attempt, 1) - 1, 64)
        full = min(self.cap, self.base * self.factor**exponent)
        return full * (1 - self.jitter * random())
