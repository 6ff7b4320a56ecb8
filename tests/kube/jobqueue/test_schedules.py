"""Schedules of a JobQueue on the real API server: declared, edited and withdrawn with it; pods are ready at a tick."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from tests.kube.jobqueue.conftest import JobQueues, Start, started
from tests.support.pods import ProcessPods
from tests.support.waiting import eventually

NEVER = "2099-01-01T00:00:00Z"
YEAR = 366 * 86_400
"""The longest interval: only the first tick comes while a test runs."""
ATTEMPTS = 5
"""A machine that stalls for seconds has another try."""
STARTUP_SECONDS = 20.0
CODE = """SELECT * FROM penstock.declare_schedules('emails', 'code', jsonb_build_array(jsonb_build_object(
  'name', %s::text, 'spec', '@every 31622400', 'zone', 'UTC', 'starts_at', '2099-01-01T00:00:00Z', 'jitter', 0,
  'lead', 0, 'task', 'work', 'args', '{}'::jsonb, 'missed', 'Once', 'missed_limit', 1, 'overlap', 'Allow',
  'suspended', false, 'next_at', '2099-01-01T00:00:00Z')))"""


def schedule(**changes: Any) -> dict[str, Any]:
    """A schedule whose first tick is at its start date."""
    return {
        "name": "nightly",
        "task": "work",
        "args": {"seconds": 0},
        "everySeconds": YEAR,
        "startDate": NEVER,
    } | changes


def edit(jobqueues: JobQueues, *schedules: dict[str, Any]) -> None:
    """What a commit to the manifest does."""
    jobqueues.patch({"spec": {"schedules": list(schedules)}})


def declared(database: psycopg.Connection[Any]) -> dict[str, str]:
    """The source of each schedule by name."""
    rows = database.execute("SELECT name, source FROM penstock.list_schedules(ARRAY['emails'])").fetchall()
    return dict(rows)


def valid(jobqueues: JobQueues) -> tuple[str, str] | None:
    """Status and reason."""
    return jobqueues.conditions().get("SchedulesValid")


def clock(database: psycopg.Connection[Any]) -> datetime:
    """The database's."""
    row = database.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    return row[0].astimezone(UTC)  # type: ignore[no-any-return]


def ready(jobqueues: JobQueues) -> bool:
    """Whether a pod is ready."""
    conditions = [one for pod in jobqueues.pods() for one in pod.get("status", {}).get("conditions") or ()]
    return any((one["type"], one["status"]) == ("Ready", "True") for one in conditions)


def test_a_tick_has_a_ready_pod_from_zero_and_an_edit_moves_it(
    jobqueues: JobQueues, operator: Start, pods: ProcessPods, pg_url: str, database: psycopg.Connection[Any]
):
    """The pod is requested a start-up of 20 s before the tick, is ready at it, runs its one job, and goes again."""
    started(jobqueues, operator, pg_url, schedules=[schedule()])
    eventually(lambda: valid(jobqueues) == ("True", "Valid"), "the schedule is declared")
    status = eventually(lambda: jobqueues.get()["status"].get("schedules"), "the next tick is shown")
    assert status["next"] == {"name": "nightly", "time": NEVER}
    assert status["upcoming"][0]["recurrence"].startswith("every 366 days")
    assert status["upcoming"][0]["nextTicks"][:1] == [NEVER]
    assert jobqueues.deployment()["spec"]["replicas"] == 0

    def once(number: int) -> bool:
        tick = clock(database).replace(microsecond=0) + timedelta(seconds=60)
        edit(jobqueues, schedule(name=f"nightly-{number}", startDate=tick.isoformat().replace("+00:00", "Z")))
        eventually(lambda: bool(jobqueues.pods()) or clock(database) >= tick, "a pod, or the tick")
        left = (tick - clock(database)).total_seconds()
        eventually(lambda: ready(jobqueues) or clock(database) >= tick, "a ready pod, or the tick")
        in_time = left >= STARTUP_SECONDS and clock(database) < tick
        outcome = "SELECT claimed_at FROM penstock.outcome WHERE final AND claimed_at >= %s"
        rows = eventually(lambda: database.execute(outcome, [tick]).fetchall(), "its job has run")
        assert len(rows) == 1
        if in_time:
            notes = [one["note"] for one in jobqueues.events() if one["reason"] == "Activated"]
            assert any(f"(Scheduled). For the tick of nightly-{number} at " in note for note in notes), notes
        eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 0, "zero again")
        assert declared(database) == {f"nightly-{number}": "jobqueue"}
        return in_time

    assert any(once(number) for number in range(ATTEMPTS))
    edit(jobqueues)
    eventually(lambda: valid(jobqueues) == ("True", "NoSchedules"), "the schedule is withdrawn")
    assert declared(database) == {}


def test_a_wrong_entry_is_a_condition_and_the_others_tick(
    jobqueues: JobQueues, operator: Start, pg_url: str, database: psycopg.Connection[Any]
):
    """The sentence names the schedule, the rule and what was given; correcting it makes all of them valid."""
    mars = schedule(name="mars", timeZone="Mars/Olympus")
    started(jobqueues, operator, pg_url, schedules=[mars, schedule()])
    eventually(lambda: valid(jobqueues) == ("False", "UnknownTimeZone"), "the zone is unknown")
    message = jobqueues.message("SchedulesValid")
    assert "'mars'" in message
    assert "Mars/Olympus" in message
    assert declared(database) == {"nightly": "jobqueue"}
    assert jobqueues.conditions()["Ready"] == ("True", "Ready")
    february = {"name": "february", "task": "work", "cron": "0 0 30 2 *"}
    edit(jobqueues, february, schedule())
    eventually(lambda: valid(jobqueues) == ("False", "InvalidExpression"), "no such date")
    assert "0 0 30 2 *" in jobqueues.message("SchedulesValid")
    edit(jobqueues, february | {"cron": "0 0 29 2 *"}, schedule())
    eventually(lambda: valid(jobqueues) == ("True", "Valid"), "both are valid")
    assert declared(database) == {"february": "jobqueue", "nightly": "jobqueue"}


def test_a_deleted_jobqueue_takes_its_schedules_with_it_and_none_of_code(
    jobqueues: JobQueues, operator: Start, pg_url: str, database: psycopg.Connection[Any]
):
    """A name that code declares as well is the JobQueue's while there is one, and the condition says so."""
    database.execute(CODE, ["weekly"])
    database.execute(CODE.replace("'emails'", "'other'"), ["other"])
    started(jobqueues, operator, pg_url, schedules=[schedule(), schedule(name="weekly")])
    eventually(lambda: valid(jobqueues) == ("True", "DeclaredInCode"), "the name in both is reported")
    assert "weekly" in jobqueues.message("SchedulesValid")
    assert declared(database) == {"nightly": "jobqueue", "weekly": "jobqueue"}
    database.execute(CODE, ["yearly"])
    jobqueues.delete()
    eventually(lambda: declared(database) == {"yearly": "code"}, "only the one of code is left")
    left = database.execute("SELECT name FROM penstock.list_schedules(ARRAY['other'])").fetchall()
    assert left == [("other",)]
