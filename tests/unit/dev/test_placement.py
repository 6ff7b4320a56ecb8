"""Who comes and who goes."""

from __future__ import annotations

from typing import Any

from penstock.dev.placement import Placement, Row, place, rows_of
from penstock.dev.processes import WorkerProcess, WorkerProcessState


def member(name: str, state: WorkerProcessState = WorkerProcessState.RUNNING) -> WorkerProcess:
    return WorkerProcess(name=name, queue="emails", state=state, pid=1, metrics_url="")


A, B, C = member("a"), member("b"), member("c")


def test_from_zero_members_are_started() -> None:
    """As many as are wanted."""
    assert place(3, [], {}) == Placement(serving=0, leaving=0, start=3)


def test_enough_means_nothing_is_done() -> None:
    """A member that has not registered yet counts: it is coming."""
    assert place(2, [A, B], {"a": Row(1, "running", 4)}) == Placement(serving=2, leaving=0)


def test_the_idle_one_is_cordoned_before_the_busy_one() -> None:
    """And nobody is stopped yet."""
    rows = {"a": Row(1, "running", 0), "b": Row(2, "running", 4), "c": Row(3, "running", 1)}
    assert place(2, [A, B, C], rows) == Placement(serving=3, leaving=0, cordon=(1,))
    assert place(1, [A, B, C], rows) == Placement(serving=3, leaving=0, cordon=(1, 3))


def test_of_equals_the_newest_goes() -> None:
    """The oldest has the warm caches."""
    rows = {"a": Row(1, "running", 0), "b": Row(2, "running", 0)}
    assert place(1, [A, B], rows).cordon == (2,)


def test_a_cordoned_member_is_stopped_only_once_it_is_drained() -> None:
    """Until then nothing happens to it."""
    assert place(0, [A], {"a": Row(1, "cordoned", 2)}) == Placement(serving=0, leaving=1)
    assert place(0, [A], {"a": Row(1, "drained", 0)}) == Placement(serving=0, leaving=1, stop=("a",))


def test_a_leaving_member_is_called_back_before_a_new_one_is_started() -> None:
    """Drained or not; and then it is not stopped."""
    rows = {"a": Row(1, "drained", 0), "b": Row(2, "cordoned", 3)}
    assert place(1, [A, B], rows) == Placement(serving=0, leaving=2, uncordon=(1,))
    assert place(3, [A, B], rows) == Placement(serving=0, leaving=2, uncordon=(1, 2), start=1)


def test_a_member_that_never_registered_is_stopped_at_once() -> None:
    """It goes first, before anybody who could hold a job."""
    assert place(1, [A, B], {"a": Row(1, "running", 0)}) == Placement(serving=2, leaving=0, stop=("b",))


def test_a_crashed_member_is_stopped_rather_than_cordoned_and_never_called_back() -> None:
    """Its process is gone; its jobs are rescued by lease."""
    crashed = member("a", WorkerProcessState.CRASHED)
    assert place(0, [crashed], {"a": Row(1, "running", 5)}) == Placement(serving=1, leaving=0, stop=("a",))
    assert place(1, [crashed], {"a": Row(1, "cordoned", 5)}) == Placement(serving=0, leaving=1, start=1, stop=("a",))


def test_a_stopping_member_is_neither_serving_nor_stopped_again() -> None:
    """It is on its way."""
    assert place(1, [member("a", WorkerProcessState.STOPPING)], {"a": Row(1, "drained", 0)}) == Placement(
        serving=0, leaving=0, start=1
    )


def test_a_restarted_members_newest_row_counts() -> None:
    """The former one stays until its lease runs out; rows of strangers do not disturb."""
    workers: list[dict[str, Any]] = [
        {"id": 7, "pod": "a", "state": "running", "in_flight": 0},
        {"id": 3, "pod": "a", "state": "running", "in_flight": 9},
        {"id": 4, "pod": None, "state": "running", "in_flight": 9},
    ]
    assert rows_of(workers) == {"a": Row(7, "running", 0)}
