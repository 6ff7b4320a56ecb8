"""A synchronous client of the API server for tests: one request, one decoded answer, no cache and no model classes.

Must not be used by what is tested. `kube_api.py` is its asynchronous sibling for the process-backed pods. Connections
are kept: tests ask again every 20 ms, and a TLS handshake for each question cost the server and the test 10 ms of CPU.
"""

import functools
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
_ONCE_MORE = urllib3.Retry(
    1, connect=0, other=0, redirect=0, status=0, allowed_methods={"GET"}, respect_retry_after_header=False
)


class ApiError(Exception):
    """The API server's refusal: `status` is the HTTP code, `message` its own words."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        try:
            self.message = str(json.loads(body)["message"])
        except (ValueError, KeyError, TypeError):
            self.message = body.decode(errors="replace")[:500]
        super().__init__(f"{status}: {self.message}")


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
        # What writes gets a connection of its own, for a kept one may have been closed by the server meanwhile. What
        # only reads is then sent again.
        kept = method == "GET"
        connections = _kept(context) if kept else urllib3.PoolManager(ssl_context=context, timeout=60)
        try:
            answer = connections.request(method, self.url + path, body=data, headers=headers, retries=_ONCE_MORE)
        except urllib3.exceptions.HTTPError as error:
            raise OSError(f"{method} {path}: {error}") from error
        finally:
            if not kept:
                connections.clear()
        if answer.status >= 400:
            raise ApiError(answer.status, answer.data)
        return answer.data

    def apply(self, path: str, body: Any, *, manager: str = "test") -> Any:
        """Server-side apply of one object at its own path, taking over fields of other managers."""
        return self.request("PATCH", f"{path}?fieldManager={manager}&force=true", body, content_type=APPLY)


@functools.cache
def _context(ca_file: Path, version: int) -> ssl.SSLContext:
    """Trusts the file as it was when it was written last."""
    del version
    return ssl.create_default_context(cafile=str(ca_file))


@functools.cache
def _kept(context: ssl.SSLContext | None) -> urllib3.PoolManager:
    return urllib3.PoolManager(ssl_context=context, timeout=60)
