"""How much one answer may hold: what a lying process sends costs the event loop little before it is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from penstock.store import QueueState
from penstock_operator.database.process.protocol import (
    ANSWERS,
    MAX_ALL_WORKERS,
    MAX_ROWS,
    MAX_WORKERS,
    SampleAnswer,
    SampledQueue,
    packed,
    unpacked,
)
from penstock_operator.database.process.schedules import (
    MAX_SCHEDULES,
    DeclaredSchedules,
    ListedSchedule,
    ScheduleList,
)
from penstock_operator.resources.queue_schedules import QueueSchedule, ScheduleFigures

FIGURES = ScheduleFigures(0, None, None)
NIGHTLY = QueueSchedule("nightly", False, "", "", 1.0, [], 0, False, False, None)
LISTED = ListedSchedule("q", NIGHTLY, FIGURES)
DECLARED = ("u", 1, False, None, 1, None, b"{}", None, 1.0, b"{}")


def workers(number: int) -> list[dict[str, Any]]:
    """So many, the oldest first."""
    one = {"state": "running", "concurrency": 1, "in_flight": 0, "done": 0}
    return [{"id": identity, **one} for identity in range(number)]


def queue(found: list[dict[str, Any]], name: str = "q") -> SampledQueue:
    """A row that says so."""
    return SampledQueue(1, name, False, True, 0, False, 0, 0, 0, 0, None, found)


def decoded(method: str, answer: object) -> Any:
    """What the operator makes of it."""
    return ANSWERS[method].decode(msgspec.msgpack.encode(answer))


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("sample", SampleAnswer(True, None, [queue(workers(MAX_WORKERS + 1))])),
        ("sample", SampleAnswer(True, None, [queue([workers(1)[0] | {f"x{number}": 1 for number in range(40)}])])),
        ("sample", SampleAnswer(True, None, [queue([])] * (MAX_ROWS + 1))),
        ("waits", dict.fromkeys(range(MAX_ROWS + 1), 1.0)),
        ("jobs_in_flight", dict.fromkeys(range(MAX_ROWS + 1), 1)),
        ("lost_workers", {str(number): ("n", 1.0) for number in range(MAX_ROWS + 1)}),
        (
            "declarations",
            {str(n): DECLARED for n in range(MAX_ROWS + 1)},
        ),
        ("schedules", ScheduleList(1.0, [LISTED] * (MAX_SCHEDULES + 1))),
        ("schedules", ScheduleList(1.0, [ListedSchedule("q", replace(NIGHTLY, upcoming=[1.0] * 6), FIGURES)])),
        ("declare_schedules", DeclaredSchedules(["n"] * 1001, [], [])),
        ("declare_schedules", DeclaredSchedules([], [("n", "r", "x" * 1025)], [])),
    ],
    ids=[
        "workers of a queue",
        "fields",
        "queues",
        "waits",
        "jobs_in_flight",
        "lost_workers",
        "declarations",
        "schedules",
        "upcoming ticks",
        "declared schedules",
        "a sentence",
    ],
)
def test_an_answer_beyond_its_bound_is_refused_as_it_is_decoded(method: str, answer: object):
    """Each collection has one; 40000 workers took most of a second of the event loop at each sample."""
    with pytest.raises(msgspec.ValidationError, match="length"):
        decoded(method, answer)


def test_all_workers_of_a_sample_have_a_bound_as_well():
    """It is kept by many queues as by one."""
    maximum = MAX_ALL_WORKERS // MAX_WORKERS
    rows = [queue(workers(MAX_WORKERS), f"q{number}") for number in range(maximum)]
    assert len(unpacked(decoded("sample", SampleAnswer(True, None, rows)).queues)) == maximum
    with pytest.raises(msgspec.ValidationError, match="10,001 workers"):
        unpacked([*rows, queue(workers(1), "more")])


def test_of_more_workers_than_a_queue_may_have_the_newest_count():
    """A database that really has them is served."""
    state = QueueState(1, "q", False, True, 0, False, 0, 0, 0, 0, None, workers(MAX_WORKERS + 5))
    (row,) = packed({"q": state}, ["q"])
    assert {worker["id"] for worker in row.workers} == set(range(5, MAX_WORKERS + 5))
