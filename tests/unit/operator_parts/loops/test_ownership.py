"""Whose a queue is while it is not known yet to which database a URL leads."""

from __future__ import annotations

import pytest

from penstock_operator.database.address import Address
from penstock_operator.loops.database_quota import LoopKey
from penstock_operator.loops.ownership import QueueOwnership, without_database
from penstock_operator.loops.scheduled_queue import ScheduledQueue
from penstock_operator.resources.resource import JobQueue
from tests.unit.operator_parts.objects import jobqueue

DIRECT = Address(url="postgresql://shop@direct/shop", direct_url="postgresql://shop@direct/shop")
POOLED = Address(url="postgresql://shop@pooled/shop", direct_url="postgresql://shop@direct/shop")
UNREADABLE: LoopKey = ("SecretUnreadable", "Secret absent, key 'url': not found")
REFUSED = {"conditions": [{"type": "Ready", "status": "False", "reason": "DuplicateQueue"}]}
SERVED = {"conditions": [{"type": "Ready", "status": "True", "reason": "Ready"}]}


def elder(**changes: str) -> JobQueue:
    """The first of the queue `emails`."""
    return jobqueue(metadata={"uid": "u-elder", "name": "elder", **changes}, queueName="emails")


def younger(*, refused: bool = False, served: bool = False) -> JobQueue:
    """The second, as before."""
    metadata = {"uid": "u-younger", "name": "younger", "creationTimestamp": "2026-01-02T00:00:00Z"}
    status = REFUSED if refused else SERVED if served else None
    return jobqueue(metadata=metadata, queueName="emails", status=status)


def reported(belonging: QueueOwnership, key: LoopKey, groups: dict[LoopKey, list[JobQueue]]) -> dict[str, str | None]:
    """The reason why each is refused, by name."""
    return {one.queue.name: one.refusal and one.refusal[0] for one in belonging.members(key, groups)}


def test_two_urls_of_one_database_are_one_database():
    """The elder has the queue, whichever of the two it uses."""
    groups: dict[LoopKey, list[JobQueue]] = {POOLED: [elder()], DIRECT: [younger()]}
    belonging = QueueOwnership()
    assert belonging.learn(POOLED, "one")
    assert belonging.learn(DIRECT, "one")
    assert reported(belonging, POOLED, groups) == {"elder": None}
    assert reported(belonging, DIRECT, groups) == {"younger": "DuplicateQueue"}


def test_a_new_operator_leaves_the_younger_alone_until_the_elders_database_was_tried():
    """Whichever URL it reaches first."""
    groups: dict[LoopKey, list[JobQueue]] = {POOLED: [elder()], DIRECT: [younger()]}
    belonging = QueueOwnership()
    belonging.learn(DIRECT, "one")
    assert reported(belonging, DIRECT, groups) == {}
    belonging.learn(POOLED, "two")
    assert reported(belonging, DIRECT, groups) == {"younger": None}


def test_who_was_served_waits_for_nobody():
    """A namesake in another database, whose URL is new or slow to answer, is no reason to stop."""
    belonging = QueueOwnership()
    belonging.learn(DIRECT, "one")
    assert reported(belonging, DIRECT, {POOLED: [elder()], DIRECT: [younger(served=True)]}) == {"younger": None}
    belonging.learn(POOLED, "one")
    assert reported(belonging, DIRECT, {POOLED: [elder()], DIRECT: [younger(served=True)]}) == {
        "younger": "DuplicateQueue"
    }


def test_an_elder_whose_database_is_away_keeps_no_new_queue_from_its_work():
    """It was tried in vain; nobody knows whether they share anything."""
    groups: dict[LoopKey, list[JobQueue]] = {POOLED: [elder()], DIRECT: [younger()]}
    belonging = QueueOwnership()
    belonging.learn(DIRECT, "one")
    assert belonging.learn(POOLED, None)
    assert reported(belonging, DIRECT, groups) == {"younger": None}


@pytest.mark.parametrize("key", [POOLED, UNREADABLE], ids=["its database is away", "its Secret cannot be read"])
def test_who_was_refused_stays_refused_while_it_is_not_known_where_the_elder_is(key: LoopKey):
    """A restart in an outage must not start a second set of workers."""
    groups: dict[LoopKey, list[JobQueue]] = {key: [elder()], DIRECT: [younger(refused=True)]}
    belonging = QueueOwnership()
    belonging.learn(DIRECT, "one")
    belonging.learn(key, None)
    assert reported(belonging, DIRECT, groups) == {"younger": "DuplicateQueue"}


