"""A stub of the service that stores the shop's users. `python -m shop.users_api --port 8081`, or inside a test:

    with UsersApi() as api:                 # 127.0.0.1, a free port
        os.environ["SHOP_USERS"] = api.url

It answers `GET /users/7` with that user as JSON, or 404 above `KNOWN_USERS`. While `busy` is above zero, it counts it
down and answers 503 with a Retry-After header. By default it listens on loopback only.
"""

from __future__ import annotations

import argparse
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

KNOWN_USERS = 10_000
RETRY_AFTER_SECONDS = 1


class UsersApi:
    """Serves users in a thread of its own.

    Attributes:
        asked: how often each path was asked for.
        busy: answers yet to come that refuse for now.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.asked: Counter[str] = Counter()
        self.busy = 0
        self._server = ThreadingHTTPServer((host, port), lambda *a: _Request(self, *a))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="users-api", daemon=True)

    @property
    def url(self) -> str:
        """Where it answers, as SHOP_USERS wants it."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str) -> tuple[int, dict[str, object]]:
        """Status and body for a path."""
        self.asked[path] += 1
        if self.busy > 0:
            self.busy -= 1
            return 503, {"error": "busy"}
        number = path.removeprefix("/users/")
        if not number.isascii() or not number.isdigit() or not 0 < int(number) <= KNOWN_USERS:
            return 404, {"error": "no such user"}
        return 200, {"id": int(number), "name": f"User {number}", "mail": f"user-{number}@example.com"}


class _Request(BaseHTTPRequestHandler):
    timeout = 10

    def __init__(self, api: UsersApi, *args: object) -> None:
        self._api = api
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        status, found = self._api.answer(self.path)
        body = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status == 503:
            self.send_header("Retry-After", str(RETRY_AFTER_SECONDS))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the inherited name
        """Say nothing: it is asked a lot."""


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="shop.users_api", description="The stub of the service that keeps the users.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8081)
    options = parser.parse_args()
    with UsersApi(host=options.host, port=options.port) as api:
        print(f"users at {api.url}/users/1")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
