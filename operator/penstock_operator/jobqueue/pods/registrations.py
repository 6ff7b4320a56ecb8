"""Finds pods that are registered in a database other than the sampled one.

A pod is Ready while its worker holds a lease in some database. One that stays Ready and is not among the workers of the
database that is sampled has its lease elsewhere: the Secret leads to another database by now, the operator's Secret
leads to another one than the workers', or one of them is a restored copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ...resources.resource import Pod

GRACE_SECONDS: Final = 20.0
"""A pod may be Ready for so long before its registration is seen: sample and pod status are not of one moment."""
_SHOWN: Final = 3


class Registrations:
    """Since when each pod of a JobQueue is Ready without a worker in the sampled database."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self.pending = False
        """True if a pod is within its grace: time alone may change the answer."""

    def observe(
        self, pods: Sequence[Pod], workers: Sequence[Mapping[str, Any]] | None, now: float
    ) -> tuple[str, str] | None:
        """Reason and sentence if Ready pods serve another database.

        Args:
            pods: of the JobQueue.
            workers: of its queue in the database; None where it could not be sampled, and then nothing is known.
            now: monotonic seconds.
        """
        if workers is None:
            self._since.clear()
            self.pending = False
            return None
        registered = {one.get("pod") for one in workers}
        absent = {pod.uid: pod for pod in pods if pod.ready and not pod.terminating and pod.name not in registered}
        self._since = {uid: self._since.get(uid, now) for uid in absent}
        elsewhere = [absent[uid].name for uid, since in self._since.items() if now - since >= GRACE_SECONDS]
        self.pending = len(elsewhere) < len(absent)
        return ("WrongDatabase", _sentence(sorted(elsewhere))) if elsewhere else None


def _sentence(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    what = f"Pods {shown} are Ready, but have no workers"
    if len(names) == 1:
        what = f"Pod {shown} is Ready, but has no worker"
    return (
        f"{what} of this queue in the database that the operator samples: the URLs of databaseRef lead to different "
        "databases, the pods started with another URL, or their command serves another queue; compare the Secrets, "
        "then restart the pods by a rollout"
    )
