"""Events are posted to a web server, a few at a time, each with a timeout; what fails is tried again, then set aside.

`TaskSupervisor` runs each post as a task of its own and asks for more as they end, so at most four are under way. A
local server that fails now and then plays the other side. Run it: `python examples/stages/webhook.py`.
"""

import asyncio
import json
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from penstock.stages import CancelMode, TaskSupervisor, from_iterable

TIMEOUT = 2.0  # seconds for one post
ATTEMPTS = 3


class Receiver(BaseHTTPRequestHandler):
    """Refuses the first attempt of every fifth event, and event 13 always."""

    got: ClassVar[list[int]]
    refused: ClassVar[set[int]]

    def do_POST(self) -> None:
        """Take one event."""
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        number = event["number"]
        refuse = number == 13 or (number % 5 == 0 and number not in self.refused)
        self.refused.add(number)
        if not refuse:
            self.got.append(number)
        self.send_response(503 if refuse else 200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Quiet."""


def post(url: str, event: dict[str, int]) -> None:
    """One request, in a thread. Raises OSError for anything but success."""
    request = urllib.request.Request(url, json.dumps(event).encode(), {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310 - a URL of our own
        answer.read()


async def deliver(url: str, event: dict[str, int], set_aside: list[int]) -> None:
    """Try a few times, with growing pauses; then set the event aside."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            await asyncio.to_thread(post, url, event)
            return
        except (OSError, urllib.error.HTTPError) as error:
            print(f"event {event['number']}, attempt {attempt}: {error}")
            await asyncio.sleep(0.002 * 2**attempt)
    set_aside.append(event["number"])


async def main(events: int = 20) -> tuple[list[int], list[int]]:
    """Twenty events, four posts at a time."""
    Receiver.got, Receiver.refused = [], set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    set_aside: list[int] = []
    url = f"http://127.0.0.1:{server.server_port}/"
    posts: TaskSupervisor[dict[str, int]] = TaskSupervisor(lambda event: deliver(url, event, set_aside))
    source = from_iterable([{"number": number} for number in range(1, events + 1)])
    try:
        await posts.start()
        await posts.subscribe(source, max_demand=4, min_demand=3, cancel=CancelMode.TEMPORARY)
        await source.start()
        await source.wait()
        await posts.idle()
        await posts.stop()
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        thread.join()
    print(f"delivered {len(Receiver.got)}, set aside {set_aside}")
    return sorted(Receiver.got), set_aside


if __name__ == "__main__":
    asyncio.run(main())
