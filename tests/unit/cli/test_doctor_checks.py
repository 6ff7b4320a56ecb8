"""The checks of doctor: each level of each check, without a database."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.cli import doctor_checks, doctor_queue_checks
from penstock.cli.doctor_checks import Finding, Level
from tests.unit.jobqueue.queue_samples import queue_row

FACTS: dict[str, Any] = {
    "version": "18.1",
    "version_num": 180001,
    "standby": False,
    "read_only": False,
    "login": "shop",
    "superuser": False,
    "owner": False,
    "connections": 3,
    "max_connections": 97,
    "login_limit": -1,
    "login_connections": 2,
    "prepared": None,
    "oldest": None,
    "sees_all": True,
    "tables": [{"name": "job", "live": 10, "dead": 3, "vacuumed": 12.0}],
    "last_partition": "outcome_20261207",
    "today": "outcome_20261123",
}
LEADER: dict[str, Any] = {"name": "maintenance", "holder": "w", "leading_seconds": 3.0, "lease_left": 9.0}
STATE: dict[str, Any] = {
    "leaders": [LEADER],
    "workers": {"running": 2},
    "overdue": 0,
    "overdue_seconds": None,
    "unknown": [],
}
QUEUE = queue_row(name="emails", declared_by="uid", workers=1, slots=5, retention=60.0)
OLD = {"pid": 7, "name": "psql", "login": "bob", "state": "idle in transaction", "seconds": 400.0}


def of_facts(check: str, **changes: Any) -> Finding:
    facts = FACTS | changes
    checks = (
        doctor_checks.of_server,
        doctor_checks.of_connections,
        doctor_checks.of_transactions,
        doctor_checks.of_tables,
        doctor_checks.of_partitions,
    )
    return next(f for one in checks for f in one(facts) if f.check == check)


@pytest.mark.parametrize(
    ("check", "changes", "level", "named"),
    [
        ("server version", {}, Level.OK, "18.1"),
        ("server version", {"version": "14.2", "version_num": 140002}, Level.FAILURE, "too old"),
        ("server version", {"version_num": 190000}, Level.WARNING, "newer"),
        ("writes", {}, Level.OK, "accepts writes"),
        ("writes", {"standby": True}, Level.FAILURE, "a standby"),
        ("writes", {"read_only": True}, Level.FAILURE, "read_only"),
        ("connections", {}, Level.OK, "3 of 97 connections in use"),
        ("connections", {"connections": 90}, Level.WARNING, "90 of 97"),
        ("connections", {"login_limit": 2}, Level.WARNING, "2 of its 2 connections"),
        ("oldest transaction", {}, Level.OK, "none"),
        ("oldest transaction", {"oldest": OLD | {"seconds": 2.0}}, Level.OK, "2s"),
        ("oldest transaction", {"oldest": OLD}, Level.WARNING, "pid 7 (psql, idle in transaction) open for 6m 40s"),
        ("oldest transaction", {"sees_all": False}, Level.SKIPPED, "only its own"),
        (
            "oldest transaction",
            {"prepared": {"name": "x", "number": 2, "seconds": 4000.0}},
            Level.WARNING,
            "2 prepared transactions, the oldest open for",
        ),
        ("dead tuples", {}, Level.OK, "3 in penstock.job"),
        ("dead tuples", {"tables": []}, Level.SKIPPED, "no statistics"),
        (
            "dead tuples",
            {"tables": [{"name": "job", "live": 5, "dead": 200_000, "vacuumed": None}]},
            Level.WARNING,
            "200,000 in penstock.job, 5 live, vacuumed never",
        ),
        ("partitions", {}, Level.OK, "until 20261207"),
        ("partitions", {"last_partition": "outcome_20261123"}, Level.WARNING, "tomorrow"),
        ("partitions", {"last_partition": "outcome_20261122"}, Level.FAILURE, "no job can finish"),
        ("partitions", {"last_partition": None}, Level.FAILURE, "no job can finish"),
        ("partitions", {"partitions": ["outcome_20261207"]}, Level.FAILURE, "no job can finish"),
    ],
)
def test_what_any_login_sees_has_its_finding(check: str, changes: dict[str, Any], level: Level, named: str):
    """A finding that is not ok has a hint."""
    finding = of_facts(check, **changes)
    assert finding.level is level
    assert named in finding.message
    assert finding.hint or level in {Level.OK, Level.SKIPPED}


@pytest.mark.parametrize(
    ("check", "changes", "level", "named"),
    [
        ("maintenance", {}, Level.OK, "leader w for 3s"),
        ("maintenance", {"leaders": []}, Level.FAILURE, "no leader: due jobs"),
        ("maintenance", {"leaders": [LEADER | {"lease_left": -9.0}]}, Level.WARNING, "the lease of w expired 9s ago"),
        ("maintenance", {"leaders": [LEADER | {"lease_left": -99.0}]}, Level.FAILURE, "no leader: due jobs"),
        ("maintenance", {"leaders": [], "workers": {}}, Level.OK, "none needed"),
        ("maintenance", {"leaders": [], "workers": {}, "overdue_seconds": 60.0}, Level.FAILURE, "no leader: due jobs"),
        ("due jobs", {"overdue_seconds": 2.0}, Level.OK, "none"),
        ("due jobs", {"overdue_seconds": 60.0, "overdue": 3}, Level.FAILURE, "3 deferred jobs are due"),
        ("due jobs", {"overdue_seconds": 60.0, "overdue": 1}, Level.FAILURE, "1 deferred job is due"),
        ("workers", {}, Level.OK, "2 running"),
        ("workers", {"workers": {"lapsed": 1}}, Level.WARNING, "1 lapsed"),
        ("tasks known", {}, Level.OK, "no job waits"),
        ("tasks known", {"unknown": ["a\x1b[2J"]}, Level.WARNING, "a\\x1b[2J"),
        ("tasks known", {"unknown": list("abcdefg")}, Level.WARNING, "a, b, c, d, e, …"),
    ],
)
def test_the_state_of_the_database_has_its_finding(check: str, changes: dict[str, Any], level: Level, named: str):
    """Missing maintenance is a failure only if a worker or a due job needs it."""
    finding = next(f for f in doctor_checks.of_state(STATE | changes) if f.check == check)
    assert finding.level is level
    assert named in finding.message


@pytest.mark.parametrize(
    ("check", "changes", "level", "named"),
    [
        ("queues paused", {}, Level.OK, "none of 1"),
        ("queues paused", {"paused": 90.0, "paused_by": "bob"}, Level.WARNING, "emails (for 1m 30s, by bob)"),
        ("queues paused", {"paused": 90.0, "paused_by": "uid"}, Level.WARNING, "by its JobQueue"),
        ("queues served", {"ready": 3, "workers": 0, "oldest": 61.0}, Level.WARNING, "emails (3 ready, oldest 1m 1s)"),
        ("queues served", {"ready": 3, "workers": 0, "oldest": 59.0}, Level.OK, ""),
        ("queues served", {"ready": 3, "workers": 0, "oldest": 99.0, "paused": 1.0}, Level.OK, ""),
    ],
)
def test_queues_that_stand_still_have_their_finding(check: str, changes: dict[str, Any], level: Level, named: str):
    """A paused queue is reported as paused only."""
    queues = [QUEUE._replace(**changes)]
    finding = next(f for f in doctor_queue_checks.of_queues(queues) if f.check == check)
    assert finding.level is level
    assert named in finding.message


@pytest.mark.parametrize(
    ("may", "wanted", "changes", "level"),
    [
        (["worker"], None, {}, Level.OK),
        (["worker"], "worker", {}, Level.OK),
        (["observer"], "worker", {}, Level.FAILURE),
        ([], None, {}, Level.FAILURE),
        (["worker"], None, {"superuser": True}, Level.WARNING),
    ],
)
def test_rights_are_judged_by_what_the_login_is_for(may: list[str], wanted: str | None, changes: dict, level: Level):
    """A superuser is too much, the wrong role too little."""
    [finding] = doctor_checks.of_rights(FACTS | changes, may, wanted)
    assert finding.level is level


def test_a_clock_is_wrong_by_more_than_the_answer_took():
    """A slow network is no wrong clock."""
    levels = [
        next(iter(doctor_checks.of_clock(skew, trip))).level for skew, trip in ((0.1, 0.0), (-3.0, 0.0), (3.0, 4.0))
    ]
    assert levels == [Level.OK, Level.WARNING, Level.OK]


def test_functions_of_another_release_are_a_warning():
    """They may be newer: additive changes keep older processes running."""
    assert [next(doctor_checks.of_functions(same=same)).level for same in (True, False)] == [Level.OK, Level.WARNING]


@pytest.mark.parametrize(
    ("changes", "level", "named"),
    [
        ({"number": 0, "newest": None, "biggest": None}, Level.OK, "none of at most 1,000"),
        ({}, Level.OK, "3; room for 997 more; newest typo, 5s old; largest mail (12 jobs)"),
        ({"number": 101}, Level.WARNING, "101; room for 997 more"),
        ({"free": 0}, Level.WARNING, "3; room for 0 more"),
        ({"number": 10_000, "biggest_jobs": 1_000}, Level.WARNING, "10,000 or more"),
    ],
)
def test_undeclared_queues_have_their_finding(changes: dict[str, Any], level: Level, named: str):
    """How many, how many more, the newest and the biggest; a schema that does not count them says nothing."""
    seen = {"number": 3, "most": 1000, "free": 997, "newest": "typo", "newest_seconds": 5.0, "biggest": "mail"}
    (finding,) = doctor_queue_checks.of_undeclared({"undeclared": seen | {"biggest_jobs": 12} | changes})
    assert finding.level is level
    assert named in finding.message
    assert list(doctor_queue_checks.of_undeclared({})) == []


def test_a_finding_names_five_queues_of_any_number():
    """Who may enqueue decides how many wait for nobody."""
    queues = [QUEUE._replace(name=f"q{n}", ready=3, workers=0, oldest=99.0) for n in range(1000)]
    finding = next(f for f in doctor_queue_checks.of_queues(queues) if f.check == "queues served")
    assert finding.message.endswith("and 995 more")
