"""Faults at random for a while, then quiet: nothing lost, nothing invented, nothing twice without a reason.

PENSTOCK_SOAK_SECONDS makes it longer and draws other faults each time, PENSTOCK_CHAOS_SEED repeats a run's.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator

import pytest

from tests.chaos.faults import Faults
from tests.chaos.fleet import WORKERS, Producer, Site
from tests.chaos.site import all_serve, open_site, quiet
from tests.chaos.verdict import Verdict
from tests.support.postgres import Database, Servers
from tests.support.waiting import eventually

SOAK = os.environ.get("PENSTOCK_SOAK_SECONDS")
SECONDS = float(SOAK or 40.0)
SEED = int(os.environ.get("PENSTOCK_CHAOS_SEED") or (time.time_ns() % 1_000_000 if SOAK else 20_261_123))


@pytest.fixture
def site(servers: Servers, pg_newest: Database, tmp_path) -> Iterator[Site]:
    """The server that gets the faults; the ledger of runs is on another one."""
    with open_site(servers, pg_newest, tmp_path) as made:
        yield made


@pytest.mark.timeout(SECONDS + 800)
def test_under_random_faults_every_committed_job_ends_once_and_no_other_runs(site, pg_newest):
    """Workers killed and frozen, backends terminated, the server restarted and crashed, replies and networks lost."""
    print(f"seed {SEED}, {SECONDS:g} s")
    rng = random.Random(SEED)
    faults, producers = Faults(site, rng), [Producer(site, SEED + n) for n in range(2)]
    site.staff()
    eventually(lambda: all_serve(site), "the workers serve")
    for producer in producers:
        producer.start()
    until = time.monotonic() + SECONDS
    try:
        while time.monotonic() < until or sum(len(p.acknowledged) for p in producers) <= SECONDS:
            faults.pause(0.1, 1.5)
            faults.one()
            site.staff()
    finally:
        for producer in producers:
            producer.stop()
    eventually(lambda: quiet(site), f"every job ends (seed {SEED})", seconds=240)
    eventually(lambda: all_serve(site), "the workers serve")
    assert [worker.terminate() for worker in site.workers] == [0] * WORKERS
    with site.admin() as admin, pg_newest.connect() as ledger:
        verdict = Verdict(admin, ledger)
    print(f"{verdict.text}; {sum(p.unknown for p in producers)} commits unknown; faults: {faults.done}")
    acknowledged = set.union(*(p.acknowledged for p in producers))
    assert verdict.findings(acknowledged, set.union(*(p.rolled_back for p in producers))) == []
    assert site.ended_by_themselves == []
    assert len(verdict.committed) > SECONDS
