"""How long to pause before a call of the database is repeated. Pure: randomness is an argument.

Surprising: the doublings are capped, not only their product. A power of two above a thousand is no float any more, and
an outage of three quarters of an hour has a thousand failures.
"""

from __future__ import annotations

import random

SHORTEST_SECONDS = 0.05
LONGEST_SECONDS = 5.0
MOST_DOUBLINGS = 10


def pause(failures: int, chance: random.Random) -> float:
    """Seconds after so many failures in a row: evenly from 0.05 up to 0.2, 0.4, ..., 5."""
    return chance.uniform(SHORTEST_SECONDS, doubled(failures, longest=LONGEST_SECONDS))


def doubled(times: int, *, longest: float) -> float:
    """A tenth of a second, doubled so many times, and no longer than `longest`."""
    return min(longest, 0.1 * 2.0 ** min(times, MOST_DOUBLINGS))
