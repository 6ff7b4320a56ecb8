"""A small asynchronous client of the API server for the harness: plain REST and one list-and-watch.

Owns: the connection pool and the watch's reconnection. Must not be used by what is tested, only by what tests it.

After every list `follow` yields one `LISTED` event with all objects, because objects that were deleted while the watch
was disconnected are never reported: only their absence from a list shows it. Closing cuts sockets: an aborted TLS
connection waits for the server's close message, for longer than the event loop may live.
"""

import asyncio
import contextlib
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from tests.support.api_client import ApiError

STRATEGIC_MERGE = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
CLOSING_SECONDS = 10.0


class KubeApi:
    """An asynchronous context manager around one HTTP session.

    Args:
        url: of the API server.
        token: bearer token.
        ca_file: certificate to trust.
    """

    def __init__(self, *, url: str, token: str, ca_file: Path) -> None:
        self._url = url
        self._token = token
        self._ssl = ssl.create_default_context(cafile=str(ca_file))
        self._session: aiohttp.ClientSession | None = None
        self._sockets: list[socket.socket] = []

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self._token}"}
        connector = aiohttp.TCPConnector(ssl=self._ssl, limit=64, socket_factory=self._socket)
        self._session = aiohttp.ClientSession(self._url, headers=headers, connector=connector)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()
        self._session = None
        await self._cut()

    def _socket(self, where: Any) -> socket.socket:
        family, kind, protocol, *_ = where
        made = socket.socket(family, kind, protocol)
        self._sockets = [*(one for one in self._sockets if one.fileno() != -1), made]
        return made

    async def _cut(self) -> None:
        """End every connection that a cancelled request or watch has left closing, and see it closed."""
        deadline = time.monotonic() + CLOSING_SECONDS
        while left := [one for one in self._sockets if one.fileno() != -1]:
            for one in left:
                with contextlib.suppress(OSError):  # it has ended meanwhile
                    one.shutdown(socket.SHUT_RDWR)
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(left)} connections to the API server do not close")
            await asyncio.sleep(0.005)

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Any:
        """One request and its decoded answer.

        Raises:
            ApiError: the server refused.
        """
        assert self._session is not None
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type}
        timeout = aiohttp.ClientTimeout(total=30)
        async with self._session.request(
            method, path, data=data, params=params, headers=headers, timeout=timeout
        ) as answer:
            read = await answer.read()
            if answer.status >= 400:
                raise ApiError(answer.status, read)
            return json.loads(read)

    async def insist(self, method: str, path: str, body: Any = None) -> Any:
        """As `request`, and again for as long as the server cannot be reached, asks to retry later or fails.

        Raises:
            ApiError: the server refused.
        """
        while True:
            try:
                return await self.request(method, path, body)
            except ApiError as error:
                if error.status != 429 and error.status < 500:
                    raise
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.05)

    async def follow(self, path: str, **params: str) -> AsyncIterator[tuple[str, Any]]:
        """Yield `("LISTED", [objects])` at first and after every gap, and each watch event in between; never ends."""
        while True:
            try:
                listed = await self.request("GET", path, params=params)
                yield "LISTED", listed["items"]
                async for event in self._watch(
                    path, {**params, "resourceVersion": listed["metadata"]["resourceVersion"]}
                ):
                    yield event
            except (aiohttp.ClientError, TimeoutError, ApiError):
                await asyncio.sleep(0.05)

    async def _watch(self, path: str, params: Mapping[str, str]) -> AsyncIterator[tuple[str, Any]]:
        assert self._session is not None
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
        asked = {**params, "watch": "1", "allowWatchBookmarks": "false"}
        async with self._session.get(path, params=asked, timeout=timeout) as answer:
            if answer.status >= 400:
                raise ApiError(answer.status, await answer.read())
            pending = b""
            # readline() of the stream has a limit that a large object exceeds, so lines are cut here.
            async for chunk in answer.content.iter_any():
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    if event["type"] == "ERROR":  # mostly 410 Gone: list again
                        return
                    yield event["type"], event["object"]
