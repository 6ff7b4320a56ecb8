"""The delay between a failed attempt and the next one: pure arithmetic.

Randomness is an argument, and no clock is needed: the database adds the delay to its own. Three strategies:
`exponential` with full jitter (the default), `linear` and `constant`. `NEVER` in place of a back-off means that the
failure is not retried.

Full jitter draws from the whole interval, zero included. It spreads a burst of failures best; in return a single delay
is hard to predict (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

from .errors import ConfigurationError
from .outcomes import MAX_DELAY

if TYPE_CHECKING:
    from collections.abc import Callable

StrategyName = Literal["exponential", "linear", "constant"]
STRATEGIES: Final[tuple[str, ...]] = get_args(StrategyName)

DEFAULT_BASE_SECONDS: Final[dict[str, float]] = {"exponential": 5.0, "linear": 60.0, "constant": 60.0}
"""Base of a strategy when none is given, in seconds."""
DEFAULT_MAX_SECONDS: Final = 3600.0
"""Maximum delay when none is given, in seconds."""
_MAX_EXPONENT: Final = 60
"""Doublings after which every allowed base is above every allowed maximum; keeps 2 ** n a small float."""


class Never(enum.Enum):
    """The type of `NEVER`, which has one value."""

    NEVER = "never"

    def __repr__(self) -> str:
        return "NEVER"


NEVER: Final = Never.NEVER
"""In a task's `retry=`: after this exception the job becomes a dead letter at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """A retry delay as a function of the attempt that failed.

    Attributes:
        strategy: `exponential`: uniform from 0 to base x 2^(attempt - 1); `linear`: base x attempt; `constant`: base.
        base_seconds: above 0; default 5 for exponential, 60 for linear and constant, or the maximum if that is lower.
        max_seconds: no delay is longer; at least the base; default 3600, or the base if that is higher.

    Raises:
        ConfigurationError: an unknown strategy, or a base or maximum outside its bounds.
    """

    strategy: StrategyName = "exponential"
    base_seconds: float = math.nan
    max_seconds: float = math.nan

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise ConfigurationError(f"back-off strategy must be one of {', '.join(STRATEGIES)}, got {self.strategy!r}")
        if math.isnan(self.base_seconds):
            base = DEFAULT_BASE_SECONDS[self.strategy]
            object.__setattr__(
                self, "base_seconds", base if math.isnan(self.max_seconds) else min(base, self.max_seconds)
            )
        if math.isnan(self.max_seconds):
            object.__setattr__(self, "max_seconds", max(DEFAULT_MAX_SECONDS, self.base_seconds))
        if not 0 < self.base_seconds <= MAX_DELAY:
            raise ConfigurationError(
                f"back-off base must be above 0 and at most {MAX_DELAY} seconds, got {self.base_seconds!r}"
            )
        if not self.base_seconds <= self.max_seconds <= MAX_DELAY:
            raise ConfigurationError(
                f"back-off maximum must be from its base ({self.base_seconds:g}) to {MAX_DELAY} seconds, "
                f"got {self.max_seconds!r}"
            )

    def delay(self, attempt: int, *, random: Callable[[], float]) -> float:
        """Seconds to wait after attempt number `attempt` (from 1) failed.

        Args:
            attempt: the attempt that failed; below 1 counts as 1.
            random: draws from [0, 1), as `random.random` does; called once by `exponential`, otherwise never.
        """
        number = max(attempt, 1)
        match self.strategy:
            case "exponential":
                ceiling = self.base_seconds * 2.0 ** min(number - 1, _MAX_EXPONENT)
                return min(ceiling, self.max_seconds) * random()
            case "linear":
                return min(self.base_seconds * number, self.max_seconds)
            case "constant":
                return self.base_seconds
