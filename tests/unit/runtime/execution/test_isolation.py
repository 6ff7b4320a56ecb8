"""Suspects: kept apart, one at a time, only while the worker holds nothing else; the worker's state knows of each."""

from __future__ import annotations

import pytest

from penstock.job import ClaimedJob
from penstock.runtime.execution.isolation import SUSPECT_CRASHES, Isolation
from penstock.runtime.state import Phase
from tests.unit.runtime.support import job, running_state


class Suspects:
    """An isolation, the state that it reports to, and whether the worker is otherwise empty."""

    def __init__(self) -> None:
        self.state, self.alone = running_state(), True
        self.isolation = Isolation(
            state=self.state,
            can_isolate=lambda: self.alone,
            is_isolated=lambda one: one.task == "in a child",
        )

    def takes(self, count: int) -> list[ClaimedJob]:
        jobs = [job(crashes=SUSPECT_CRASHES) for _ in range(count)]
        assert [self.isolation.takes(one) for one in jobs] == [True] * count
        return jobs

    @property
    def isolating(self) -> bool:
        return self.state.phase is Phase.ISOLATING


@pytest.fixture
def suspects() -> Suspects:
    return Suspects()


@pytest.mark.parametrize(("crashes", "task"), [(0, "work"), (1, "work"), (2, "in a child"), (9, "in a child")])
def test_a_job_that_can_take_no_other_with_it_is_no_suspect(suspects, crashes, task):
    """Too few crashes, or a process of its own."""
    assert not suspects.isolation.takes(job(crashes=crashes, task=task))
    assert len(suspects.isolation) == 0
    assert suspects.state.may_claim


@pytest.mark.parametrize("crashes", [2, 3])
def test_a_suspect_is_kept_and_stops_claims_and_starts(suspects, crashes):
    """From the second crash on."""
    assert suspects.isolation.takes(job(crashes=crashes))
    assert len(suspects.isolation) == 1
    assert suspects.isolating
    assert not suspects.state.may_claim


def test_a_suspect_starts_only_when_the_worker_holds_nothing_else(suspects):
    """A claim in flight or a running neighbor would be lost with it."""
    (suspect,) = suspects.takes(1)
    suspects.alone = False
    assert suspects.isolation.start_next() is None
    suspects.alone = True
    assert suspects.isolation.start_next() is suspect
    assert suspects.isolation.running is suspect
    assert suspects.isolation.waiting == []


def test_suspects_run_one_after_another_oldest_first(suspects):
    """Two suspects at once could not be distinguished after a crash."""
    first, second = suspects.takes(2)
    assert suspects.isolation.start_next() is first
    assert suspects.isolation.start_next() is None
    suspects.isolation.finished(first)
    assert suspects.isolating
    assert suspects.isolation.start_next() is second
    suspects.isolation.finished(second)
    assert not suspects.isolating
    assert suspects.state.may_claim
    assert suspects.isolation.start_next() is None


def test_only_the_running_suspect_ends_the_isolation(suspects):
    """An attempt of the same job under an older claim is another object."""
    (suspect,) = suspects.takes(1)
    suspects.isolation.start_next()
    suspects.isolation.finished(job(id=suspect.id))
    assert suspects.isolation.running is suspect
    assert suspects.isolating


def test_the_excess_leaves_the_one_that_runs_next(suspects):
    """The others are released to workers that are idle."""
    first, second, third = suspects.takes(3)
    assert suspects.isolation.take_excess() == [second, third]
    assert suspects.isolation.waiting == [first]
    assert suspects.isolation.take_excess() == []


def test_the_excess_is_all_that_wait_while_one_runs(suspects):
    """It has the worker to itself already."""
    first, second = suspects.takes(2)
    suspects.isolation.start_next()
    assert suspects.isolation.take_excess() == [second]
    assert suspects.isolation.running is first
    assert len(suspects.isolation) == 1


def test_everything_that_waits_can_be_taken_but_not_what_runs(suspects):
    """A drain releases what was not started."""
    first, second = suspects.takes(2)
    assert suspects.isolation.start_next() is first
    assert suspects.isolation.take_all() == [second]
    assert suspects.isolating
    suspects.isolation.finished(first)
    assert not suspects.isolating


def test_taking_the_last_suspect_lets_the_worker_claim_again(suspects):
    """It was released, fenced or cancelled."""
    (suspect,) = suspects.takes(1)
    assert suspects.isolation.take_all() == [suspect]
    assert suspects.state.may_claim


def test_fenced_suspects_are_taken_by_claim_and_cancelled_ones_by_job(suspects):
    """A newer claim of the same job is not fenced with the older one."""
    first, second = suspects.takes(2)
    assert suspects.isolation.take_claims({(first.id, first.token + 1), (second.id + 99, second.token)}) == []
    assert suspects.isolation.take_claims({(first.id, first.token)}) == [first]
    assert suspects.isolation.take_jobs({first.id}) == []
    assert suspects.isolation.take_jobs({second.id}) == [second]
    assert not suspects.isolating


def test_two_claims_of_one_job_are_two_suspects(suspects):
    """Taking one by identity leaves the other, although both are equal in every field."""
    (suspect,) = suspects.takes(1)
    twin = job(id=suspect.id, crashes=SUSPECT_CRASHES)
    assert suspects.isolation.takes(twin)
    suspects.isolation.start_next()
    assert suspects.isolation.take_all() == [twin]
    assert suspects.isolation.running is suspect
