"""The slots that waiting jobs need: what is busy helps first, then what is starting, then new slots."""

from __future__ import annotations

import pytest

from penstock.scaling.drain_time import CATCH_UP, WaitingJobs


def waiting(**changes: float) -> WaitingJobs:
    """A hundred jobs of two seconds each, to start within ten seconds; a replica starts in no time."""
    values = {"ready": 100, "due_soon": 0, "service": 2.0, "target": 10.0, "waited": 0.0, "startup": 0.0, **changes}
    return WaitingJobs(**values)  # type: ignore[arg-type]


def test_a_new_slot_starts_one_job_at_once_and_one_after_each_that_it_finishes():
    """In ten seconds: at 0, 2, 4, 6, 8 and 10 seconds."""
    assert waiting(ready=6).slots_needed(0, 0, since=0.0) == 1.0
    assert waiting(ready=7).slots_needed(0, 0, since=0.0) == pytest.approx(7 / 6)


def test_a_busy_slot_starts_a_job_only_after_its_present_one():
    """Five further jobs in ten seconds; what they can start in time needs no new slot."""
    assert waiting(ready=5).slots_needed(1, 0, since=0.0) == 0.0
    assert waiting(ready=11).slots_needed(1, 0, since=0.0) == 1.0


def test_jobs_that_have_waited_leave_less_time_but_never_less_than_a_quarter():
    """An outage would otherwise ask for a slot per job."""
    assert waiting(waited=4.0).seconds_left == 6.0
    assert waiting(waited=9.0).seconds_left == waiting(waited=3600.0).seconds_left == 10.0 * CATCH_UP
    assert waiting(waited=3600.0).slots_needed(0, 0, since=0.0) == 100 / (1 + 2.5 / 2)


def test_the_startup_of_a_new_replica_costs_the_jobs_that_it_cannot_start_meanwhile():
    """Four of ten seconds are gone when it claims."""
    assert waiting(ready=4, startup=4.0).slots_needed(0, 0, since=0.0) == 1.0


def test_replicas_that_are_starting_count_with_the_rest_of_their_startup():
    """Each sample in between would ask for them once more; the longer ago they were asked for, the more they start."""
    queue = waiting(ready=8, startup=4.0)
    assert queue.slots_needed(0, 2, since=0.0) == 2.0
    assert queue.slots_needed(0, 2, since=2.0) == pytest.approx(8 / 5)
    assert queue.slots_needed(0, 2, since=60.0) == pytest.approx(8 / 6)


def test_only_what_starting_replicas_cannot_start_asks_for_more():
    """Two that start now do eight jobs of twelve; one more does the rest."""
    assert waiting(ready=12, startup=4.0).slots_needed(0, 2, since=0.0) == 3.0


def test_jobs_that_become_due_need_slots_that_are_ready_by_then():
    """Their startup costs nothing, and room that busy slots have left is used first."""
    assert waiting(ready=0, due_soon=6, startup=9.0).slots_needed(0, 0, since=0.0) == 1.0
    assert waiting(ready=2, due_soon=3).slots_needed(1, 0, since=0.0) == 0.0
    assert waiting(ready=2, due_soon=9).slots_needed(1, 0, since=0.0) == 1.0
    assert waiting(ready=6, due_soon=6).slots_needed(0, 0, since=0.0) == 2.0


def test_starting_slots_that_suffice_leave_the_due_jobs_their_own():
    """What starts is for the jobs that are ready."""
    assert waiting(ready=3, due_soon=6).slots_needed(0, 1, since=0.0) == 0.5 + 1.0
