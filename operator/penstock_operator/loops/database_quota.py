"""Limits the number of databases that the operator connects to, in total and per namespace. Pure.

Each address costs a process, so a tenant could take the operator's memory by writing many of them. Within a namespace
the oldest JobQueues keep their address. Between namespaces places are shared fairly: every namespace's first address
comes before any second one: two greedy namespaces cannot keep a third from its only database.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..database.address import Address
from ..database.failure_reasons import TOO_MANY
from ..resources.resource import JobQueue

LoopKey = Address | tuple[str, str]
"""An address, or the reason and sentence why there is none."""


def apply_quota(
    queues: Sequence[JobQueue], keys: Sequence[LoopKey], *, per_namespace: int, total: int
) -> list[LoopKey]:
    """The keys, with a refusal in place of each address beyond a bound.

    Args:
        queues: all JobQueues.
        keys: the key of each of them.
        per_namespace: addresses that the JobQueues of one namespace may have.
        total: addresses that all of them may have.
    """
    ranks = _ranks(queues, keys)
    served: set[Address] = set()
    made = list(keys)
    for index in sorted(ranks, key=lambda one: (ranks[one], queues[one].created, queues[one].uid)):
        key = keys[index]
        assert isinstance(key, Address)
        if ranks[index] >= per_namespace:
            made[index] = _refusal(
                f"The JobQueues of this namespace have {per_namespace} database addresses, the maximum for one"
                " namespace (databases.perNamespace of the chart)"
            )
        elif key not in served and len(served) >= total:
            made[index] = _refusal(
                f"This operator serves {total} database addresses, its maximum (databases.max of the chart)"
            )
        else:
            served.add(key)
    return made


def _ranks(queues: Sequence[JobQueue], keys: Sequence[LoopKey]) -> dict[int, int]:
    """Return the number of older addresses in its namespace for each JobQueue that has one, by index."""
    seen: dict[str, dict[Address, int]] = {}
    ranks: dict[int, int] = {}
    for index in sorted(range(len(queues)), key=lambda one: (queues[one].created, queues[one].uid)):
        key = keys[index]
        if isinstance(key, Address):
            known = seen.setdefault(queues[index].namespace, {})
            ranks[index] = known.setdefault(key, len(known))
    return ranks


def _refusal(sentence: str) -> tuple[str, str]:
    return TOO_MANY, f"{sentence}; older JobQueues keep theirs. JobQueues whose Secrets have the same URL share one."
