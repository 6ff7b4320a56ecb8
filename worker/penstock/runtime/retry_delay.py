"""The delay before a call of the database is retried. Pure: randomness is an argument.

The doublings are capped, not only their product: a power of two above a thousand is no float any more, and an outage of
three quarters of an hour has a thousand failures.
"""

from __future__ import annotations

import random

MIN_SECONDS = 0.05
MAX_SECONDS = 5.0
MAX_DOUBLINGS = 10


def retry_delay(failures: int, rng: random.Random) -> float:
    """Seconds to wait after this many failures in a row: evenly from 0.05 up to 0.2, 0.4, ..., 5."""
    return rng.uniform(MIN_SECONDS, doubled(failures, maximum=MAX_SECONDS))


def doubled(times: int, *, maximum: float) -> float:
    """A tenth of a second, doubled this many times, at most `maximum`."""
    return min(maximum, 0.1 * 2.0 ** min(times, MAX_DOUBLINGS))
