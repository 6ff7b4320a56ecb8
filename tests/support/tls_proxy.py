"""TLS in front of a real server: the servers of the wheels are built without it.

Owns the answer to PostgreSQL's SSLRequest and the encryption; what follows is passed on byte for byte. A client that
asks for no encryption is refused.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import struct
import threading
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit, urlunsplit

SSL_REQUEST: Final = struct.pack(">ii", 8, 80877103)
_CHUNK: Final = 65_536


class TlsProxy:
    """A listener on 127.0.0.1 while the `with` block runs; `url` is that of the server.

    Args:
        url: of a server.
        certificate: PEM of the certificate that is shown.
        key: its private key.
    """

    def __init__(self, url: str, *, certificate: Path, key: Path) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "", parts.port or 0)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        login = (parts.netloc.rpartition("@"))[0]
        place = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = urlunsplit(parts._replace(netloc=f"{login}@{place}"))

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(60)

    def _run(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.add(client)
                self._run(self._serve, client)

    def _serve(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError), plain:
            if plain.recv(8, socket.MSG_WAITALL) != SSL_REQUEST:
                return
            plain.sendall(b"S")
            with (
                self._context.wrap_socket(plain, server_side=True) as client,
                socket.create_connection(self._target) as server,
            ):
                self._open |= {client, server}
                _pass_on(client, server)
        self._open.discard(plain)


def _pass_on(client: ssl.SSLSocket, server: socket.socket) -> None:
    """Both ways until one side ends."""
    with selectors.DefaultSelector() as ready:
        ready.register(client, selectors.EVENT_READ)
        ready.register(server, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                source = client if key.fileobj is client else server
                data = source.recv(_CHUNK)
                while isinstance(source, ssl.SSLSocket) and source.pending():
                    data += source.recv(_CHUNK)
                if not data:
                    return
                (server if source is client else client).sendall(data)