def test_who_was_refused_is_served_once_the_elder_is_known_to_be_elsewhere_or_is_going():
    """And once it has gone."""
    belonging = QueueOwnership()
    belonging.learn(DIRECT, "one")
    leaving = elder(deletionTimestamp="2026-01-03T00:00:00Z")
    assert reported(belonging, DIRECT, {POOLED: [leaving], DIRECT: [younger(refused=True)]}) == {"younger": None}
    assert reported(belonging, DIRECT, {DIRECT: [younger(refused=True)]}) == {"younger": None}
    belonging.learn(POOLED, "two")
    assert reported(belonging, DIRECT, {POOLED: [elder()], DIRECT: [younger(refused=True)]}) == {"younger": None}


def test_other_queues_of_that_address_are_not_blocked():
    """Only the one that both name."""
    other = jobqueue(metadata={"uid": "u-other", "name": "other"}, queueName="letters")
    belonging = QueueOwnership()
    belonging.learn(DIRECT, "one")
    assert reported(belonging, DIRECT, {POOLED: [elder()], DIRECT: [younger(), other]}) == {"other": None}


def test_the_elder_waits_for_nobody():
    """What is younger cannot take its queue."""
    belonging = QueueOwnership()
    belonging.learn(POOLED, "one")
    assert reported(belonging, POOLED, {POOLED: [elder()], DIRECT: [younger()]}) == {"elder": None}


def test_what_is_known_already_is_no_news():
    """A database that goes away is still the one that it was."""
    belonging = QueueOwnership()
    assert belonging.learn(DIRECT, None)
    assert not belonging.learn(DIRECT, None)
    assert belonging.learn(DIRECT, "one")
    assert not belonging.learn(DIRECT, "one")
    assert not belonging.learn(DIRECT, None)
    assert belonging.learn(DIRECT, "two")
    belonging.forget(DIRECT)
    assert belonging.learn(DIRECT, None)


def test_a_new_queue_waits_for_an_elder_whose_url_changes_for_twenty_seconds_at_most():
    """Each new URL would otherwise start the wait again, for as long as somebody edits the elder."""
    belonging = QueueOwnership()
    belonging.learn(DIRECT, "one")
    for now in range(0, 20, 4):
        mute = Address(url=f"postgresql://mute-{now}/shop", direct_url=f"postgresql://mute-{now}/shop")
        assert belonging.members(DIRECT, {mute: [elder()], DIRECT: [younger()]}, now=float(now)) == []
    (member,) = belonging.members(DIRECT, {POOLED: [elder()], DIRECT: [younger()]}, now=20.0)
    assert (member.queue.name, member.refusal) == ("younger", None)


def test_an_elder_that_was_tried_once_is_waited_for_no_more_at_another_url():
    """It counts by itself, not by its URL."""
    belonging = QueueOwnership()
    belonging.learn(DIRECT, "one")
    belonging.learn(POOLED, None)
    assert reported(belonging, POOLED, {POOLED: [elder()]}) == {"elder": None}
    belonging.forget(POOLED)
    mute = Address(url="postgresql://mute/shop", direct_url="postgresql://mute/shop")
    assert reported(belonging, DIRECT, {mute: [elder()], DIRECT: [younger()]}) == {"younger": None}


def test_jobqueues_without_a_database_are_refused_only_for_their_spec():
    """They are found without reading the others': a namespace may hold thousands of them."""
    queue = jobqueue()
    assert without_database(("SecretUnreadable", "no such Secret"), [queue]) == [ScheduledQueue(queue)]
    invalid = ("InvalidSpec", "spec.worker is required")
    assert without_database(invalid, [queue]) == [ScheduledQueue(queue, invalid)]


def test_a_jobqueue_has_left_a_database_if_it_is_gone_or_known_to_be_in_another_one():
    """Not while either is unknown, and not by another URL of the same one."""
    belonging = QueueOwnership()
    keys: dict[str, LoopKey] = {"here": DIRECT, "moved": POOLED, "nowhere": UNREADABLE}

    def left() -> list[str]:
        return [uid for uid in ("here", "moved", "nowhere", "deleted") if belonging.has_left(uid, DIRECT, keys)]

    belonging.learn(DIRECT, "one")
    assert left() == ["deleted"]
    belonging.learn(POOLED, "one")
    assert left() == ["deleted"]
    belonging.learn(POOLED, "two")
    assert left() == ["moved", "deleted"]
