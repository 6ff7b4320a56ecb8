"""The wait of a connection that listens: woken by the first byte, and by nothing else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from penstock.store.listen import readable


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


async def test_a_byte_ends_the_wait(pair: tuple[socket.socket, socket.socket]):
    """Whether it was there before, or comes meanwhile."""
    ours, theirs = pair
    theirs.send(b"a")
    assert await readable(ours.fileno(), 60.0)
    ours.recv(1)
    waiting = asyncio.create_task(readable(ours.fileno(), 60.0))
    await asyncio.sleep(0)
    assert not waiting.done()
    theirs.send(b"b")
    assert await waiting


async def test_the_end_of_the_connection_ends_the_wait(pair: tuple[socket.socket, socket.socket]):
    """So that a server that went is noticed at once."""
    ours, theirs = pair
    theirs.close()
    assert await readable(ours.fileno(), 60.0)


async def test_silence_is_reported_and_leaves_no_reader(pair: tuple[socket.socket, socket.socket]):
    """The driver waits for the same socket afterwards."""
    ours, _ = pair
    assert not await readable(ours.fileno(), 0.01)
    assert not asyncio.get_running_loop().remove_reader(ours.fileno())
