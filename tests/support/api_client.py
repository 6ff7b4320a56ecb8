"""A synchronous client of the API server for tests: one request, one decoded answer, no cache and no model classes.

Must not be used by what is tested. `kube_api.py` is its asynchronous sibling for the process-backed pods. Connections
are kept: tests ask again every 20 ms, and a TLS handshake for each question cost the server and the test 10 ms of CPU.
"""

import contextlib
import functools
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"


class ApiError(Exception):
    """The API server's refusal: `status` is the HTTP code, `message` its own words."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        try:
            self.message = str(json.loads(body)["message"])
        except (ValueError, KeyError, TypeError):
            self.message = body.decode(errors="replace")[:500]
        super().__init__(f"{status}: {self.message}")


class _ConnectionLostError(OSError):
    """The server closed the connection instead of answering."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiClient:
    """Speaks with the rights of one token.

    Args:
        url: of the API server.
        ca_file: certificate to trust; None for plain HTTP, as `kubectl proxy` serves.
        token: bearer token.
    """

    url: str
    ca_file: Path | None
    token: str

    def request(self, method: str, path: str, body: Any = None, *, content_type: str = "application/json") -> Any:
        """One request and its decoded answer; a body is sent as JSON whatever the content type.

        Raises:
            ApiError: the server refused.
            OSError: it could not be reached within 60 s.
        """
        data = None if body is None else json.dumps(body).encode()
        return json.loads(self.read(method, path, data, content_type))

    def read(self, method: str, path: str, data: bytes | None = None, content_type: str = "application/json") -> bytes:
        """The answer's body as it came.

        Raises:
            ApiError: the server refused.
            OSError: it could not be reached within 60 s.
        """
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": content_type}
        context = _context(self.ca_file, self.ca_file.stat().st_mtime_ns) if self.ca_file else None
        if method == "GET":
            with contextlib.suppress(_ConnectionLostError):  # the server may have closed a kept one meanwhile
                return _answer(_kept(context), method, self.url + path, None, headers)
        with urllib3.PoolManager(ssl_context=context, timeout=60) as connections:
            return _answer(connections, method, self.url + path, data, headers)

    def apply(self, path: str, body: Any, *, manager: str = "test") -> Any:
        """Server-side apply of one object at its own path, taking over fields of other managers."""
        return self.request("PATCH", f"{path}?fieldManager={manager}&force=true", body, content_type=APPLY)


def _answer(
    connections: urllib3.PoolManager, method: str, url: str, data: bytes | None, headers: dict[str, str]
) -> bytes:
    try:
        answer = connections.request(method, url, body=data, headers=headers, retries=False)
    except urllib3.exceptions.ProtocolError as error:
        raise _ConnectionLostError(f"{method} {url}: {error}") from error
    except urllib3.exceptions.HTTPError as error:
        raise OSError(f"{method} {url}: {error}") from error
    if answer.status >= 400:
        raise ApiError(answer.status, answer.data)
    return answer.data


@functools.cache
def _context(ca_file: Path, version: int) -> ssl.SSLContext:
    """Trusts the file as it was when it was written last."""
    del version
    return ssl.create_default_context(cafile=str(ca_file))


@functools.cache
def _kept(context: ssl.SSLContext | None) -> urllib3.PoolManager:
    return urllib3.PoolManager(ssl_context=context, timeout=60)
