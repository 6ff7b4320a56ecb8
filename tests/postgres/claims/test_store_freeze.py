"""Workers frozen past their lease, thawed at any moment of the rescue and the second run: a stale word changes nothing.

Free-running on four connections, so that the order is a different one each time; PENSTOCK_SOAK makes it twenty times as
many. The orders that matter one by one are in test_store_interleavings.py.
"""

from __future__ import annotations

import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import psycopg

from tests.postgres import desk
from tests.support.postgres import Database

STALE = 20_000 if os.environ.get("PENSTOCK_SOAK") not in {None, "", "0"} else 1000
"""Refused acknowledgements to be seen."""
DUE_NOW = """UPDATE penstock.job SET due_at = now() WHERE id = ANY (ARRAY(
  SELECT id FROM penstock.job WHERE due_at IS NOT NULL ORDER BY id FOR UPDATE SKIP LOCKED))"""
"""In order of id, as the store locks: a stale acknowledgement may hold rows that it no longer matches."""
STATES = ("completed", "completed", "failed", "cancelled", "retry", "snooze")


@dataclass(slots=True)
class Scene:
    """What everybody learned: by (job, token) the state that was accepted, or None for refused."""

    database: Database
    reported: dict[tuple[int, int], str | None] = field(default_factory=dict)
    fenced: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ack(self, db: psycopg.Connection[Any], worker: int, jobs: list[int], token: int, state: str) -> None:
        """Acknowledge, and note the answer; a repetition must be answered as the first time."""
        values = [worker, jobs, [token] * len(jobs), [state] * len(jobs)]
        for _ in range(2 if state != "snooze" else 1):
            answer = {row[0]: row[2] for row in db.execute(desk.ACK, values).fetchall()}
            for job in jobs:
                accepted = answer.get(job, state)
                with self.lock:
                    assert self.reported.setdefault((job, token), accepted) == accepted
        with self.lock:
            self.fenced += sum(self.reported[job, token] is None for job in jobs)


def claim(db: psycopg.Connection[Any], worker: desk.Worker, maximum: int) -> tuple[list[int], int]:
    """Jobs, and the token that they carry."""
    claim_token = desk.token()
    return [
        row[0] for row in db.execute(desk.CLAIM, [worker.id, worker.queue, maximum, claim_token]).fetchall()
    ], claim_token


def freeze_and_thaw(scene: Scene, seed: int) -> None:
    """Claim, stop past the lease, wake up some milliseconds later and send all outcomes."""
    rng, holder = random.Random(seed), f"frozen-{seed}"
    with scene.database.connect() as db:
        while scene.fenced < STALE and not scene.over.is_set():
            desk.enqueue(db, 3)
            worker = desk.register(db)
            jobs, claim_token = claim(db, worker, 3)
            led = rng.random() < 0.05
            if led:  # it was the maintenance leader, until it froze
                db.execute(
                    "UPDATE penstock.leader SET holder = %s, held_since = now() - interval '1 h', "
                    "lease_until = now() - interval '1 s'",
                    [holder],
                )
            desk.lapse(db, worker)
            scene.over.wait(rng.choice([0, 0.001, 0.003, 0.01, 0.03]))
            if led:
                assert db.execute(desk.RESCUE, [holder, desk.QUIET_LEASE]).fetchone() == (0, 0, 0)
            if jobs:
                thaw(scene, db, worker, jobs, claim_token, rng)


def thaw(
    scene: Scene,
    db: psycopg.Connection[Any],
    worker: desk.Worker,
    jobs: list[int],
    claim_token: int,
    rng: random.Random,
) -> None:
    """Everything that a worker may do when it finds out that time has passed."""
    if rng.random() < 0.3:
        renewed = db.execute(desk.RENEW, [worker.id, 0.01, jobs, [claim_token] * len(jobs)]).fetchone()
        assert renewed is not None
        if renewed[1]:  # named as fenced: whatever is acknowledged now is refused
            scene.ack(db, worker.id, renewed[1], claim_token, "completed")
            assert all(scene.reported[job, claim_token] is None for job in renewed[1])
            jobs = [job for job in jobs if job not in renewed[1]]
    if jobs:
        scene.ack(db, worker.id, jobs, claim_token, rng.choice(STATES))
        assert db.execute(desk.RELEASE, [worker.id, jobs, [claim_token] * len(jobs)]).fetchone() == (0,)


def rescue_and_run(scene: Scene, seed: int) -> None:
    """Lead, rescue, claim what was rescued and end it."""
    rng = random.Random(seed)
    with scene.database.connect() as db:
        worker = desk.register(db, 3600)
        while not scene.over.is_set():
            db.execute(desk.LEAD, ["other", 60])
            db.execute(desk.RESCUE, ["other", desk.QUIET_LEASE])
            db.execute(DUE_NOW)
            db.execute(desk.PROMOTE)
            jobs, claim_token = claim(db, worker, 10)
            if jobs:
                scene.over.wait(rng.choice([0, 0, 0.002]))
                scene.ack(db, worker.id, jobs, claim_token, "completed")


def test_a_stale_word_changes_nothing_a_thousand_times_of_a_thousand(pg):
    """Every job has one final outcome, by the token that was accepted; every refused token left no trace."""
    scene, until = Scene(pg), time.monotonic() + max(200, STALE / 20)
    with pg.connect() as db, ThreadPoolExecutor(4) as threads:
        desk.lead_for_long(db, "other")
        frozen = [threads.submit(freeze_and_thaw, scene, seed) for seed in (1, 2)]
        others = [threads.submit(rescue_and_run, scene, seed) for seed in (3, 4)]
        try:
            for one in frozen:
                one.result(until - time.monotonic())
            desk.until(lambda: db.execute("SELECT NOT EXISTS (SELECT FROM penstock.job)").fetchone() == (True,))
        finally:
            scene.over.set()
        for one in others:
            one.result(60)
        outcomes = db.execute("SELECT job_id, token, state, final FROM penstock.outcome").fetchall()
        dead = {row[0]: row[1] for row in db.execute("SELECT id, reason FROM penstock.dead")}
        known = {row[0] for row in db.execute("SELECT generate_series(1, last_value) FROM penstock.job_id_seq")}
    assert scene.fenced >= STALE
    accepted = {name: state for name, state in scene.reported.items() if state not in {None, "snooze"}}
    assert {(job, token): state for job, token, state, _ in outcomes} == accepted
    assert len(outcomes) == len(accepted)
    final = [job for job, _, _, last in outcomes if last] + [job for job, reason in dead.items() if reason == "poison"]
    assert sorted(final) == sorted(known)
    failed = {job for job, _, state, _ in outcomes if state == "failed"}
    assert failed == {job for job, reason in dead.items() if reason == "failed"}
