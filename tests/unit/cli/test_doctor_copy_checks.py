"""The checks of doctor for copied databases and rows removed by hand, without a database."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.cli.doctor_checks import Level
from penstock.cli.doctor_copy_checks import of_integrity

SOUND: dict[str, Any] = {
    "sequences": [],
    "below_marks": [],
    "orphan_queues": [],
    "strays": 0,
    "limits": [],
    "clock_lag": None,
}
LAGGING = {"sequence": "job_id_seq", "last": 5, "highest": 100_000}


@pytest.mark.parametrize(
    ("check", "changes", "level", "named"),
    [
        ("sequences", {}, Level.OK, "ahead"),
        ("sequences", {"sequences": [LAGGING]}, Level.FAILURE, "job_id_seq at 5, highest stored 100,000"),
        ("sequences", {"below_marks": ["emails"]}, Level.FAILURE, "in queue emails"),
        ("server clock", {}, Level.OK, "not earlier"),
        ("server clock", {"clock_lag": -3.0}, Level.OK, "not earlier"),
        ("server clock", {"clock_lag": 1.0}, Level.OK, "not earlier"),
        ("server clock", {"clock_lag": 3600.0}, Level.WARNING, "1h earlier"),
        ("orphans", {}, Level.OK, "every job"),
        ("orphans", {"orphan_queues": [7]}, Level.FAILURE, "id 7"),
        ("orphans", {"strays": 1}, Level.WARNING, "1 running job belongs"),
        ("orphans", {"strays": 1000}, Level.WARNING, "1,000 running jobs belong"),
        ("orphans", {"limits": ["emails"]}, Level.WARNING, "of queue emails"),
    ],
)
def test_each_member_has_its_finding(check: str, changes: dict[str, Any], level: Level, named: str):
    """A finding that is not ok has a hint."""
    (finding,) = (one for one in of_integrity({"integrity": SOUND | changes}) if one.check == check)
    assert finding.level is level
    assert named in finding.message
    assert bool(finding.hint) is (level is not Level.OK)


def test_an_older_schema_has_no_finding():
    """Before `penstock migrate` has created the function."""
    assert list(of_integrity({})) == []
