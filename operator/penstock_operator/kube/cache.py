"""What the cluster last said, by uid. Events are hints; a list is the truth and removes what it does not hold.

Owns the views and whom to wake. Must not call anything. An event older than what is held changes nothing; an object
that a list does not hold is gone, even if no event ever said so, unless it came while the list was under way.

Surprising: our own writes go through `observe` too, with the API server's answer, so that the next decision sees them
before the watch does.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ..resources.child_object import Child
from ..resources.resource import CHILD_SUFFIX, Deployment, JobQueue, Pod

View = TypeVar("View", JobQueue, Deployment, Pod, Child)


@dataclass(slots=True)
class ObjectStore(Generic[View]):
    """The views of one kind.

    Args:
        read: makes a view of an API object.
        matters: whether a change from one view to the next is worth a reconciliation.
        changed: told the view whenever one comes, goes or changes so that it matters.
        key: a namespace and a name by which views are found together.
    """

    read: Callable[[Mapping[str, Any]], View]
    matters: Callable[[View, View], bool]
    changed: Callable[[View], None]
    key: Callable[[View], tuple[str, str]]
    views: dict[str, View] = field(default_factory=dict)
    _by_key: dict[tuple[str, str], dict[str, View]] = field(default_factory=dict)
    _touched: set[str] | None = None

    def found(self, namespace: str, name: str) -> list[View]:
        """The views of that key."""
        return list(self._by_key.get((namespace, name), {}).values())

    def observe(self, found: Mapping[str, Any], *, gone: bool = False) -> None:
        """Take note of one object as an event or an answer shows it."""
        uid = found["metadata"]["uid"]
        if self._touched is not None:
            self._touched.add(uid)
        held = self.views.get(uid)
        if gone:
            self.gone(uid)
            return
        if held is not None and not newer(found["metadata"]["resourceVersion"], held.resource_version):
            return
        if held is not None:
            self._unfile(held)
        view = self.views[uid] = self.read(found)
        self._by_key.setdefault(self.key(view), {})[uid] = view
        if held is None or self.matters(held, view):
            self.changed(view)

    def holds(self, uid: str, version: str) -> bool:
        """Whether the view of that object is of that very version; may be asked in any thread."""
        held = self.views.get(uid)
        return held is not None and held.resource_version == version

    def gone(self, uid: str) -> None:
        """The API server does not know it any more."""
        if (held := self.views.get(uid)) is not None:
            self._remove(held)

    def listing(self) -> None:
        """A list is about to be asked for; what happens from now on may be newer than it."""
        self._touched = set()

    def replace(self, listed: Iterable[Mapping[str, Any]], *, spare: Container[str] = ()) -> None:
        """Take a whole list for the truth, but for what has come or gone since `listing`.

        Args:
            listed: all objects; of one that was held in just that version no more than uid and version.
            spare: namespaces that could not be listed.
        """
        since, self._touched = self._touched or set(), None
        kept = set()
        for found in listed:
            uid = found["metadata"]["uid"]
            kept.add(uid)
            if len(found) > 1 and (uid in self.views or uid not in since):
                self.observe(found)
        for uid in self.views.keys() - kept - since:
            if self.views[uid].namespace not in spare:
                self._remove(self.views[uid])

    def _remove(self, view: View) -> None:
        del self.views[view.uid]
        self._unfile(view)
        self.changed(view)

    def _unfile(self, view: View) -> None:
        """Its key may be another by the next view: a label was edited."""
        together = self._by_key[self.key(view)]
        del together[view.uid]
        if not together:
            del self._by_key[self.key(view)]


def newer(version: str, held: str) -> bool:
    """Whether a resource version is later than another; what is not a number counts as later if it differs."""
    if version.isdigit() and held.isdigit():
        return int(version) > int(held)
    return version != held


class Cache:
    """The kinds that the operator reads; `others` are those that are listed and not watched.

    Args:
        changed: told the namespace and name of a JobQueue whenever something about it or its children changes.
    """

    def __init__(self, changed: Callable[[str, str], None]) -> None:
        self.jobqueues: ObjectStore[JobQueue] = ObjectStore(
            JobQueue.read,
            # Writing our own status must not wake us.
            lambda old, new: (old.generation, old.deleting) != (new.generation, new.deleting),
            lambda view: changed(view.namespace, view.name),
            lambda view: (view.namespace, view.name),
        )
        self.deployments: ObjectStore[Deployment] = ObjectStore(
            Deployment.read,
            lambda old, new: _essence(old) != _essence(new),
            lambda view: changed(view.namespace, view.name.removesuffix(CHILD_SUFFIX)),
            lambda view: (view.namespace, view.name),
        )
        self.pods: ObjectStore[Pod] = ObjectStore(
            Pod.read,
            lambda old, new: _condition(old) != _condition(new),
            lambda view: changed(view.namespace, view.jobqueue),
            lambda view: (view.namespace, view.jobqueue),
        )
        self.others: dict[str, ObjectStore[Child]] = {
            kind: ObjectStore(
                Child.read,
                lambda old, new: _identity(old) != _identity(new),
                lambda view: changed(view.namespace, view.jobqueue),
                lambda view: (view.namespace, view.jobqueue),
            )
            for kind in ("PodDisruptionBudget", "PodMonitor")
        }

    def deployment_of(self, queue: JobQueue) -> Deployment | None:
        """The Deployment with the JobQueue's child's name, whoever owns it."""
        return next(iter(self.deployments.found(queue.namespace, queue.child)), None)

    def pods_of(self, queue: JobQueue) -> list[Pod]:
        """The worker pods that are not on their way out, oldest first."""
        found = [pod for pod in self._own_pods(queue) if not pod.terminating]
        return sorted(found, key=lambda pod: (pod.created, pod.name))

    def stopping_of(self, queue: JobQueue) -> set[str]:
        """Names of its pods that are being deleted, or that have ended."""
        return {pod.name for pod in self._own_pods(queue) if pod.terminating}

    def gone_pods_of(self, queue: JobQueue) -> list[Pod]:
        """The worker pods that have ended or are on their way out, while the cluster still lists them."""
        return [pod for pod in self._own_pods(queue) if pod.terminating]

    def foreign_pods_of(self, queue: JobQueue) -> list[str]:
        """Names of the pods that carry the JobQueue's label and are not its Deployment's, in order."""
        found = self.pods.found(queue.namespace, queue.name)
        return sorted(pod.name for pod in found if not pod.terminating and not _of_deployment(pod, queue.child))

    def _own_pods(self, queue: JobQueue) -> list[Pod]:
        """Anybody can copy a label; a replica set that scales down counts only what it controls."""
        found = self.pods.found(queue.namespace, queue.name)
        return [pod for pod in found if _of_deployment(pod, queue.child)]


def _of_deployment(pod: Pod, deployment: str) -> bool:
    """Whether a replica set of that Deployment controls the pod: such are named after it and a hash without a dash."""
    name, _, template_hash = pod.replica_set_name.rpartition("-")
    return name == deployment and bool(template_hash)


def _condition(one: Pod) -> tuple[object, ...]:
    state = (one.ready, one.terminating, one.finished, one.problem, one.unreachable, one.last_end, one.killed_at)
    return (*state, one.replica_set_name)


def _essence(one: Deployment) -> tuple[object, ...]:
    shown = (one.replicas, one.existing, one.ready, one.updated, one.failure, one.rolling, one.observed, one.blocked)
    return (*shown, one.meta.scaler, *_identity(one))


def _identity(one: Deployment | Child) -> tuple[object, ...]:
    """Its spec, and what says whose it is."""
    return (one.meta.generation, one.meta.labels, one.meta.annotations, one.meta.owners)
