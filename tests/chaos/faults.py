"""The faults: each breaks something for a while and mends it before it returns, so that one random number tells a run.

Must not judge; a fault that finds nothing to break does nothing.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from tests.chaos.fleet import LEASE_SECONDS
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.fleet import Site

OURS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE %s AND pid <> pg_backend_pid()"
)


class Faults:
    """Draws a fault as from a pack of cards, so that none is left out for long; does it, and counts it."""

    def __init__(self, site: Site, chance: random.Random) -> None:
        self._site, self._chance = site, chance
        self._never = threading.Event()
        self.done: dict[str, int] = {}
        self._pack: list[Callable[[], None]] = []

    def one(self) -> str:
        """Do one fault and say which."""
        self._pack = self._pack or self._shuffled()
        fault = self._pack.pop()
        self.done[fault.__name__] = self.done.get(fault.__name__, 0) + 1
        fault()
        return fault.__name__

    def _shuffled(self) -> list[Callable[[], None]]:
        kinds: list[Callable[[], None]] = [
            self.kill_a_worker, self.kill_a_worker, self.freeze_a_worker, self.freeze_a_worker, self.terminate_backends,
            self.restart_the_server, self.crash_the_server, self.lose_notifications, self.lose_replies,
            self.lose_replies, self.cut_the_network, self.freeze_the_network, self.read_only, self.no_connections_left,
        ]  # fmt: skip
        return self._chance.sample(kinds, len(kinds))

    def pause(self, low: float, high: float) -> None:
        self._never.wait(self._chance.uniform(low, high))

    def kill_a_worker(self) -> None:
        worker = self._chance.choice(self._site.workers)
        worker.kill()
        self._site.workers.remove(worker)

    def freeze_a_worker(self) -> None:
        """Past its lease; sometimes the maintenance leader, sometimes all of them."""
        workers = self._site.workers if self._chance.random() < 0.2 else [self._chance.choice(self._site.workers)]
        for worker in workers:
            worker.process.send_signal(signal.SIGSTOP)
        self.pause(LEASE_SECONDS * 0.5, LEASE_SECONDS * 4)
        for worker in workers:
            worker.process.send_signal(signal.SIGCONT)

    def terminate_backends(self) -> None:
        with self._site.admin() as admin:
            for _ in range(self._chance.randint(1, 8)):
                admin.execute(OURS, ["penstock%"])
                self.pause(0.01, 0.2)

    def lose_notifications(self) -> None:
        with self._site.admin() as admin:
            admin.execute(OURS, ["penstock listen%"])

    def restart_the_server(self) -> None:
        self._site.server.stop()
        self.pause(0.0, LEASE_SECONDS * 2)
        self._site.server.start()

    def crash_the_server(self) -> None:
        """SIGKILL to the postmaster; its backends notice, and the next start recovers."""
        backends = _children(self._site.server.pid)
        os.kill(self._site.server.pid, signal.SIGKILL)
        self._site.server.stop()
        eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in backends), "the backends are gone")
        self._site.server.start()

    def lose_replies(self) -> None:
        """The next few statements are done, and whoever sent them hears nothing."""
        for _ in range(self._chance.randint(1, 6)):
            self._site.proxy.drop_reply(self._chance.choice(["", "penstock.claim", "penstock.ack", "COMMIT"]))
            self.pause(0.02, 0.2)

    def cut_the_network(self) -> None:
        for _ in range(self._chance.randint(1, 4)):
            self._site.proxy.cut()
            self.pause(0.05, 0.3)

    def freeze_the_network(self) -> None:
        self._site.proxy.freeze()
        self.pause(0.2, LEASE_SECONDS * 3)
        if self._chance.random() < 0.5:
            self._site.proxy.cut()
        self._site.proxy.thaw()

    def read_only(self) -> None:
        with self._site.admin() as admin:
            admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            admin.execute("SELECT pg_reload_conf()")
            self.pause(0.2, LEASE_SECONDS * 3)
            admin.execute("ALTER SYSTEM RESET default_transaction_read_only")
            admin.execute("SELECT pg_reload_conf()")

    def no_connections_left(self) -> None:
        """Everything is taken and everybody must reconnect."""
        with contextlib.ExitStack() as stack, self._site.admin() as admin:
            taken: list[psycopg.Connection[Any]] = []
            admin.execute(OURS, ["penstock%"])
            with contextlib.suppress(psycopg.OperationalError):
                while len(taken) < 100:
                    taken.append(stack.enter_context(self._site.admin()))
            self.pause(0.2, LEASE_SECONDS * 2)


def _children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found
