"""Checks that a login may send a worker's statements and that the server understands them, before anything is claimed.

Each statement is explained, not run: the server looks up its functions, their arguments and the login's rights. A
worker that starts can therefore work; one that could not reports at once what is missing, instead of every few
seconds.
"""

from __future__ import annotations

from typing import Final

from penstock.database.source import Url
from penstock.errors import MissingRights

from ..connect import connect
from ..errors import mapped
from ..sql_files import statement
from .rights import check_rights

WORKER: Final = (
    "register",
    "renew",
    "deregister",
    "claim",
    "ack",
    "ack_unlocked",
    "release",
    "release_unlocked",
    "release_claim",
    "release_unknown",
    "wait_mark",
    "take_xid",
    "oldest_xid",
    "lead",
    "promote",
    "rescue",
    "rescue_overdue",
    "begin_marks",
    "publish_marks",
    "count_limits",
    "make_partitions",
    "drop_partitions",
    "prune_workers",
    "depth",
    "tell_dead",
    "declare_schedules",
    "schedule_due",
    "schedule_fire",
    "schedule_failed",
    "settle_schedules",
    "prune_ticks",
)
"""Statements of a worker's process, without those of its tasks."""


def check_login_and_schema(url: Url, *, pooled: bool = False) -> None:
    """Have the server plan every statement of a worker.

    Raises:
        MissingRights: the login lacks a right; the message has the SQL that grants it.
        SchemaMissing, StatementRefused: the server refuses a statement; the message names it and the remedy.
        DatabaseUnavailable, InvalidDatabaseURL: as `connect`.
    """
    try:
        with connect(url, name="penstock handshake", pooled=pooled) as connection:
            for name in WORKER:
                sent = statement(name)
                with mapped(f"handshake, {name.replace('_', ' ')}"):
                    connection.execute(b"EXPLAIN " + sent, [None] * sent.count(b"%s"))
    except MissingRights:
        check_rights(url, "worker", pooled=pooled)  # reports every missing right, and the remedy
        raise
