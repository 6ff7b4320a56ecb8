"""Stands where the operator's package would: answers its probes on the address and port that the chart gives it."""

import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.path in {"/healthz", "/readyz", "/metrics"}
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        print(*args, file=sys.stderr)


if __name__ == "__main__":
    HTTPServer((os.environ["PENSTOCK_HTTP_HOST"], int(os.environ["PENSTOCK_HTTP_PORT"])), Handler).serve_forever()
