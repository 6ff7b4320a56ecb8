"""The container of the harness's own tests: an HTTP server on the pod's address, steered by its environment.

Run as a script. Speaks standard library only. `GET /ready` and `/alive` answer 200 until `GET /break/ready` or
`/break/alive`; `GET /env` shows the environment, `GET /user` who it is and where it can write; `GET /crash/N` exits
with N; `GET /fork` leaves a child running.
"""

import json
import os
import pwd
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

BROKEN: set[str] = set()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        _, *words = self.path.split("/")
        match words:
            case ["break", what]:
                BROKEN.add(what)
                self.reply(200, {})
            case ["crash", code]:
                os._exit(int(code))
            case ["fork"]:
                child = subprocess.Popen(["sleep", "600"], start_new_session=True)
                self.reply(200, {"pid": child.pid})
            case ["user"]:
                self.reply(200, user())
            case ["env"]:
                self.reply(200, dict(os.environ))
            case [what]:
                self.reply(503 if what in BROKEN else 200, {})

    def reply(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name for it
        pass


def user() -> dict[str, Any]:
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = ""
    places = [".", "/", "/tmp", "/var/tmp", os.environ["HOME"]]
    return {
        "uid": os.getuid(),
        "gid": os.getgid(),
        "groups": os.getgroups(),
        "name": name,
        "writable": [place for place in places if os.access(place, os.W_OK)],
    }


def main() -> None:
    time.sleep(float(os.environ.get("START_SECONDS", "0")))
    server = HTTPServer((os.environ["POD_IP"], int(os.environ.get("PORT", "8080"))), Handler)
    linger, while_there = float(os.environ.get("LINGER_SECONDS", "0")), os.environ.get("LINGER_FILE", "")

    def end(*_: object) -> None:
        print("asked to end", flush=True)

        def finish() -> None:
            time.sleep(linger)
            while while_there and Path(while_there).exists():
                time.sleep(0.02)
            print("stopping", flush=True)
            os._exit(0)

        threading.Thread(target=finish).start()

    signal.signal(signal.SIGTERM, end)
    print("serving", *sys.argv[1:], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
