"""Waiting for a condition with a deadline, in tests that have no event loop.

Must not hide the reason of a failure: the error at the deadline carries the last answer of the condition.
"""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")
SECONDS = 120.0
"""Long, because a condition that comes true costs none of it: a busy machine may stall a process for many seconds."""


def eventually(condition: Callable[[], Found], what: str, *, seconds: float = SECONDS) -> Found:
    """Return the condition's first truthy answer, asked every 20 ms; an AssertionError in it counts as "not yet".

    Raises:
        AssertionError: `what` did not come true in time.
    """
    deadline = time.monotonic() + seconds
    while True:
        last: object = None
        try:
            last = found = condition()
            if found:
                return found
        except AssertionError as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}; last answer: {last}")
        time.sleep(0.02)
