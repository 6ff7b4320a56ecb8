"""A mail server that counts mails and delivers none. `python -m shop.smtp_sink --port 2525`, or in a test or the demo.

    async with SmtpSink() as sink:          # 127.0.0.1, a free port
        os.environ["SHOP_SMTP"] = sink.address
        ...
        assert sink.mails == 10

It implements the part of RFC 5321 that a client needs to send a mail, and keeps Message-IDs but no contents. By default
it listens on loopback only, because it does not authenticate clients.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections import Counter
from email import message_from_bytes
from email.policy import SMTP
from typing import Self

MAX_LINE = 4096
MAX_MAIL = 1024 * 1024
IDLE_SECONDS = 60


class SmtpSink:
    """Accepts every mail, up to 1 MiB each, and counts.

    Attributes:
        mails: accepted mails.
        message_ids: how often each Message-ID came; one that came twice was delivered twice.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._host, self._port = host, port
        self._server: asyncio.Server | None = None
        self._sessions: set[asyncio.Task[None]] = set()
        self.mails = 0
        self.message_ids: Counter[str] = Counter()

    @property
    def address(self) -> str:
        """Where it listens, as SHOP_SMTP wants it."""
        return f"{self._host}:{self._port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self._host, self._port, limit=MAX_MAIL)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for session in self._sessions:
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = asyncio.current_task()
        assert session is not None
        self._sessions.add(session)
        try:
            await self._converse(reader, writer)
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass  # a client that breaks off or overflows has lost its mail, nothing else
        finally:
            self._sessions.discard(session)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recipients = 0
        writer.write(b"220 sink ready\r\n")
        while True:
            await writer.drain()
            async with asyncio.timeout(IDLE_SECONDS):
                line = await reader.readline()
            if not line:
                return
            match line[:MAX_LINE].split(maxsplit=1)[0].upper() if line.strip() else b"":
                case b"EHLO":
                    writer.write(f"250-sink\r\n250 SIZE {MAX_MAIL}\r\n".encode())
                case b"HELO" | b"NOOP":
                    writer.write(b"250 ok\r\n")
                case b"MAIL" | b"RSET":
                    recipients = 0
                    writer.write(b"250 ok\r\n")
                case b"RCPT":
                    recipients += 1
                    writer.write(b"250 ok\r\n")
                case b"DATA" if recipients:
                    writer.write(b"354 go on\r\n")
                    await writer.drain()
                    self._count(await reader.readuntil(b"\r\n.\r\n"))
                    writer.write(b"250 counted\r\n")
                case b"DATA":
                    writer.write(b"503 nobody to send it to\r\n")
                case b"QUIT":
                    writer.write(b"221 bye\r\n")
                    return
                case _:
                    writer.write(b"502 not known here\r\n")

    def _count(self, mail: bytes) -> None:
        self.mails += 1
        self.message_ids[str(message_from_bytes(mail, policy=SMTP)["Message-ID"])] += 1


async def main(host: str, port: int) -> None:
    """Count until SIGINT or SIGTERM, then print the result."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with SmtpSink(host=host, port=port) as sink:
        print(f"listening on {sink.address}", flush=True)
        await stop.wait()
    print(f"{sink.mails} mails, {len(sink.message_ids)} different", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A mail server that counts.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=2525)
    given = parser.parse_args()
    asyncio.run(main(given.host, given.port))
