"""The faults: each breaks something for a while and repairs it before it returns: one random seed
reproduces a run.

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

    def __init__(self, site: Site, rng: random.Random) -> None:
        self._site, self._rng = site, rng
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
            self.kill_a_worker,
            self.kill_a_worker,
            self.freeze_a_worker,
            self.freeze_a_worker,
            self.terminate_backends,
            self.restart_the_server,
            self.crash_the_server,
            self.lose_notifications,
            self.lose_replies,
            self.lose_replies,
            self.cut_the_network,
            self.freeze_the_network,
            self.read_only,
            self.no_connections_left,
            self.hold_rows,
            self.hold_rows,
            self.hold_a_table,
            self.detach_the_partition,
            self.step_the_clock,
            self.odd_settings,
        ]
        return self._rng.sample(kinds, len(kinds))

    def pause(self, low: float, high: float) -> None:
        self._never.wait(self._rng.uniform(low, high))

    def kill_a_worker(self) -> None:
        worker = self._rng.choice(self._site.workers)
        worker.kill()
        self._site.workers.remove(worker)

    def freeze_a_worker(self) -> None:
        """Past its lease; sometimes the maintenance leader, sometimes all of them."""
        workers = self._site.workers if self._rng.random() < 0.2 else [self._rng.choice(self._site.workers)]
        for worker in workers:
            worker.process.send_signal(signal.SIGSTOP)
        self.pause(LEASE_SECONDS * 0.5, LEASE_SECONDS * 4)
        for worker in workers:
            worker.process.send_signal(signal.SIGCONT)

    def terminate_backends(self) -> None:
        with self._site.admin() as admin:
            for _ in range(self._rng.randint(1, 8)):
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
        backends = children(self._site.server.pid)
        os.kill(self._site.server.pid, signal.SIGKILL)
        self._site.server.stop()
        eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in backends), "the backends are gone")
        self._site.server.start()

    def lose_replies(self) -> None:
        """The next few statements are executed, and the client that sent them gets no reply."""
        for _ in range(self._rng.randint(1, 6)):
            self._site.proxy.drop_reply(self._rng.choice(["", "penstock.claim", "penstock.ack", "COMMIT"]))
            self.pause(0.02, 0.2)

    def cut_the_network(self) -> None:
        for _ in range(self._rng.randint(1, 4)):
            self._site.proxy.cut()
            self.pause(0.05, 0.3)

    def freeze_the_network(self) -> None:
        self._site.proxy.freeze()
        self.pause(0.2, LEASE_SECONDS * 3)
        if self._rng.random() < 0.5:
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

    def hold_rows(self) -> None:
        """Somebody's open transaction has rows of jobs, of a worker, of the leader, or of the queue."""
        rows = self._rng.choice(
            [
                "SELECT FROM penstock.job ORDER BY random() LIMIT 30 FOR UPDATE",
                "SELECT FROM penstock.job WHERE token IS NOT NULL LIMIT 5 FOR UPDATE",
                "SELECT FROM penstock.worker ORDER BY random() LIMIT 1 FOR UPDATE",
                "SELECT FROM penstock.leader FOR UPDATE",
                "SELECT FROM penstock.queue FOR NO KEY UPDATE",
            ]
        )
        with self._site.admin() as admin, admin.transaction():
            admin.execute(rows)
            self.pause(0.2, LEASE_SECONDS * 4)

    def hold_a_table(self) -> None:
        """As a migration of somebody does."""
        table = self._rng.choice(["job", "outcome", "worker", "dead"])
        with self._site.admin() as admin, contextlib.suppress(psycopg.errors.LockNotAvailable):
            admin.execute("SET lock_timeout = '5s'")
            with admin.transaction():
                admin.execute(f"LOCK TABLE penstock.{table} IN SHARE MODE".encode())
                self.pause(0.1, LEASE_SECONDS * 2)

    def detach_the_partition(self) -> None:
        """Outcomes of today have no place until somebody makes one; this one comes back with what it has."""
        with self._site.admin() as admin, contextlib.suppress(psycopg.errors.LockNotAvailable):
            admin.execute("SET lock_timeout = '5s'")
            (today,) = admin.execute("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')").fetchone() or ("",)
            admin.execute(f"ALTER TABLE penstock.outcome DETACH PARTITION penstock.outcome_{today}".encode())

    def step_the_clock(self) -> None:
        """What the rows say after the server's clock was set back by an hour: every lease ends in an hour."""
        with self._site.admin() as admin, contextlib.suppress(psycopg.errors.LockNotAvailable):
            admin.execute("SET lock_timeout = '5s'")
            for table in ("worker", "leader"):
                admin.execute(f"UPDATE penstock.{table} SET lease_until = lease_until + interval '1 hour'".encode())
        if self._rng.random() < 0.5:
            self.kill_a_worker()

    def odd_settings(self) -> None:
        """Of the server, for every connection that is made meanwhile."""
        odd = {
            "datestyle": "German",
            "intervalstyle": "sql_standard",
            "bytea_output": "escape",
            "array_nulls": "off",
            "default_transaction_isolation": "repeatable read",
        }
        with self._site.admin() as admin:
            for action in ("SET {} = '{}'", "RESET {}"):
                for name, value in odd.items():
                    admin.execute(f"ALTER SYSTEM {action.format(name, value)}".encode())
                admin.execute("SELECT pg_reload_conf()")
                admin.execute(OURS, ["penstock%"])
                self.pause(0.2, LEASE_SECONDS * 3)


def children(parent: int) -> list[int]:
    """The processes that a process has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found
