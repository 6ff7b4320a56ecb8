"""Somebody who undoes each write of a child is reported, and not fought with; an edit by a person is repaired."""

from __future__ import annotations

import math
from typing import Any

import pytest

from penstock_operator.error_reasons import reason_of_call
from penstock_operator.errors import ChangesUndone
from penstock_operator.jobqueue.failure_backoff import MAX_REST_SECONDS, REST_SECONDS
from penstock_operator.jobqueue.objects.reverted_writes import QUIET_SECONDS, REPAIRS, WINDOW_SECONDS, UndoneWrites
from penstock_operator.resources.adoption import Meta
from tests.unit.operator_parts.jobqueue.test_failure_backoff import Storing, made
from tests.unit.operator_parts.objects import jobqueue

WANTED = {"kind": "Deployment", "metadata": {"name": "emails-worker"}}


class Fight:
    """Writes by a clock of the test."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.writes = UndoneWrites(clock=lambda: self.now)

    def repair(self, *, seconds: float = 1.0) -> bool:
        """One more identical write after so many seconds."""
        self.now += seconds
        return self.writes.repaired(WANTED, None)

    def error(self, *, digest: str = "a", stands: bool = False) -> ChangesUndone | None:
        try:
            self.writes.check(digest, stands=stands)
        except ChangesUndone as error:
            return error
        return None


def test_the_tenth_identical_repair_within_the_window_is_a_fight():
    """Reported once; one more try after each pause, which doubles up to its bound."""
    fight = Fight()
    assert fight.error() is None
    assert [fight.repair() for _ in range(REPAIRS)] == [False] * (REPAIRS - 1) + [True]
    pause = REST_SECONDS
    for _ in range(8):
        error = fight.error()
        assert error is not None
        assert reason_of_call(error) == "ChangesUndone"
        assert fight.writes.due_at == fight.now + pause
        fight.now += pause
        assert fight.error() is None
        assert not fight.repair(seconds=0.0)
        pause = min(MAX_REST_SECONDS, 2 * pause)


def test_repairs_that_are_far_apart_are_none():
    """A person who edits now and then."""
    fight = Fight()
    assert fight.error() is None
    assert not any(fight.repair(seconds=WINDOW_SECONDS / (REPAIRS - 1) + 1) for _ in range(20))
    assert fight.error() is None
    assert fight.writes.due_at == math.inf


def test_a_fight_is_over_when_a_write_has_stood_for_a_minute_or_something_else_is_wanted():
    """Until then the condition stays: it would come and go with each round."""
    fight = Fight()
    fight.error()
    for _ in range(REPAIRS):
        fight.repair()
    assert fight.error(stands=True) is not None
    assert fight.writes.due_at == fight.now + QUIET_SECONDS
    fight.now += QUIET_SECONDS
    assert fight.error(stands=True) is None
    assert fight.error() is None
    for _ in range(REPAIRS):
        fight.repair()
    assert fight.error() is not None
    assert fight.error(digest="b") is None


def test_who_it_is_is_read_from_the_managed_fields():
    """Not we, and not Kubernetes' own controllers."""
    entries = [("penstock-template", "4"), ("policy-bot", "2"), ("kubectl-edit", "1"), ("kube-controller-manager", "3")]
    managed = [{"manager": name, "operation": "Update", "time": f"2026-01-01T00:00:0{at}Z"} for name, at in entries]
    meta = {"uid": "u", "resourceVersion": "1", "managedFields": managed}
    assert Meta.read(meta).last_writer == "policy-bot"
    assert Meta.read({**meta, "managedFields": managed[:1]}).last_writer == ""


class Undoing(Storing):
    """An API server with somebody else who changes or deletes objects of a kind after each of our writes."""

    def undo(self, children: Any, kind: str, how: str) -> None:
        shelf = children.cache.deployments if kind == "Deployment" else children.cache.others[kind]
        shelf.observe(self.objects[kind])
        if how == "deletes":
            shelf.gone(self.objects.pop(kind)["metadata"]["uid"])
            return
        found, self.version = self.objects[kind], self.version + 1
        metadata = found["metadata"] | {"resourceVersion": str(self.version)}
        if how in {"edits", "adds"}:
            metadata["generation"] += 1
            owned = next(name for name in found["spec"] if name != "replicas")
            found["spec"] = {**found["spec"], "stranger" if how == "adds" else owned: self.version}
        else:
            metadata["labels"] = {key: value for key, value in metadata["labels"].items() if key != "app"}
            metadata["labels"].pop(next(iter(metadata["labels"])))
        found["metadata"] = metadata
        shelf.observe(found)


@pytest.mark.parametrize("kind", ["Deployment", "PodDisruptionBudget"])
@pytest.mark.parametrize("how", ["edits", "unlabels", "deletes"])
async def test_a_child_that_is_changed_after_each_write_is_left_alone(kind: str, how: str):
    """Whatever kind it is, and however it is changed; the others are kept."""
    server = Undoing()
    children = made(server)
    queue = jobqueue()
    problem: Exception | None = None
    for _ in range(REPAIRS + 3):
        before = server.version
        try:
            await children.ensure(queue)
            problem = children.problem
        except ChangesUndone as error:
            problem = error
        if isinstance(problem, ChangesUndone):
            break
        server.undo(children, kind, how)
    assert isinstance(problem, ChangesUndone)
    assert f"{kind} emails-worker" in str(problem)
    assert server.version == before
    assert math.isfinite(children.resting_until)


async def test_who_adds_a_field_of_their_own_is_no_fight():
    """An autoscaler's requests, a sidecar: our writes change nothing of it."""
    server = Undoing()
    children, queue = made(server), jobqueue()
    for _ in range(REPAIRS + 3):
        await children.ensure(queue)
        assert children.problem is None
        server.undo(children, "Deployment", "adds")
