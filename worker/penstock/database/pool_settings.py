"""Size and timeouts of an App's connection pools: the options `App(pool_...=)` and their bounds.

Pure; the pools are in `penstock.store`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Self

from ..errors import ConfigurationError, shown

DEFAULT_SIZE: Final = 4
DEFAULT_WAIT: Final = 10.0
DEFAULT_IDLE: Final = 600.0
MAX_SIZE: Final = 1000
MAX_WAIT: Final = 3600.0
MAX_IDLE: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """Bounds of one pool. A process has one for sync callers, and one for each event loop that uses the App.

    Args:
        size: maximum number of connections, 1 to 1000; each is opened when it is needed.
        wait: seconds that a call waits for a free one, 0 to an hour; 0 does not wait.
        idle: seconds after which an unused one is closed, 0 to a day; 0 keeps none.
    """

    size: int = DEFAULT_SIZE
    wait: float = DEFAULT_WAIT
    idle: float = DEFAULT_IDLE

    @classmethod
    def of(cls, *, size: object, wait: object, idle: object) -> Self:
        """The checked options of an application.

        Raises:
            ConfigurationError: names the option, its bounds and the value.
        """
        if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= MAX_SIZE:
            raise ConfigurationError(f"App: pool_size must be a whole number from 1 to {MAX_SIZE}, got {shown(size)}")
        return cls(
            size=size,
            wait=_seconds(wait, of="pool_wait", maximum=MAX_WAIT),
            idle=_seconds(idle, of="pool_idle", maximum=MAX_IDLE),
        )


def _seconds(value: object, *, of: str, maximum: float) -> float:
    number: float = math.nan
    if isinstance(value, timedelta):
        number = value.total_seconds()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = value  # an integer may be too large for a float
    if not 0 <= number <= maximum:
        raise ConfigurationError(f"App: {of} must be from 0 to {maximum:g} s, got {shown(value)}")
    return float(number)
