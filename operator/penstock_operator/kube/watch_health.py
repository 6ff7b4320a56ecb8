"""Records which watches are open, by their requests. Written by one thread, read by others.

A watch is one resource in one namespace (or in all). It is open from the answer 200 to its request until the next
request for it: kopf asks again when a stream ends, and after at most 100 seconds without a byte. So a watch that was
opened longer ago than a stream may last is not open, even if nobody noticed that it was closed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import parse_qs, urlsplit

logger = logging.getLogger("penstock.operator.watches")

RESOURCES: Final = ("jobqueues", "deployments", "pods")
STREAM_SECONDS: Final = 300
"""The API server ends a stream after so long; then it is asked for again."""
SILENT_SECONDS: Final = 100
"""A stream without a byte for so long is given up; the API server sends a bookmark every minute."""
STALE_SECONDS: Final = STREAM_SECONDS + 60.0
ABANDONED_SECONDS: Final = 30.0
"""A watch that is not open and was not asked for in so long is asked for by nobody."""
NEVER_SECONDS: Final = 5.0
"""The same since the last discovery, of one that was never asked for: the API server did not know its resource."""
STUCK_SECONDS: Final = 120.0
_NEVER: Final = "not requested yet"

WatchKey = tuple[str, str]
"""Resource and namespace, `*` for all namespaces."""


@dataclass(frozen=True, slots=True)
class Watch:
    """The state of one watch; times are the clock's, None for never."""

    asked_at: float | None = None
    opened_at: float | None = None
    problem: str | None = _NEVER
    forbidden: bool = False


@dataclass(slots=True, kw_only=True)
class WatchHealth:
    """Of all watches of this process.

    Args:
        namespaces: that are watched; `*` alone for all.
        reopened: called, in the thread that feeds, when a watch is open that was not.
        clock: monotonic seconds.
    """

    namespaces: Sequence[str]
    reopened: Callable[[], object] = lambda: None
    clock: Callable[[], float] = time.monotonic
    ticked_at: float = field(init=False)
    """When the thread of the watches last showed that it lives."""
    discovered_at: float = field(init=False)
    _watches: dict[WatchKey, Watch] = field(init=False)
    _discovery: str | None = None

    def __post_init__(self) -> None:
        self._watches = {(one, namespace): Watch() for one in RESOURCES for namespace in self.namespaces}
        self.ticked_at = self.discovered_at = self.clock()

    def tick(self) -> None:
        """The thread of the watches lives."""
        self.ticked_at = self.clock()

    def restarted(self, problem: str) -> None:
        """Nothing is watched, and all watches start again."""
        self.discovered_at = self.clock()
        for key, watch in self._watches.items():
            self._watches[key] = replace(watch, asked_at=None, opened_at=None, problem=watch.problem or problem)

    # -- requests -------------------------------------------------------------------------------------------------

    def asked(self, url: str) -> None:
        """A request is sent."""
        if (key := self._key(url)) is None:
            self.discovered_at = self.clock()
        else:
            self._watches[key] = replace(self._watches[key], asked_at=self.clock())

    def answered(self, url: str, status: int) -> None:
        """Record the answer; that of a watch has only started."""
        if status >= 400:
            self.failed(url, f"HTTP {status}", forbidden=status == 403)
        elif (key := self._key(url)) is None:
            self._discovery = None
        elif "watch" in parse_qs(urlsplit(url).query):
            before = self._watches[key].problem
            self._watches[key] = replace(self._watches[key], opened_at=self.clock(), problem=None, forbidden=False)
            if before is not None:
                if before != _NEVER:
                    logger.info("watch reopened", extra={"watch": _named(key)})
                self.reopened()

    def failed(self, url: str, problem: str, *, forbidden: bool = False) -> None:
        """It was refused, or not answered."""
        if (key := self._key(url)) is None:
            self._discovery = problem
        else:
            if self._watches[key].problem != problem:
                logger.warning("watch failed, retrying", extra={"watch": _named(key), "error": str(problem)})
            self._watches[key] = replace(self._watches[key], opened_at=None, problem=problem, forbidden=forbidden)

    def _key(self, url: str) -> WatchKey | None:
        """The watch that a request is for; None for discovery."""
        parts = [part for part in urlsplit(url).path.split("/") if part]
        namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts[:-2] else "*"
        found = (parts[-1] if parts else "", namespace)
        return found if found in self._watches else None

    # -- verdicts -------------------------------------------------------------------------------------------------

    def is_open(self, key: WatchKey) -> bool:
        """Return True if that watch is open."""
        opened_at = self._watches[key].opened_at
        return opened_at is not None and self.clock() - opened_at < STALE_SECONDS

    def watching(self, resource: str) -> bool:
        """Return True if the resource is watched in every namespace."""
        return all(self.is_open((resource, namespace)) for namespace in self.namespaces)

    def ready(self) -> str | None:
        """None, or which watch is not open and why. One that is forbidden keeps nobody from serving other namespaces.

        If all namespaces of a resource are forbidden, that is said.
        """
        for resource in RESOURCES:
            closed = [name for name in self.namespaces if not self.is_open((resource, name))]
            allowed = [name for name in closed if not self._watches[resource, name].forbidden]
            named = allowed or (closed if len(closed) == len(self.namespaces) else [])
            if named:
                problem = self._watches[resource, named[0]].problem or "the watch has gone silent"
                more = f" (discovery: {self._discovery})" if self._discovery else ""
                return f"{_named((resource, named[0]))} are not watched: {problem}{more}"
        return None

    def live(self) -> str | None:
        """None, or that the thread of the watches hangs."""
        silent = self.clock() - self.ticked_at
        return f"the watch thread has made no progress for {silent:.0f} s" if silent > STUCK_SECONDS else None

    def abandoned(self) -> str | None:
        """None, or a watch that is not open and that nobody asks for."""
        now = self.clock()
        for (resource, namespace), watch in self._watches.items():
            if self.is_open((resource, namespace)):
                continue
            since = self.discovered_at if watch.asked_at is None else watch.asked_at
            patience = NEVER_SECONDS if watch.asked_at is None else ABANDONED_SECONDS
            if now - since > patience and now - self.discovered_at > NEVER_SECONDS:
                return f"{_named((resource, namespace))} have no watch"
        return None


def _named(key: WatchKey) -> str:
    resource, namespace = key
    return f"{resource} in all namespaces" if namespace == "*" else f"{resource} in namespace {namespace}"
