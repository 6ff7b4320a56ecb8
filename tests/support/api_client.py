"""A synchronous client of the API server for tests: one request, one decoded answer, no cache and no model classes.

Must not be used by what is tested. `kube_api.py` is its asynchronous sibling for the process-backed pods.
"""

import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        context = ssl.create_default_context(cafile=str(self.ca_file)) if self.ca_file else None
        try:
            with urllib.request.urlopen(request, timeout=60, context=context) as answer:
                read: bytes = answer.read()
                return read
        except urllib.error.HTTPError as error:
            with error:  # its connection is closed here, not whenever it is collected
                raise ApiError(error.code, error.read()) from None

    def apply(self, path: str, body: Any, *, manager: str = "test") -> Any:
        """Server-side apply of one object at its own path, taking over fields of other managers."""
        return self.request("PATCH", f"{path}?fieldManager={manager}&force=true", body, content_type=APPLY)
