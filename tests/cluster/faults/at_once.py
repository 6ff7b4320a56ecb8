"""Scenarios that run at the same time, each in its own namespace, because nearly all of their time is waiting.

`@at_once` makes a test out of a function of a fleet. The first such test starts all those that were collected, a few at
a time; each test then waits for its own and raises what it raised.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

Scenario = Callable[[Any], None]
AT_ONCE = int(os.environ.get("PENSTOCK_SCENARIOS_AT_ONCE") or 6)
_scenarios: dict[str, Scenario] = {}


def at_once(scenario: Scenario) -> Callable[..., None]:
    """The decorator."""
    name = f"{scenario.__module__}::{scenario.__name__}"
    _scenarios[name] = scenario

    def test(scenarios: Scenarios) -> None:
        scenarios.result(name)

    test.__name__, test.__doc__, test.__module__ = scenario.__name__, scenario.__doc__, scenario.__module__
    test.scenario = name  # type: ignore[attr-defined]
    return test


class Scenarios:
    """The running ones.

    Args:
        names: those to run, in this order.
        fleet: makes the fleet of a scenario.
    """

    def __init__(self, names: Iterable[str], fleet: Callable[[str], Any]) -> None:
        self._fleet = fleet
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="scenario")
        self._running: dict[str, Future[None]] = {name: self._pool.submit(self._run, name) for name in names}

    @staticmethod
    def namespace(name: str, run: str) -> str:
        """Of a scenario: words of its name, and a mark of this run and of the rest."""
        words = re.sub(r"^test_(an?_|the_)?", "", name.rpartition("::")[2]).replace("_", "-")
        mark = hashlib.sha256(name.encode()).hexdigest()[:4]
        return f"{words[:30].strip('-')}-{mark}-{run}"

    def result(self, name: str) -> None:
        """Wait for one, and raise what it raised."""
        self._running[name].result()

    def wait(self) -> None:
        """Until all are over, however they ended."""
        wait(self._running.values())

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, name: str) -> None:
        started = time.monotonic()
        fleet = self._fleet(name)
        fleet.create()
        try:
            _scenarios[name](fleet)
            print(f"{fleet.name}: passed in {time.monotonic() - started:.0f} s")
        finally:
            fleet.delete()
