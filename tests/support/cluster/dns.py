"""The DNS of a node: the names of Services, `SERVICE.NAMESPACE.svc.cluster.local`, and no others.

A component of `init.py`: `python -m tests.support.cluster.dns NAME`. Answers A records from the API server, and that
a name does not exist for everything else; nothing is forwarded, for pods reach no network but this machine.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import sys
import time
import urllib.error
import urllib.request

import yaml

from tests.support.cluster.components import DOMAIN
from tests.support.cluster.layout import Layout, load

CACHE_SECONDS = 5.0
TYPE_A = 1
NO_SUCH_NAME, AUTHORITATIVE_ANSWER = 3, 0x8580


class Services:
    """Cluster addresses by name, asked of the API server; the last answer serves while that cannot be reached."""

    def __init__(self, layout: Layout) -> None:
        config = yaml.safe_load((layout.folder / "dns.kubeconfig").read_text())
        self._headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}"}
        self._context = ssl.create_default_context(cafile=str(layout.folder / "ca.crt"))
        self._url = layout.url
        self._known: dict[tuple[str, str], tuple[str | None, float]] = {}

    def address(self, name: str) -> str | None:
        """The cluster address of a Service's full name; None if there is none."""
        service, _, rest = name.rstrip(".").lower().partition(".")
        namespace, _, suffix = rest.partition(".")
        if suffix != f"svc.{DOMAIN}" or not service or not namespace:
            return None
        found, since = self._known.get((namespace, service), (None, 0.0))
        if time.monotonic() - since > CACHE_SECONDS:
            found = self._ask(namespace, service, found)
            self._known[namespace, service] = found, time.monotonic()
        return found

    def _ask(self, namespace: str, service: str, last: str | None) -> str | None:
        url = f"{self._url}/api/v1/namespaces/{namespace}/services/{service}"
        try:
            request = urllib.request.Request(url, headers=self._headers)
            with urllib.request.urlopen(request, timeout=2, context=self._context) as answer:
                address = json.load(answer)["spec"].get("clusterIP")
        except urllib.error.HTTPError as error:
            with error:
                return None if error.code == 404 else last
        except OSError:
            return last
        return None if address == "None" else address


def reply(query: bytes, services: Services) -> bytes:
    """The answer to one query, both as they travel (RFC 1035, section 4).

    Raises:
        IndexError, struct.error: the query is cut short.
    """
    (identity,) = struct.unpack(">H", query[:2])
    labels, at = [], 12
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode("ascii", "replace"))
        at += length + 1
    (kind,) = struct.unpack(">H", query[at + 1 : at + 3])
    address = services.address(".".join(labels))
    record = b""
    if address is not None and kind == TYPE_A:
        record = b"\xc0\x0c" + struct.pack(">HHIH", TYPE_A, 1, int(CACHE_SECONDS), 4) + socket.inet_aton(address)
    flags = AUTHORITATIVE_ANSWER | (0 if address is not None else NO_SUCH_NAME)
    return struct.pack(">HHHHHH", identity, flags, 1, bool(record), 0, 0) + query[12 : at + 5] + record


def main() -> None:
    layout = load(sys.argv[1])
    assert layout is not None
    services = Services(layout)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((layout.bridge_address, 53))
        while True:
            query, client = server.recvfrom(4096)
            try:
                server.sendto(reply(query, services), client)
            except (IndexError, struct.error, OSError) as error:
                print(f"query of {client[0]} not answered: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
