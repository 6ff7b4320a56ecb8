"""The watches: kopf observes objects and feeds the cache. The only kopf import.

Must not decide or write anything: no create, update, timer or daemon handlers, hence no finalizers and no annotations
of ours on users' objects. Events are hints; the supervisor's list finds what a gap in a watch missed.

Failed requests are retried forever, each watch by itself: a namespace without rights, or an API server that is away,
ends no watch. kopf would give up after nine attempts and stop all watches.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, Final

import aiohttp
import kopf

from ..resources.large_objects import decode_jobqueue_list
from ..resources.resource import JOBQUEUE_LABEL
from ..settings import OperatorSettings
from .api_access import ApiAccess
from .cache import Cache
from .list_decoder import PAGE
from .partial_decoder import decode_workload_list as decode_workloads
from .watch_health import SILENT_SECONDS, STREAM_SECONDS, WatchHealth

OWN: Final = ("pods", "deployments")
"""Kinds of which only those with our label are watched, chosen by the API server."""
RETRY_SECONDS: Final = (0.5, 1.0, 2.0, 5.0)
"""Pauses between attempts of a request; the last one for ever after."""
LOGIN_SECONDS: Final = 5.0
"""Between two logins: a token that is refused is not presented in a loop."""


WATCHING: Final = ("multidimensional multitasker", "watcher for ")
"""Names of kopf's tasks without which a resource is not watched."""
QUIET: Final = {
    "kopf.objects": logging.WARNING,
    "kopf._core.reactor.running": logging.ERROR,  # that signals are not its business, which is right
    "kopf._core.reactor.observation": logging.CRITICAL,  # each attempt that failed; we say once what is not watched
    "kopf._cogs.clients.watching": logging.CRITICAL,
}


class Forever:
    """Pauses between attempts that never end; kopf reads them once for each request."""

    def __iter__(self) -> Iterator[float]:
        yield from RETRY_SECONDS
        while True:
            yield RETRY_SECONDS[-1]


class KopfRun:
    """One run of all watches after another; call it with the event that stops it.

    Args:
        cache: fed through `there`.
        there: `there(call)` makes the call in the cache's event loop.
        settings: whose namespaces are watched.
        access: how to reach the API server.
        health: records every request.
    """

    def __init__(
        self,
        *,
        cache: Cache,
        there: Callable[..., Any],
        settings: OperatorSettings,
        access: Callable[[], ApiAccess],
        health: WatchHealth,
    ) -> None:
        self._cache, self._there, self._settings = cache, there, settings
        self._access, self._health = access, health
        self._logged_in_at = float("-inf")
        self._tasks: set[str] = set()

    def lost(self) -> str | None:
        """None, or a task of kopf's that has ended while kopf goes on: it may never end, nor say so."""
        names = {task.get_name() for task in asyncio.all_tasks()}
        found = {name for name in names if name.startswith(WATCHING)}
        ended = self._tasks - found
        self._tasks |= found
        return f"kopf's {min(ended)} has ended" if ended else None

    async def __call__(self, stop: asyncio.Event) -> None:
        """Watch until the event is set, or until an error that kopf does not survive."""
        self._tasks.clear()
        await kopf.operator(
            registry=registry(self._cache, self._there, self._login),
            settings=kopf_settings(),
            standalone=True,
            # Without a name kopf looks up its user, and a container's has no passwd entry.
            identity=_identity(self._settings.pod_name),
            clusterwide=self._settings.everywhere,
            namespaces=() if self._settings.everywhere else self._settings.watch_namespaces,
            # One of this loop: for a threading.Event kopf blocks a thread, and the loop's end waits for it.
            stop_flag=stop,
        )

    async def _login(self, **_: Any) -> kopf.AiohttpSession:
        """A session with the credentials as they are now; called again when they are refused."""
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, min(LOGIN_SECONDS, self._logged_in_at + LOGIN_SECONDS - now)))
        self._logged_in_at = asyncio.get_running_loop().time()
        access = self._access()
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=access.tls if access.tls is not None else True),
            headers={**access.headers, "User-Agent": f"penstock-operator/{self._settings.pod_name}"},
            trace_configs=[tracing(self._health)],
            response_class=SparingResponse,
        )
        return kopf.AiohttpSession(server=access.server, aiohttp_session=session)


class SparingResponse(aiohttp.ClientResponse):
    """One whose lists are decoded without what is too large or not read; kopf would decode all of it at once."""

    async def json(self, **options: Any) -> Any:
        """The body."""
        if self.ok and self.url.path.endswith("/jobqueues"):
            return decode_jobqueue_list(await self.read())
        if self.ok and self.url.path.endswith(("/pods", "/deployments")):
            found = decode_workloads(await self.read())
            if found is not None:
                return found
        return await super().json(**options)


def tracing(health: WatchHealth) -> aiohttp.TraceConfig:
    """Has the requests of a session reported to `health`."""
    made = aiohttp.TraceConfig()

    async def asked(_: aiohttp.ClientSession, __: SimpleNamespace, sent: aiohttp.TraceRequestStartParams) -> None:
        health.asked(str(sent.url))

    async def answered(_: aiohttp.ClientSession, __: SimpleNamespace, came: aiohttp.TraceRequestEndParams) -> None:
        health.answered(str(came.url), came.response.status)

    async def failed(_: aiohttp.ClientSession, __: SimpleNamespace, lost: aiohttp.TraceRequestExceptionParams) -> None:
        if not isinstance(lost.exception, asyncio.CancelledError):
            health.failed(str(lost.url), f"the API server did not answer ({type(lost.exception).__name__})")

    made.on_request_start.append(asked)
    made.on_request_end.append(answered)
    made.on_request_exception.append(failed)
    return made


def _identity(pod_name: str) -> Any:
    return pod_name


def registry(cache: Cache, there: Callable[..., Any], login: Callable[..., Any]) -> kopf.OperatorRegistry:
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
    kopf.on.login(registry=made, id="login")(login)
    return made


def kopf_settings() -> kopf.OperatorSettings:
    """Kopf as we want it: no scanning, no peering, no events of its own, no word for every event."""
    made = kopf.OperatorSettings()
    made.scanning.disabled = True  # else roles in one namespace see nothing for a minute
    made.peering.standalone = True
    made.posting.enabled = False
    made.queueing.idle_timeout = 0.5  # tasks that still wait for events delay the exit of the process
    made.queueing.exit_timeout = 0.5
    made.networking.request_timeout = 15
    made.networking.connect_timeout = 5
    made.networking.error_backoffs = Forever()
    made.process.ultimate_exiting_timeout = None  # it would kill the process ten minutes after a run has ended
    made.watching.server_timeout = STREAM_SECONDS
    made.watching.chunk_size = PAGE
    made.watching.inactivity_timeout = SILENT_SECONDS
    for kind in OWN:
        made.watching.label_selectors[kind] = JOBQUEUE_LABEL
    for name, level in QUIET.items():
        logging.getLogger(name).setLevel(level)
    return made


def _is_news(record: logging.LogRecord) -> bool:
    """False for what kopf says at every start of a thread like ours: the process handles the signals itself."""
    return not str(record.msg).startswith("OS signals are ignored")
