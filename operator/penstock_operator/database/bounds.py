"""How many databases the operator connects to, in all and for each namespace. Pure.

Each address costs a process, so a tenant could take the operator's memory by writing many of them. The eldest JobQueues
keep theirs; who comes too late gets a condition and no process.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..database_reasons import TOO_MANY
from ..resource import JobQueue
from ..sampling import Address

Key = Address | tuple[str, str]
"""An address, or the reason and sentence why there is none."""


def bounded(queues: Sequence[JobQueue], keys: Sequence[Key], *, per_namespace: int, total: int) -> list[Key]:
    """The keys, with a refusal in place of each address beyond a bound.

    Args:
        queues: all JobQueues.
        keys: the key of each of them.
        per_namespace: addresses that the JobQueues of one namespace may have.
        total: addresses that all of them may have.
    """
    in_namespace: dict[str, set[Address]] = {}
    everywhere: set[Address] = set()
    made = list(keys)
    for index in sorted(range(len(queues)), key=lambda one: (queues[one].created, queues[one].uid)):
        key, queue = keys[index], queues[index]
        if not isinstance(key, Address):
            continue
        ours = in_namespace.setdefault(queue.namespace, set())
        if key not in ours and len(ours) >= per_namespace:
            made[index] = _refusal(
                f"The JobQueues of this namespace have {per_namespace} database addresses, the most that this operator"
                " serves for one namespace (databases.perNamespace of the chart)"
            )
        elif key not in everywhere and len(everywhere) >= total:
            made[index] = _refusal(
                f"This operator serves {total} database addresses, its maximum (databases.max of the chart)"
            )
        else:
            ours.add(key)
            everywhere.add(key)
    return made


def _refusal(sentence: str) -> tuple[str, str]:
    return TOO_MANY, f"{sentence}; older JobQueues keep theirs. JobQueues whose Secrets have the same URL share one."
