"""What was declared already is known by one statement, whatever part of it differs."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.jobqueue.declaration import QueueDeclaration
from penstock.jobqueue.policy import parse_policy
from penstock.jobqueue.worker_settings import declaration, worker_settings
from penstock.settings import Settings
from penstock.store.queue_declarations import declarations
from tests.unit.jobqueue.examples import manifest


def made(**changes: Any) -> QueueDeclaration:
    """What the operator declares of a JobQueue."""
    policy = parse_policy(manifest(**changes))
    return declaration(policy, worker_settings(policy, base=Settings()), declared_by="uid", generation=3)


FULL: dict[str, Any] = {
    "limits__maxInFlight": 7,
    "jobDeadlineSeconds": 90,
    "retentionSeconds": 3600,
    "retry": {"maxAttempts": 9, "backoff": {"strategy": "Linear", "baseSeconds": 2, "maxSeconds": 60}},
}


@pytest.mark.parametrize("changes", [{}, FULL, {"stopPolicy": "Hold"}])
async def test_what_was_declared_stands(store, changes):
    """As it comes back from the database: durations, numbers in JSON, limits."""
    declared = made(**changes)
    assert await declarations(store) == {}
    await store.queues.declare("q", declared)
    assert (await declarations(store))["q"].matches(declared)


@pytest.mark.parametrize(
    "change",
    [
        {"declared_by": "other"},
        {"generation": 4},
        {"paused": True},
        {"max_attempts": 2},
        {"max_in_flight": None},
        {"max_in_flight": 8},
        {"retry": {"strategy": "linear"}},
        {"job_deadline": None},
        {"retention": 1.0},
        {"settings": {"more": 1}},
    ],
    ids=str,
)
async def test_whatever_differs_does_not_stand(store, change):
    """Not the generation alone: another release may declare something else of the same JobQueue."""
    declared = made(**FULL)
    await store.queues.declare("q", declared)
    assert not (await declarations(store))["q"].matches(declared._replace(**change))


async def test_a_pause_by_a_login_matches_any_declaration_and_the_declarers_own_does_not(store, db):
    """As declare_queue leaves the one and changes the other."""
    await store.queues.declare("q", made(stopPolicy="Hold"))
    found = (await declarations(store))["q"]
    assert (found.matches(made(stopPolicy="Hold")), found.matches(made())) == (True, False)
    await store.queues.declare("q", made())
    await store.queues.pause("q")
    found = (await declarations(store))["q"]
    assert (found.matches(made(stopPolicy="Hold")), found.matches(made())) == (True, True)


async def test_a_queue_that_nobody_declared_is_not_there(store, db):
    """An enqueue makes a queue's row too."""
    db.execute("SELECT penstock.enqueue('q', 'work')")
    assert await declarations(store) == {}
