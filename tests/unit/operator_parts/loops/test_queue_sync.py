"""What a new leader declares: what differs from what stands, all of it after each connection, and nothing twice."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from penstock.errors import RejectedByDatabase, RowLocked
from penstock.jobqueue.declaration import QueueDeclaration
from penstock_operator.loops.queue_sync import COMPARE_SECONDS, LOCKED_SECONDS, QueueSync
from penstock_operator.resources.resource import JobQueue
from tests.unit.operator_parts.objects import jobqueue


class Rows:
    """A database that keeps what is declared and counts how often it is asked."""

    def __init__(self) -> None:
        self.standing: dict[str, QueueDeclaration] = {}
        self.asked = 0
        self.reported: list[str] = []
        self.refused: set[str] = set()
        self.locked: set[str] = set()

    async def declarations(self, names: list[str]) -> Mapping[str, QueueDeclaration]:
        self.asked += 1
        return {name: self.standing[name] for name in names if name in self.standing}

    async def declare(self, name: str, made: QueueDeclaration) -> None:
        self.reported.append(name)
        if name in self.refused:
            raise RejectedByDatabase("not like that")
        if name in self.locked:
            raise RowLocked("somebody has it")
        self.standing[name] = made._replace(paused_by=made.declared_by if made.paused else None)


def three() -> list[JobQueue]:
    """JobQueues of three queues."""
    return [jobqueue(metadata={"uid": f"u-{name}", "name": name}) for name in ("one", "two", "three")]


async def mirrored(declaring: QueueSync, rows: Rows, queues: list[JobQueue]) -> list[str]:
    """Which were declared."""
    rows.reported.clear()
    moves: list[None] = []
    await declaring.sync(rows, queues, moved=lambda: moves.append(None))  # type: ignore[arg-type]
    assert len(moves) == len(rows.reported)
    return list(rows.reported)


async def test_a_successor_declares_nothing_that_its_predecessor_did():
    """One question for all of them, and then none."""
    rows, successor = Rows(), QueueSync()
    assert await mirrored(QueueSync(), rows, three()) == ["one", "two", "three"]
    rows.asked = 0
    assert await mirrored(successor, rows, three()) == []
    assert await mirrored(successor, rows, three()) == []
    assert rows.asked == 1


async def test_what_another_release_makes_of_the_same_generation_is_declared_again():
    """So is what somebody else has declared since."""
    rows = Rows()
    await mirrored(QueueSync(), rows, three())
    rows.standing["two"] = rows.standing["two"]._replace(max_attempts=99)
    rows.standing["three"] = rows.standing["three"]._replace(declared_by="u-other")
    assert await mirrored(QueueSync(), rows, three()) == ["two", "three"]


async def test_everything_is_compared_again_once_a_minute():
    """It may be another server by then, or a backup that was restored, in which a queue is missing."""
    now = 0.0
    rows, declaring = Rows(), QueueSync(clock=lambda: now)
    await mirrored(declaring, rows, three())
    del rows.standing["two"]
    now += COMPARE_SECONDS - 1
    assert await mirrored(declaring, rows, three()) == []
    now += 1
    assert await mirrored(declaring, rows, three()) == ["two"]
    assert rows.asked == 2


async def test_after_an_outage_everything_is_compared_at_once():
    """Who answers now may be another than before."""
    rows, declaring = Rows(), QueueSync()
    await mirrored(declaring, rows, three())
    del rows.standing["two"]
    declaring.forget()
    assert await mirrored(declaring, rows, three()) == ["two"]


async def test_a_queue_that_another_has_declared_since_is_reported(caplog: pytest.LogCaptureFixture):
    """A second operator whose namespaces this one does not see; what a predecessor declared is no such thing."""
    now = 0.0
    rows, declaring = Rows(), QueueSync(clock=lambda: now)
    await mirrored(QueueSync(), rows, three())
    await mirrored(declaring, rows, three())
    assert not caplog.records
    rows.standing["two"] = rows.standing["two"]._replace(declared_by="u-other")
    now += COMPARE_SECONDS
    assert await mirrored(declaring, rows, three()) == ["two"]
    assert [record.__dict__["jobqueue"] for record in caplog.records] == ["two"]


async def test_a_changed_jobqueue_is_declared_without_a_question():
    """The everyday case costs what it did."""
    rows, declaring = Rows(), QueueSync()
    queues = three()
    await mirrored(declaring, rows, queues)
    rows.asked = 0
    queues[1] = jobqueue(metadata={"uid": "u-two", "name": "two", "generation": 2}, stopPolicy="Hold")
    assert await mirrored(declaring, rows, queues) == ["two"]
    assert rows.asked == 0


async def test_one_that_the_database_refuses_holds_up_no_other():
    """Nor is it tried again before it changes."""
    rows, declaring = Rows(), QueueSync()
    rows.refused = {"one"}
    assert await mirrored(declaring, rows, three()) == ["one", "two", "three"]
    assert await mirrored(declaring, rows, three()) == []


async def test_an_invalid_jobqueue_declares_nothing():
    """There is nothing to say about it."""
    assert await mirrored(QueueSync(), Rows(), [jobqueue(scaling__minReplicas=11)]) == []


async def test_a_queue_that_somebody_holds_is_declared_later_and_keeps_no_other_waiting():
    """An enqueue that does not commit blocks its declaration: retried ever more seldom, reported, then declared."""
    now = 0.0
    rows, declaring = Rows(), QueueSync(clock=lambda: now)
    rows.locked.add("two")
    assert await mirrored(declaring, rows, three()) == ["one", "two", "three"]
    assert declaring.refused.keys() == {"u-two"}
    assert declaring.refused["u-two"][0] == "QueueLocked"
    for pause in (*LOCKED_SECONDS, LOCKED_SECONDS[-1]):
        now += pause - 0.1
        assert "two" not in await mirrored(declaring, rows, three())
        now += 0.1
        assert "two" in await mirrored(declaring, rows, three())
    rows.locked.clear()
    now += LOCKED_SECONDS[-1]
    assert await mirrored(declaring, rows, three()) == ["two"]
    assert declaring.refused == {}
