"""Peers of the health server that mean harm, or just never finish."""

from __future__ import annotations

import logging
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from penstock.http_server import MAX_CONNECTIONS
from penstock.runtime.observe.health_server import HealthServer


@pytest.fixture
def server() -> Iterator[HealthServer]:
    def broken() -> tuple[bytes, str]:
        raise RuntimeError("a gauge is wrong")

    one = HealthServer(host="127.0.0.1", port=0, live=lambda: None, ready=lambda: None, metrics=broken)
    one.start()
    yield one
    one.close()


def connected(server: HealthServer) -> socket.socket:
    """With less patience than the server's own: who is cut was not merely given up."""
    return socket.create_connection(("127.0.0.1", server.port), timeout=5)


def healthy(server: HealthServer) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/healthz", timeout=30) as answer:
        return bool(answer.status == 200)


def test_peers_that_never_finish_keep_nobody_out_and_have_few_threads(server):
    """The oldest gives way: a thread for each of them would fill the memory, and no room would cost a restart."""
    before = threading.active_count()
    slow = [connected(server) for _ in range(3 * MAX_CONNECTIONS)]
    try:
        for each in slow[-5:]:
            each.sendall(b"GET /metr")
        assert all(healthy(server) for _ in range(3))
        cut = slow[: 2 * MAX_CONNECTIONS]
        assert [each.recv(1) for each in cut] == [b""] * len(cut)
        deadline = time.monotonic() + 30
        while threading.active_count() > before + MAX_CONNECTIONS and time.monotonic() < deadline:
            time.sleep(0.01)  # those that were cut are closing
        assert threading.active_count() <= before + MAX_CONNECTIONS
    finally:
        for each in slow:
            each.close()


def test_a_page_that_cannot_be_made_is_an_answer_and_logged(server, caplog):
    """Cut off, a probe would not know whether anybody is there."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=30)
    with refused.value as answer:
        assert (answer.code, answer.read()) == (500, b"it could not be rendered; see the log\n")
    assert "a gauge is wrong" in caplog.text
    assert healthy(server)


def test_a_peer_that_resets_its_connection_writes_nothing_into_the_log(server, capfd, caplog):
    """Any client of the port could fill the disk with tracebacks."""
    caplog.set_level(logging.INFO)
    for _ in range(3):
        with connected(server) as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            peer.sendall(b"GET /healthz HTTP/1.0\r\n")
    assert healthy(server)
    server.close()
    assert (capfd.readouterr().err, caplog.messages) == ("", [])
