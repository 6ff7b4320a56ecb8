"""The arrival traces of the autoscaler's benchmark: which job becomes ready when, and how long it runs.

Pure: a trace is made from its name and a seed, and is the same on every machine. Run times are exponential about a
mean; arrivals are a Poisson process of the given rate. Times are seconds from the start of the trace.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Job:
    """Enqueued at a time, ready at that time or, deferred, later; runs for `seconds`."""

    ready_at: float
    seconds: float
    enqueued_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Jobs in the order in which they become ready. `mean_seconds` is their mean run time.

    `ticks` are the schedules that make some of them, each by name and time: what an autoscaler may know before.
    """

    name: str
    says: str
    seconds: float
    mean_seconds: float
    jobs: tuple[Job, ...]
    outages: tuple[tuple[float, float], ...] = ()
    ticks: tuple[tuple[str, float], ...] = ()


def traces(seed: int) -> list[Trace]:
    """All of them."""
    return [
        make(random.Random(f"{make.__name__} {seed}"))
        for make in (steady, burst, diurnal, step, on_off, scheduled, outage)
    ]


def steady(rng: random.Random) -> Trace:
    jobs = arrivals(rng, lambda _: 20.0, 900, mean=0.5)
    return Trace(name="steady", says="20 jobs/s of 0.5 s for 15 min", seconds=900, mean_seconds=0.5, jobs=jobs)


def burst(rng: random.Random) -> Trace:
    at_once = [Job(120.0, _run(rng, 1.0), 120.0) for _ in range(1000)]
    jobs = _sorted([*arrivals(rng, lambda _: 0.5, 900, mean=1.0), *at_once])
    return Trace(
        name="burst",
        says="1000 jobs of 1 s in one commit, plus one every 2 s",
        seconds=900,
        mean_seconds=1.0,
        jobs=jobs,
    )


def diurnal(rng: random.Random) -> Trace:
    jobs = arrivals(rng, lambda at: 15.0 * (1 - math.cos(2 * math.pi * at / 1200)), 2400, mean=0.5)
    says = "0 to 30 jobs/s of 0.5 s and back in 20 min, twice"
    return Trace(name="diurnal", says=says, seconds=2400, mean_seconds=0.5, jobs=jobs)


def step(rng: random.Random) -> Trace:
    jobs = arrivals(rng, lambda at: 40.0 if 300 <= at < 600 else 2.0, 1200, mean=0.5)
    return Trace(
        name="step", says="2 jobs/s of 0.5 s, 40/s for 5 min, 2/s again", seconds=1200, mean_seconds=0.5, jobs=jobs
    )


def on_off(rng: random.Random) -> Trace:
    jobs = arrivals(rng, lambda at: 20.0 if at % 180 < 60 else 0.0, 1440, mean=1.0)
    return Trace(
        name="on/off",
        says="20 jobs/s of 1 s for 1 min, none for 2 min, 8 times",
        seconds=1440,
        mean_seconds=1.0,
        jobs=jobs,
    )


def scheduled(rng: random.Random) -> Trace:
    jobs = [Job(at, _run(rng, 2.0), 0.0) for at in (300.0, 900.0) for _ in range(400)]
    return Trace(
        name="scheduled batch",
        says="400 jobs of 2 s due at 5 min, again at 15 min",
        seconds=1200,
        mean_seconds=2.0,
        jobs=tuple(jobs),
    )


def outage(rng: random.Random) -> Trace:
    jobs = arrivals(rng, lambda _: 20.0, 1200, mean=0.5)
    says = "20 jobs/s of 0.5 s; the database is away from minute 5 to 10, the delayed jobs come at once"
    return Trace(name="outage", says=says, seconds=1200, mean_seconds=0.5, jobs=jobs, outages=((300.0, 600.0),))


def arrivals(rng: random.Random, rate: Callable[[float], float], seconds: float, *, mean: float) -> tuple[Job, ...]:
    """A Poisson process whose rate changes, by thinning one of the highest rate."""
    maximum = max(rate(at) for at in range(int(seconds)))
    made, now = [], 0.0
    while (now := now + rng.expovariate(maximum)) < seconds:
        if rng.random() * maximum <= rate(now):
            made.append(Job(now, _run(rng, mean), now))
    return tuple(made)


def _run(rng: random.Random, mean: float) -> float:
    return rng.expovariate(1 / mean)


def _sorted(jobs: list[Job]) -> tuple[Job, ...]:
    return tuple(sorted(jobs, key=lambda job: job.ready_at))
