"""The objects that the API server reported last, by uid.

Owns the views and which JobQueue a change wakes. Must not call anything. Events are hints; a list is authoritative and
removes the objects that it lacks, unless they appeared while it was being read. An event older than the view changes
nothing.

Our own writes pass through `observe` too, with the API server's answer: the next decision sees them before the watch
reports them.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ..resources.child_object import ChildObject
from ..resources.resource import CHILD_SUFFIX, Deployment, JobQueue, Pod

ObjectView = TypeVar("ObjectView", JobQueue, Deployment, Pod, ChildObject)


@dataclass(slots=True)
class ObjectStore(Generic[ObjectView]):
    """The views of one kind.

    Args:
        read: makes a view of an API object.
        matters: whether a change from one view to the next is worth a reconciliation.
        changed: called with the view when one is added or removed, or changes in a field that matters.
        key: a namespace and a name by which views are found together.
    """

    read: Callable[[Mapping[str, Any]], ObjectView]
    matters: Callable[[ObjectView, ObjectView], bool]
    changed: Callable[[ObjectView], None]
    key: Callable[[ObjectView], tuple[str, str]]
    views: dict[str, ObjectView] = field(default_factory=dict)
    _by_key: dict[tuple[str, str], dict[str, ObjectView]] = field(default_factory=dict)
    _touched: set[str] | None = None

    def found(self, namespace: str, name: str) -> list[ObjectView]:
        """The views of that key."""
        return list(self._by_key.get((namespace, name), {}).values())

    def observe(self, found: Mapping[str, Any], *, gone: bool = False) -> None:
        """Record one object from an event or an answer."""
        uid = found["metadata"]["uid"]
        if self._touched is not None:
            self._touched.add(uid)
        known = self.views.get(uid)
        if gone:
            self.gone(uid)
            return
        if known is not None and not newer(found["metadata"]["resourceVersion"], known.resource_version):
            return
        if known is not None:
            self._unfile(known)
        view = self.views[uid] = self.read(found)
        self._by_key.setdefault(self.key(view), {})[uid] = view
        if known is None or self.matters(known, view):
            self.changed(view)

    def holds(self, uid: str, version: str) -> bool:
        """Return True if the view of that object is of that very version; may be asked in any thread."""
        known = self.views.get(uid)
        return known is not None and known.resource_version == version

    def gone(self, uid: str) -> None:
        """Remove an object that was deleted."""
        if (view := self.views.get(uid)) is not None:
            self._remove(view)

    def listing(self) -> None:
        """Mark the start of a list; changes from now on may be newer than it."""
        self._touched = set()

    def replace(self, listed: Iterable[Mapping[str, Any]], *, spare: Container[str] = ()) -> None:
        """Replace the views by a whole list, except for objects that changed since `listing`.

        Args:
            listed: all objects; of a view in exactly that version only uid and version.
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

    def _remove(self, view: ObjectView) -> None:
        del self.views[view.uid]
        self._unfile(view)
        self.changed(view)

    def _unfile(self, view: ObjectView) -> None:
        """Its key may be another by the next view: a label was edited."""
        together = self._by_key[self.key(view)]
        del together[view.uid]
        if not together:
            del self._by_key[self.key(view)]


def newer(version: str, known: str) -> bool:
    """Return True if a resource version is later than another; what is not a number counts as later if it differs."""
    if version.isdigit() and known.isdigit():
        return int(version) > int(known)
    return version != known


class Cache:
    """The kinds that the operator reads; `others` are those that are listed and not watched.

    Args:
        changed: called with namespace and name of a JobQueue when it or one of its objects changes.
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
        self.others: dict[str, ObjectStore[ChildObject]] = {
            kind: ObjectStore(
                ChildObject.read,
                lambda old, new: _identity(old) != _identity(new),
                lambda view: changed(view.namespace, view.jobqueue),
                lambda view: (view.namespace, view.jobqueue),
            )
            for kind in ("PodDisruptionBudget", "PodMonitor")
        }

    def deployment_of(self, queue: JobQueue) -> Deployment | None:
        """The Deployment with the name of the JobQueue's Deployment, whether it is ours or not."""
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

    def unowned_pods_of(self, queue: JobQueue) -> list[str]:
        """Names of the pods that carry the JobQueue's label and are not its Deployment's, in order."""
        found = self.pods.found(queue.namespace, queue.name)
        return sorted(pod.name for pod in found if not pod.terminating and not _of_deployment(pod, queue.child))

    def _own_pods(self, queue: JobQueue) -> list[Pod]:
        """Anybody can copy a label; a replica set that scales down counts only what it controls."""
        found = self.pods.found(queue.namespace, queue.name)
        return [pod for pod in found if _of_deployment(pod, queue.child)]


def _of_deployment(pod: Pod, deployment: str) -> bool:
    """True if a replica set of that Deployment controls the pod: such are named after it and a hash without a dash."""
    name, _, template_hash = pod.replica_set_name.rpartition("-")
    return name == deployment and bool(template_hash)


def _condition(one: Pod) -> tuple[object, ...]:
    state = (one.ready, one.terminating, one.finished, one.problem, one.unreachable, one.last_exit, one.killed_at)
    return (*state, one.replica_set_name)


def _essence(one: Deployment) -> tuple[object, ...]:
    shown = (one.replicas, one.existing, one.ready, one.updated, one.failure, one.rolling, one.observed, one.blocked)
    return (*shown, one.meta.scaler, *_identity(one))


def _identity(one: Deployment | ChildObject) -> tuple[object, ...]:
    """Its spec, and what says whose it is."""
    return (one.meta.generation, one.meta.labels, one.meta.annotations, one.meta.owners)
