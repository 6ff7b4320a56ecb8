"""JobQueues without a database address, of which there may be thousands: a few loops, and each its own sentence."""

from __future__ import annotations

from penstock_operator.database.address import Address
from penstock_operator.loops.database_quota import LoopKey
from penstock_operator.loops.unaddressed import Unaddressed
from penstock_operator.resources.resource import JobQueue
from tests.unit.operator_parts.objects import jobqueue

ADDRESS = Address(url="postgresql://u@h/d", direct_url="postgresql://u@h/d")


def queue(number: int, namespace: str = "shop") -> JobQueue:
    """One of many."""
    return jobqueue(metadata={"uid": f"u-{number}", "name": f"emails-{number}", "namespace": namespace})


def missing(number: int) -> LoopKey:
    """Reason and sentence, which names the Secret."""
    return "SecretUnreadable", f"Secret s-{number}: not found"


def test_thousands_without_a_secret_share_one_loop_in_each_namespace():
    """Each had one of its own."""
    queues = [queue(number, f"n-{number % 3}") for number in range(3000)]
    keys, news = Unaddressed().keys(queues, [missing(number) for number in range(3000)])
    assert set(keys) == {("SecretUnreadable", f"n-{one}") for one in range(3)}
    assert len(news) == 3000


def test_each_reason_has_its_loop_and_an_address_stays_one():
    """An invalid spec refuses the JobQueue; a Secret that is missing does not."""
    made = Unaddressed()
    queues = [queue(1), queue(2), queue(3)]
    found: list[LoopKey] = [ADDRESS, missing(2), ("InvalidSpec", "spec.x: unknown")]
    keys, news = made.keys(queues, found)
    assert keys == [ADDRESS, ("SecretUnreadable", "shop"), ("InvalidSpec", "shop")]
    assert news == {"u-2", "u-3"}
    assert [made.problem(one) for one in queues] == [None, found[1], found[2]]
    assert [one.refusal for one in made.members(queues[1:])] == [None, found[2]]


def test_only_those_whose_sentence_is_another_are_reconciled_again():
    """The loop is the same, so nothing else would report it."""
    made = Unaddressed()
    queues = [queue(1), queue(2)]
    made.keys(queues, [missing(1), missing(2)])
    assert made.keys(queues, [missing(1), missing(2)])[1] == set()
    assert made.keys(queues, [missing(1), missing(7)])[1] == {"u-2"}
    assert made.keys(queues, [ADDRESS, missing(7)])[1] == set()
    assert made.problem(queues[0]) is None
