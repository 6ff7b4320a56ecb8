"""Which worker of `pytest -n auto` runs which tests, and how many workers there are.

Owns the units (what one worker runs in a row) and their order. Must not change what a test needs: every worker has
PostgreSQL servers and a control plane of its own, so any two tests may run at once.

Tests of a cluster mostly wait, unit tests mostly compute. Half of the workers take units from the start of the
collection, where the folders that wait are, and the others from its end: both kinds overlap at all times, and only
half of the workers start a control plane.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    import pytest
    from xdist.remote import Producer
    from xdist.workermanage import WorkerController

MAX_WORKERS = 9
"""Each takes some 400 MB with its servers; more workers than this would mostly start servers."""
ONE_BY_ONE = ("tests/chaos/", "tests/e2e/", "tests/kube/jobqueue/")
"""Folders of tests that wait for up to a minute each and share nothing but what the session has."""
TOGETHER = ("tests/chart/",)
"""Folders whose tests share a control plane that is not the session's."""


def worker_count(cores: int | None = None) -> int:
    """More workers than cores, for most tests wait most of the time.

    Args:
        cores: default: those that this process may use.
    """
    return min(2 * (cores or len(os.sched_getaffinity(0))) + 1, MAX_WORKERS)


def unit_of(nodeid: str) -> str:
    """The unit that a test belongs to: itself, its folder, or by default its file."""
    if nodeid.startswith(ONE_BY_ONE):
        return nodeid
    folder = next((one for one in TOGETHER if nodeid.startswith(one)), None)
    return folder or nodeid.partition("::")[0]


def sendable(report: Any) -> Any:
    """The report with lone surrogates written as escapes, for a worker sends its reports as UTF-8.

    Args:
        report: data of a report: dictionaries, lists, tuples, texts and numbers.
    """
    match report:
        case str() if not report.isascii():
            return report.encode("utf-8", "backslashreplace").decode("utf-8")
        case dict():
            return {name: sendable(value) for name, value in report.items()}
        case list() | tuple():
            return type(report)(sendable(value) for value in report)
        case _:
            return report


class Schedule(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no type hints for its users
    """Units from both ends of the collection; a worker gets its next unit when it has two tests left."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        if int(node.gateway.id.removeprefix("gw")) % 2:
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)
