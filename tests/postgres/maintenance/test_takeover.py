"""The leader of maintenance dies: when another tries to lead, and what lets it rescue at once."""

from __future__ import annotations

import time

import pytest

from penstock.store import Maintenance, Store
from penstock.store.leadership import Leadership
from tests.postgres import desk, jobs
from tests.postgres.workers import lines

NEVER_FOR_LONG = """
CREATE FUNCTION public.never_for_long() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN NEW.held_since := clock_timestamp() + interval '1 h'; RETURN NEW; END $$;
CREATE TRIGGER never_for_long BEFORE INSERT OR UPDATE ON penstock.leader
  FOR EACH ROW EXECUTE FUNCTION public.never_for_long();
"""
"""Nobody has led for a lease, however long it takes: what is rescued then was rescued on a worker's contact alone."""


class LateLeadership(Leadership):
    """A leadership that another has for so many seconds more; nobody does at 0."""

    left = 0.0

    async def acquire(self, name: str, holder: str, lease: float) -> tuple[float | None, float]:
        return (None, self.left) if self.left else (0.0, lease)


async def test_a_leadership_is_tried_for_as_it_ends():
    """Every third of a lease while it is kept; when it is not, after its end, spread over a sixtieth of a lease."""
    store = Store("postgresql://nobody@127.0.0.1:1/nowhere")
    store.leadership = leadership = LateLeadership(store.connections)
    maintenance = Maintenance(store=store, holder="other", lease=15.0, clock=time.monotonic, rng=lambda: 0.5)
    pauses = []
    for leadership.left in (14.0, 4.0, 0.01):
        pauses.append(await maintenance._lead())
        assert not maintenance.stats.leading
    assert pauses == pytest.approx([5.0, 4.175, 0.185])
    leadership.left = 0.0
    assert await maintenance._lead() == 5.0
    assert maintenance.stats.leading


def test_the_jobs_of_a_killed_leader_are_rescued_by_one_that_has_not_led_for_a_lease(start, newest, trace):
    """The other worker renewed all along, so that the database was there: nobody has to wait for a second lease."""
    newest.execute(NEVER_FOR_LONG)
    leading = start(lease_seconds=3, concurrency=1)
    leads = "SELECT EXISTS (SELECT FROM penstock.leader WHERE holder LIKE %s AND lease_until > clock_timestamp())"
    desk.until(lambda: newest.execute(leads, [f"%:{leading.pid}"]).fetchone() == (True,), 60)
    handle = jobs.sleep.enqueue(600)
    desk.until(lambda: lines(trace), 60)  # the first attempt; whatever the other one starts is a later one
    other = start(lease_seconds=3, concurrency=1)
    other.row(newest)
    leading.process.kill()
    leading.process.wait(timeout=60)
    desk.until(lambda: any(line.endswith(f" {other.pid}") for line in lines(trace)), 120)
    assert handle.info().crashes >= 1
