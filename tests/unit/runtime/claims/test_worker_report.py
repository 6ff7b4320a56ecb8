"""What a worker reports of itself: progress, its report, its probes, and failures outside its loop."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sys
import threading
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, cast

import pytest

from penstock import Context
from penstock.app.client import Client
from penstock.app.context import MAX_NOTE
from penstock.app.task import TaskRegistry as Tasks
from penstock.runtime.background import run_in_background
from penstock.runtime.claims.held_claims import HeldClaims
from penstock.runtime.claims.lease import Identity, Lease
from penstock.runtime.claims.worker_report import MAX_JOBS, report
from penstock.runtime.execution.slots import Slots
from penstock.runtime.observe.metrics import WorkerMetrics
from penstock.runtime.observe.probes import MAX_BLOCKED_SECONDS, Probes
from penstock.store import Renewal, WorkerRegistry
from tests.unit.runtime.support import completed, job, running_state, until


def test_progress_is_taken_at_most_once_a_second_and_its_end_always():
    """A loop may call it for every row."""
    reported: list[dict[str, Any]] = []
    now = [100.0]
    context = Context(job=job(), client=cast("Client", None), report=reported.append, clock=lambda: now[0])
    for done in range(1, 11):
        context.progress(done, 10, note="x" * 500 + "\0")
        now[0] += 0.3
    assert [one["done"] for one in reported] == [1, 5, 9, 10]
    assert reported[0]["note"] == "x" * MAX_NOTE
    for bad in ((-1, 1), (1, 0), (float("nan"), 1), (1, float("inf")), (10**400, 1)):
        with pytest.raises(ValueError, match="progress"):
            context.progress(*bad)


@pytest.mark.parametrize(
    ("done", "reported"), [(Fraction(1, 4), 0.25), (Decimal("0.5"), 0.5), (10**30, 1e30), (True, 1.0), (3, 3)]
)
def test_progress_is_reported_in_numbers_that_every_encoder_takes(done, reported):
    """What a task counts with goes into the renewal of the lease, which must not fail for it."""
    held_claims = HeldClaims()
    held_claims.add([one := job()])
    context = Context(
        job=one, client=cast("Client", None), report=lambda found: held_claims.progress.__setitem__(one.id, found)
    )
    context.progress(done, 10**31)
    assert json.loads(report(held_claims))["jobs"][0]["progress"] == {"done": reported, "total": 1e31}


def test_progress_may_come_from_threads_while_jobs_end():
    """Claims are forgotten after each acknowledgement; what threads add meanwhile must not end the acknowledger."""
    held_claims, ended = HeldClaims(), threading.Event()
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)

    def work() -> None:
        for number in itertools.takewhile(lambda _: not ended.is_set(), itertools.count()):
            held_claims.progress[number % 5000] = {"done": 1, "total": 2}

    thread = threading.Thread(target=work)
    thread.start()
    try:
        jobs = [job(id=number) for number in range(500)]
        for _ in range(300):
            held_claims.add(jobs)
            held_claims.remove(jobs[:1])
    finally:
        ended.set()
        thread.join()
        sys.setswitchinterval(before)


def test_progress_outside_of_a_worker_is_accepted_and_goes_nowhere():
    """In `run_inline` and in tests."""
    Context(job=job(), client=cast("Client", None)).progress(0.5)


def test_a_report_says_what_runs_since_when_how_far_and_what_came_last():
    """The oldest first, a bounded number of them, those that reported progress among them; ages in seconds."""
    now: list[float] = [100.0]
    held_claims = HeldClaims(clock=lambda: now[0])
    jobs = [job(token=number, id=number) for number in range(1, 31)]
    for one in jobs:
        held_claims.add([one])
        now[0] += 1
    held_claims.progress[30] = {"done": 1, "total": 2}
    held_claims.accepted([completed(job(id=99))])
    now[0] += 5
    reported = json.loads(report(held_claims, clock=lambda: now[0]))
    assert [one["id"] for one in reported["jobs"]] == [*range(1, MAX_JOBS), 30]
    assert (reported["jobs"][0]["age"], reported["jobs"][-1]["age"]) == (35.0, 6.0)
    assert reported["jobs"][-1]["progress"] == {"done": 1, "total": 2}
    assert reported["more"] == 30 - MAX_JOBS
    assert reported["last"] == {"id": 99, "task": "work", "outcome": "completed", "age": 5.0}
    held_claims.remove(jobs)
    assert held_claims.progress == {}
    assert json.loads(report(held_claims, clock=lambda: now[0]))["jobs"] == []


class Parts:
    """The parts of a worker that probes read, all well."""

    def __init__(self) -> None:
        self.now, self.state = 1000.0, running_state()
        self.lease = SimpleNamespace(
            worker=1, alive=True, state="running", recently_renewed=True, age=1.0, last_error=None
        )
        self.claimer = SimpleNamespace(fatal_error=None, disconnected=False, claim_error=None, pending=0)
        self.held_claims = HeldClaims(clock=lambda: self.now)
        self.probes = Probes(
            lease=cast("Any", self.lease),
            held_claims=self.held_claims,
            claimer=cast("Any", self.claimer),
            consumers=cast("Any", SimpleNamespace(waiting=0, unacknowledged=0, prefetching=False)),
            slots=Slots(concurrency=4, interrupt=lambda _: True),
            state=self.state,
            maintenance=cast(
                "Any",
                SimpleNamespace(
                    stats=SimpleNamespace(leading=True, rescued=0, poisoned=0, overdue=0, succeeded_at=990.0)
                ),
            ),
            max_timeout=900.0,
            clock=lambda: self.now,
            wall=lambda: 5000.0,
        )

    def breaks(self, what: str) -> None:
        match what:
            case "draining":
                self.state.drain()
            case "cordoned":
                self.lease.state = "cordoned"
            case "lease":
                self.lease.recently_renewed, self.lease.age, self.lease.last_error = False, 12.0, "no route"
            case "claims":
                self.claimer.disconnected, self.claimer.claim_error = True, "DatabaseUnavailable: gone"
            case "refused":
                self.claimer.fatal_error = "SchemaMissing: no function claim"
            case "blocked":
                self.now += 3.0


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("draining", "draining"),
        ("cordoned", "cordoned"),
        ("lease", "disconnected: .*12 s ago .*no route"),
        ("claims", "disconnected: claims fail .*gone"),
        ("refused", "cannot claim jobs: SchemaMissing"),
        ("blocked", "event loop has been blocked for 3 s"),
    ],
)
def test_a_worker_is_not_ready_for_each_reason_and_says_it_but_lives(what, said):
    """A restart would mend none of them."""
    parts = Parts()
    assert parts.probes.ready() is None
    parts.breaks(what)
    assert re.search(said, str(parts.probes.ready()))
    assert parts.probes.live() is None


def test_a_cordoned_worker_stays_ready_while_it_holds_jobs():
    """It is still at work."""
    parts = Parts()
    parts.held_claims.add([job()])
    parts.breaks("cordoned")
    assert parts.probes.ready() is None


def test_only_a_dead_lease_thread_or_a_loop_blocked_for_longer_than_any_task_may_take_ends_a_worker():
    """A restart interrupts jobs."""
    parts = Parts()
    parts.now += MAX_BLOCKED_SECONDS + 1  # a task may take 900 s
    assert parts.probes.live() is None
    parts.now += 300
    assert "901 s" in str(parts.probes.live())
    other = Parts()
    other.lease.alive = False
    assert other.probes.live() == "the lease thread is dead"


def test_times_in_the_gauges_are_of_the_epoch():
    """The reader computes the age."""
    parts = Parts()
    parts.held_claims.add([job()])
    parts.now += 10
    gauges = parts.probes.gauges()
    assert (gauges.lease_renewed_at, gauges.oldest_running_at) == (4999, 4990)
    assert gauges.maintenance_succeeded_at == 4980


async def test_a_background_task_that_exits_by_itself_is_reported():
    """Maintenance that died silently would seem like a worker that has nothing to do."""
    said: list[str] = []

    async def breaks() -> None:
        raise RuntimeError("ticker")

    async def stays() -> None:
        await asyncio.sleep(60)

    async with run_in_background(said.append, ticker=breaks(), maintenance=stays()):
        await until(lambda: said)
    assert said == ["background task ticker stopped: RuntimeError('ticker')"]


class Registrar:
    """A registry that answers; the first renewal breaks in a way that nobody foresaw."""

    def __init__(self) -> None:
        self.reports: list[str] = []

    def register(self, **_: object) -> tuple[int, int]:
        return 1, 1

    def renew(self, _: int, *, report: str, **__: object) -> Renewal:
        self.reports.append(report)
        if len(self.reports) == 1:
            raise AttributeError("unforeseen")
        return Renewal(state="running", fenced=[], cancelled=[])

    def deregister(self, _: int, *, empty: bool) -> None:
        assert empty

    def close(self) -> None:
        """Nothing is open."""


async def test_nothing_that_goes_wrong_in_a_renewal_ends_the_lease_thread():
    """Without it the worker would be restarted, and its jobs with it: a report that cannot be encoded is left out."""
    held_claims = HeldClaims()
    held_claims.add([one := job()])
    held_claims.progress[one.id] = {"done": object()}
    registrar = Registrar()
    lease = Lease(
        registry=cast("WorkerRegistry", registrar),
        held_claims=held_claims,
        seconds=15.0,
        on_renewed=lambda _: None,
        identity=Identity(identity="me", queue="q", version="1", concurrency=1),
        metrics=WorkerMetrics(queue="q", tasks=Tasks(), version="1"),
    )
    lease.open()
    lease.renew_soon()
    await until(lambda: len(registrar.reports) == 1 and lease.last_error == "unforeseen")
    lease.renew_soon()
    await until(lambda: len(registrar.reports) == 2 and lease.last_error is None)
    assert lease.alive
    assert registrar.reports == ["{}", "{}"]
    await asyncio.to_thread(lease.close, empty=True)
