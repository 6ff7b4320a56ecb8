"""What must hold after a chaos run, asked of three witnesses: the producers' own table, the store, the ledger of runs.

Reads only. Each finding is one sentence with the jobs that it is about.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import psycopg

ENDED = {"completed", "dead", "cancelled"}


class Verdict:
    """The witnesses' statements, read once, after everything is quiet."""

    def __init__(self, admin: psycopg.Connection[Any], ledger: psycopg.Connection[Any]) -> None:
        self.committed = {row[0] for row in admin.execute("SELECT unnest(ids) FROM orders")}
        self.shown = admin.execute("SELECT id, state, crashes FROM penstock.jobs").fetchall()
        self.outcomes = admin.execute("SELECT job_id, token, worker, final, state FROM penstock.outcome").fetchall()
        self.live = {row[0] for row in admin.execute("SELECT id FROM penstock.job")}
        self.ran = ledger.execute("SELECT job, token, worker, phase FROM ran").fetchall()
        self.crashes = {job: crashes for job, _, crashes in self.shown}

    def findings(self, acknowledged: set[int], rolled_back: set[int]) -> list[str]:
        """Everything that is not as it must be."""
        states = {job: state for job, state, _ in self.shown}
        ran = {job for job, *_ in self.ran}
        checks = {
            "acknowledged commits that are not there": acknowledged - self.committed,
            "committed jobs that are lost": self.committed - states.keys(),
            "jobs that are not over": {job for job, state in states.items() if state not in ENDED},
            "jobs in two places": _more_than_one(job for job, *_ in self.shown),
            "jobs that nobody committed": states.keys() - self.committed,
            "rolled back jobs that ran": rolled_back & ran,
            "jobs that ran and nobody committed": ran - self.committed,
            **self._attempts(states),
        }
        return [f"{what}: {sorted(found)[:10]} ({len(found)})" for what, found in checks.items() if found]

    def _attempts(self, states: dict[int, str]) -> dict[str, set[Any]]:
        started = Counter((job, token) for job, token, _, phase in self.ran if phase == "start")
        ended = {(job, token, worker) for job, token, worker, phase in self.ran if phase == "end"}
        ends = Counter(job for job, *_ in ended)
        final = [(job, token, worker, state) for job, token, worker, last, state in self.outcomes if last]
        completed = {(job, token, worker) for job, token, worker, state in final if state == "completed"}
        return {
            "claims that ran more than once": {name for name, times in started.items() if times > 1},
            "attempts with two outcomes": _more_than_one((j, t) for j, t, *_ in self.outcomes if t is not None),
            "jobs with two final outcomes": _more_than_one(job for job, *_ in final),
            "final outcomes that contradict the state": {
                job for job, _, _, state in final if states.get(job) != ("dead" if state == "failed" else state)
            },
            "outcomes accepted from an attempt that did not end": completed - ended,
            "jobs run to their end again although no lease ran out": {
                job for job, times in ends.items() if times > 1 + self.crashes.get(job, 0)
            },
        }

    @property
    def text(self) -> str:
        """The run in one line."""
        states = Counter(state for _, state, _ in self.shown)
        again = sum(times > 1 for times in Counter(job for job, *_, phase in self.ran if phase == "end").values())
        rescued = sum(bool(crashes) for crashes in self.crashes.values())
        return f"{len(self.committed)} jobs committed, {dict(states)}, {rescued} rescued, {again} run to the end again"


def _more_than_one(values: Any) -> set[Any]:
    return {value for value, times in Counter(values).items() if times > 1}
