"""The worker's state machine: every combination of facts, what each phase allows, and which phases are final."""

from __future__ import annotations

import itertools

import pytest

from penstock.runtime.state import NEW, Phase, WorkerState, phase_of

LEASES = (NEW, "running", "cordoned", "drained", "draining", "lost")
ALLOWED = {
    #                  claim, ask, start, isolate, hold
    Phase.STARTING: (False, False, False, False, True),
    Phase.RUNNING: (True, True, True, False, True),
    Phase.ISOLATING: (False, False, False, True, True),
    Phase.CORDONED: (False, False, False, False, False),
    Phase.DRAINING: (False, False, False, False, False),
    Phase.STOPPED: (False, False, False, False, False),
}
PHASES = {
    # lease: (no suspect, suspects)
    NEW: (Phase.STARTING, Phase.STARTING),
    "running": (Phase.RUNNING, Phase.ISOLATING),
    "cordoned": (Phase.CORDONED, Phase.CORDONED),
    "drained": (Phase.CORDONED, Phase.CORDONED),
    "draining": (Phase.CORDONED, Phase.CORDONED),
    "lost": (Phase.CORDONED, Phase.CORDONED),
}


def allowed(state: WorkerState) -> tuple[bool, ...]:
    return state.may_claim, state.may_ask, state.may_start, state.may_isolate, state.may_hold


@pytest.mark.parametrize("lease", LEASES)
@pytest.mark.parametrize("suspects", [0, 1, 3])
def test_the_lease_and_the_suspects_decide_until_a_drain(lease, suspects):
    """The table is complete: the state of every row of the registry, with and without suspects."""
    phase = PHASES[lease][min(suspects, 1)]
    assert phase_of(lease=lease, suspects=suspects, draining=False, stopped=False) is phase
    assert phase_of(lease=lease, suspects=suspects, draining=True, stopped=False) is Phase.DRAINING
    assert phase_of(lease=lease, suspects=suspects, draining=True, stopped=True) is Phase.STOPPED
    assert phase_of(lease=lease, suspects=suspects, draining=False, stopped=True) is Phase.STOPPED


@pytest.mark.parametrize(
    ("lease", "suspects", "full", "end"),
    list(itertools.product(LEASES, [0, 2], [False, True], [None, "drain", "stop"])),
)
def test_permissions_follow_from_the_facts_in_whatever_order_they_arrive(lease, suspects, full, end):
    """All 72 combinations, each in every order of the events; a backlog stops demand and starts, and nothing else."""
    phase = {None: PHASES[lease][min(suspects, 1)], "drain": Phase.DRAINING, "stop": Phase.STOPPED}[end]
    claim, ask, start, isolate, hold = ALLOWED[phase]
    events = [
        lambda state: state.lease_changed(lease),
        lambda state: state.suspects_changed(suspects),
        lambda state: state.backlog_changed(full=full),
        lambda state: getattr(state, end)() if end else None,
    ]
    for order in itertools.permutations(events):
        state = WorkerState()
        for event in order:
            event(state)
        assert state.phase is phase
        assert allowed(state) == (claim, ask and not full, start and not full, isolate, hold)
        assert (state.draining, state.stopped) == (end is not None, end == "stop")


def test_a_worker_starts_with_nothing_allowed():
    """Before its registration it has no queue to claim from."""
    state = WorkerState()
    assert state.phase is Phase.STARTING
    assert allowed(state) == ALLOWED[Phase.STARTING]


def test_a_phase_that_is_not_final_is_left_when_its_cause_is_gone():
    """Cordoned and uncordoned; the last suspect finished; the backlog acknowledged."""
    state = WorkerState()
    state.lease_changed("running")
    state.lease_changed("cordoned")
    state.lease_changed("running")
    assert allowed(state) == ALLOWED[Phase.RUNNING]
    state.suspects_changed(2)
    state.suspects_changed(1)
    assert state.phase is Phase.ISOLATING
    state.suspects_changed(0)
    state.backlog_changed(full=True)
    assert (state.phase, state.may_start) == (Phase.RUNNING, False)
    state.backlog_changed(full=False)
    assert allowed(state) == ALLOWED[Phase.RUNNING]


def test_a_drain_is_announced_once_and_nothing_ends_it():
    """A second signal, a renewal that says running, and a stop change nothing about it."""
    announced: list[str] = []
    state = WorkerState(on_drain=lambda: announced.append("drain"))
    state.lease_changed("running")
    state.drain()
    state.drain()
    state.lease_changed("running")
    assert (state.phase, announced) == (Phase.DRAINING, ["drain"])
    state.stop()
    state.drain()
    state.suspects_changed(0)
    assert (state.phase, announced) == (Phase.STOPPED, ["drain"])


def test_a_stop_without_a_drain_announces_the_drain():
    """A caller of drain must not wait for ever when a stage stops by itself."""
    announced: list[str] = []
    WorkerState(on_drain=lambda: announced.append("drain")).stop()
    assert announced == ["drain"]


def test_what_the_lease_says_is_reported_as_a_change_once():
    """For one log line at each change, not at each renewal."""
    state = WorkerState()
    assert [state.lease_changed(lease) for lease in ("running", "running", "cordoned", "cordoned", "running")] == [
        True,
        False,
        True,
        False,
        True,
    ]
