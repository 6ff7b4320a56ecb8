"""How many databases are served: the eldest keep theirs, and nobody can take the places of another namespace."""

from __future__ import annotations

from penstock_operator.database.address import Address
from penstock_operator.database.failure_reasons import TOO_MANY
from penstock_operator.loops.database_quota import LoopKey, apply_quota
from penstock_operator.resources.resource import JobQueue
from tests.unit.operator_parts.objects import jobqueue


def made(namespace: str, number: int, created: int) -> JobQueue:
    """A JobQueue of that age."""
    stamp = f"2026-01-01T00:00:{created:02}Z"
    uid = f"{namespace}-{number}"
    return jobqueue(metadata={"namespace": namespace, "name": f"q{number}", "uid": uid, "creationTimestamp": stamp})


def address(name: str) -> Address:
    """A database."""
    return Address(url=f"postgresql://{name}/x", direct_url=f"postgresql://{name}/x")


def refused(queues: list[JobQueue], keys: list[LoopKey], *, per_namespace: int = 2, total: int = 100) -> list[str]:
    """Uids of those that get no database."""
    found = apply_quota(queues, keys, per_namespace=per_namespace, total=total)
    for before, after in zip(keys, found, strict=True):
        assert after == before or (isinstance(before, Address) and isinstance(after, tuple) and after[0] == TOO_MANY)
    return [queue.uid for queue, key in zip(queues, found, strict=True) if key != keys[queues.index(queue)]]


def test_the_youngest_of_a_namespace_are_refused():
    """Whatever order they are listed in; the other namespace has its own places."""
    queues = [made("greedy", number, 40 - number) for number in range(4)] + [made("shop", 9, 50)]
    keys: list[LoopKey] = [address(f"host{number}") for number in range(5)]
    assert refused(queues, keys) == ["greedy-0", "greedy-1"]


def test_jobqueues_of_one_database_take_one_place():
    """However many they are."""
    queues = [made("shop", number, number) for number in range(5)]
    assert refused(queues, [address("host")] * 5, per_namespace=1, total=1) == []


def test_the_operator_as_a_whole_has_a_bound():
    """An address that is served already takes no second place, from whichever namespace."""
    queues = [made("a", 1, 1), made("b", 2, 2), made("c", 3, 3), made("d", 4, 4)]
    keys: list[LoopKey] = [address("one"), address("two"), address("three"), address("one")]
    assert refused(queues, keys, total=2) == ["c-3"]


def test_a_jobqueue_without_an_address_takes_no_place():
    """Its Secret is missing, or its spec is invalid."""
    queues = [made("shop", number, number) for number in range(3)]
    assert refused(queues, [("SecretUnreadable", "x"), address("one"), address("two")]) == []


def test_the_first_address_of_a_namespace_comes_before_the_second_of_any_other():
    """Two greedy namespaces that were there first cannot keep a third from its only database."""
    greedy = [made(name, number, number) for name in ("a", "b") for number in range(3)]
    queues = [*greedy, made("late", 9, 50)]
    keys: list[LoopKey] = [address(f"host{number}") for number in range(len(queues))]
    assert refused(queues, keys, per_namespace=3, total=4) == ["a-2", "b-1", "b-2"]
