"""The watches: kopf sees that objects change and feeds the cache. The only kopf import.

Must not decide or write anything: no create, update, timer or daemon handlers, hence no finalizers and no annotations
of ours on users' objects. Events are hints; what a watch gap swallows is found by the supervisor's list.

Surprising: kopf runs in a thread and an event loop of its own. At its end it cancels every task that was begun after
it, whoever began it; and a long list decoded there must not delay a decision here.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import kopf

from .cache import Cache
from .resource import JOBQUEUE_LABEL
from .settings import OperatorSettings

OWN: Final = ("pods", "deployments")
"""Kinds of which only those with our label are watched, chosen by the API server."""
STOP_SECONDS: Final = 10.0


class Watches:
    """kopf's thread.

    Args:
        cache: fed in the event loop that calls `start`.
        settings: whose namespaces are watched.
    """

    def __init__(self, *, cache: Cache, settings: OperatorSettings) -> None:
        self._cache, self._settings = cache, settings
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="penstock-watches", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Future[BaseException | None] | None = None

    def start(self) -> asyncio.Future[BaseException | None]:
        """Begin to watch; the future is done when watching has ended, with the error that ended it."""
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self._thread.start()
        return self._ended

    async def stop(self) -> None:
        """End the watches; waits ten seconds for kopf to put them down."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join, STOP_SECONDS)

    def _run(self) -> None:
        assert self._loop is not None
        error: BaseException | None = None
        try:
            asyncio.run(
                kopf.operator(
                    registry=registry(self._cache, self._loop.call_soon_threadsafe),
                    settings=kopf_settings(),
                    standalone=True,
                    identity=_identity(self._settings.pod_name),
                    clusterwide=self._settings.everywhere,
                    namespaces=() if self._settings.everywhere else self._settings.watch_namespaces,
                    stop_flag=self._stop,
                )
            )
        except BaseException as raised:  # noqa: BLE001 - told in the other thread, where somebody listens
            error = raised
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell, error)

    def _tell(self, error: BaseException | None) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(error)


def _identity(pod_name: str) -> Any:
    """Kopf's name for this process. Without one it looks up its user, and a container's user has no passwd entry."""
    return pod_name


def registry(cache: Cache, there: Callable[..., Any]) -> kopf.OperatorRegistry:
    """Kopf's handlers, feeding that cache; `there(call, …)` makes the call in the cache's event loop."""
    made = kopf.OperatorRegistry()
    shelves = {
        ("penstock.dev", "v1alpha1", "jobqueues"): cache.jobqueues,
        ("apps", "v1", "deployments"): cache.deployments,
        ("", "v1", "pods"): cache.pods,
    }
    for resource, shelf in shelves.items():

        async def observe(event: Mapping[str, Any], *, shelf: Any = shelf, **_: Any) -> None:
            gone = event["type"] == "DELETED"
            there(lambda: shelf.observe(event["object"], gone=gone))

        kopf.on.event(*resource, registry=made, id=f"observe-{resource[2]}")(observe)

    @kopf.on.login(registry=made)
    def login(**kwargs: Any) -> Any:
        """The pod's service account, else the kubeconfig; both read again when the token is refused."""
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    return made


def kopf_settings() -> kopf.OperatorSettings:
    """Kopf as we want it: no scanning, no peering, no events of its own, no word for every event."""
    made = kopf.OperatorSettings()
    made.scanning.disabled = True  # else roles in one namespace see nothing for a minute
    made.peering.standalone = True
    made.posting.enabled = False
    made.queueing.idle_timeout = 0.5  # what still waits for events holds up the end of the process
    made.queueing.exit_timeout = 0.5
    made.networking.request_timeout = 15
    made.networking.connect_timeout = 5
    made.watching.server_timeout = 300
    made.watching.inactivity_timeout = 330
    for kind in OWN:
        made.watching.label_selectors[kind] = JOBQUEUE_LABEL
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    return made
