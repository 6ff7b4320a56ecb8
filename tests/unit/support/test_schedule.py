"""How `pytest -n auto` distributes the suite over its workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import execnet
import pytest

from tests.conftest import ROOT
from tests.support.schedule import MAX_WORKERS, ONE_BY_ONE, TOGETHER, Schedule, sendable, unit_of, worker_count


@dataclass(eq=False)
class Worker:
    """What the schedule knows of a worker."""

    name: str
    ran: list[int] = field(default_factory=list)
    shutting_down: bool = False

    @property
    def gateway(self) -> Any:
        return SimpleNamespace(id=self.name)

    def send_runtest_some(self, indices: list[int]) -> None:
        self.ran += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def schedule(tests: list[str], workers: int, config: pytest.Config) -> tuple[Schedule, list[Worker]]:
    """The state after every worker has collected these tests."""
    options = SimpleNamespace(loadscopereorder=True)
    fake: Any = SimpleNamespace(option=options, getvalue=lambda _: ["popen"] * workers, hook=config.hook)
    made = Schedule(fake)
    nodes: list[Any] = [Worker(f"gw{number}") for number in range(workers)]
    for node in nodes:
        made.add_node(node)
        made.add_node_collection(node, tests)
    made.schedule()
    return made, nodes


@pytest.mark.parametrize(("cores", "workers"), [(1, 3), (2, 5), (4, 9), (64, MAX_WORKERS)])
def test_there_are_more_workers_than_cores_up_to_a_maximum(cores: int, workers: int) -> None:
    """Most tests wait most of the time, and each worker has servers of its own."""
    assert worker_count(cores) == workers


@pytest.mark.parametrize(
    ("nodeid", "unit"),
    [
        ("tests/unit/app/test_app.py::test_one[a::b]", "tests/unit/app/test_app.py"),
        ("tests/e2e/test_shop.py::test_one", "tests/e2e/test_shop.py::test_one"),
        ("tests/chart/test_render.py::test_one", "tests/chart/"),
    ],
)
def test_a_unit_is_a_file_a_test_that_waits_or_a_folder_with_a_control_plane(nodeid: str, unit: str) -> None:
    """A unit runs in one worker, in the order of the collection."""
    assert unit_of(nodeid) == unit


@pytest.mark.parametrize("folder", [*ONE_BY_ONE, *TOGETHER])
def test_every_folder_with_a_rule_of_its_own_exists(folder: str) -> None:
    """A folder that was moved would silently lose its rule."""
    assert list((ROOT / folder).glob("test_*.py"))


def test_workers_start_from_both_ends_of_the_collection(pytestconfig: pytest.Config) -> None:
    """Tests that wait come first in the collection and overlap with those that compute, which come last."""
    tests = [f"tests/unit/test_{number}.py::test_{one}" for number in range(8) for one in range(3)]
    _, (first, second) = schedule(tests, 2, pytestconfig)
    assert (first.ran, second.ran) == ([0, 1, 2], [21, 22, 23])


def test_every_test_runs_exactly_once(pytestconfig: pytest.Config) -> None:
    """However unlike the units are."""
    names: list[Callable[[int], str]] = [
        lambda number: f"tests/unit/test_{number}.py::test",
        lambda number: f"tests/e2e/test_it.py::test_{number}",
        lambda number: f"tests/chart/test_{number}.py::test",
        lambda number: f"tests/unit/test_it.py::test_{number}",
    ]
    tests = [name(number) for name in names for number in range(5)]
    made, workers = schedule(tests, 3, pytestconfig)
    done = dict.fromkeys(workers, 0)
    while made.has_pending:
        for worker in workers:
            if done[worker] < len(worker.ran):
                made.mark_test_complete(worker, worker.ran[done[worker]])
                done[worker] += 1
    assert sorted(number for worker in workers for number in worker.ran) == list(range(len(tests)))


def test_a_report_with_a_lone_surrogate_is_sent_with_an_escape_in_its_place() -> None:
    """A test may print or log one, and the other texts stay as they are."""
    report = {"sections": [("Captured log call", "a \ud800 b ü")], "duration": 0.5, "longrepr": None, "when": "call"}
    assert execnet.loads(execnet.dumps(sendable(report))) == {
        "sections": [("Captured log call", "a \\ud800 b ü")],
        "duration": 0.5,
        "longrepr": None,
        "when": "call",
    }
    with pytest.raises(execnet.DumpError):
        execnet.dumps(report)
