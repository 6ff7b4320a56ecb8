"""What the cluster last said, by uid. Events are hints; a list is the truth and removes what it does not hold.

Owns the views and whom to wake. Must not call anything. An event older than what is held changes nothing; an object
that a list does not hold is gone, even if no event ever said so.

Surprising: our own writes go through `observe` too, with the API server's answer, so that the next decision sees them
before the watch does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from .resource import Deployment, JobQueue, Pod

View = TypeVar("View", JobQueue, Deployment, Pod)


@dataclass(slots=True)
class Shelf(Generic[View]):
    """The views of one kind.

    Args:
        read: makes a view of an API object.
        matters: whether a change from one view to the next is worth a reconciliation.
        changed: told the view whenever one comes, goes or changes so that it matters.
    """

    read: Callable[[Mapping[str, Any]], View]
    matters: Callable[[View, View], bool]
    changed: Callable[[View], None]
    views: dict[str, View] = field(default_factory=dict)

    def observe(self, found: Mapping[str, Any], *, gone: bool = False) -> None:
        """Take note of one object as an event or an answer shows it."""
        uid = found["metadata"]["uid"]
        held = self.views.get(uid)
        if gone:
            if held is not None:
                del self.views[uid]
                self.changed(held)
            return
        if held is not None and not newer(found["metadata"]["resourceVersion"], held.resource_version):
            return
        view = self.views[uid] = self.read(found)
        if held is None or self.matters(held, view):
            self.changed(view)

    def replace(self, listed: Iterable[Mapping[str, Any]]) -> None:
        """Take a whole list for the truth."""
        kept = set()
        for found in listed:
            kept.add(found["metadata"]["uid"])
            self.observe(found)
        for uid in self.views.keys() - kept:
            self.changed(self.views.pop(uid))


def newer(version: str, held: str) -> bool:
    """Whether a resource version is later than another; what is not a number counts as later if it differs."""
    if version.isdigit() and held.isdigit():
        return int(version) > int(held)
    return version != held


class Cache:
    """The three kinds that the operator looks at.

    Args:
        changed: told the namespace and name of a JobQueue whenever something about it or its children changes.
    """

    def __init__(self, changed: Callable[[str, str], None]) -> None:
        self.jobqueues: Shelf[JobQueue] = Shelf(
            JobQueue.read,
            # Writing our own status must not wake us.
            lambda old, new: (old.generation, old.deleting) != (new.generation, new.deleting),
            lambda view: changed(view.namespace, view.name),
        )
        self.deployments: Shelf[Deployment] = Shelf(
            Deployment.read,
            lambda old, new: _essence(old) != _essence(new),
            lambda view: changed(view.namespace, view.name.removesuffix("-worker")),
        )
        self.pods: Shelf[Pod] = Shelf(
            Pod.read,
            lambda old, new: (old.ready, old.terminating, old.problem) != (new.ready, new.terminating, new.problem),
            lambda view: changed(view.namespace, view.jobqueue),
        )

    def deployment_of(self, queue: JobQueue) -> Deployment | None:
        """The Deployment with the JobQueue's child's name, whoever owns it."""
        return next(
            (
                one
                for one in self.deployments.views.values()
                if (one.namespace, one.name) == (queue.namespace, queue.child)
            ),
            None,
        )

    def pods_of(self, queue: JobQueue) -> list[Pod]:
        """The worker pods that are not on their way out, oldest first."""
        found = [
            pod
            for pod in self.pods.views.values()
            if (pod.namespace, pod.jobqueue) == (queue.namespace, queue.name) and not pod.terminating
        ]
        return sorted(found, key=lambda pod: (pod.created, pod.name))


def _essence(one: Deployment) -> tuple[object, ...]:
    return (one.generation, one.replicas, one.existing, one.ready, one.rolling, one.failure, one.owner)
