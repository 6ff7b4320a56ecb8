"""Circuit breakers: pure, so every way through them is tried, also by rng."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from penstock.runtime.middleware.circuit_breaker import (
    MAX_PROBES,
    SLICES,
    Breaker,
    BreakerPolicy,
    CircuitState,
    Window,
)

POLICY = BreakerPolicy(failure_percent=50, minimum_calls=4, window_seconds=60, open_seconds=30)
CLOSED, HALF_OPEN, OPEN = CircuitState.CLOSED, CircuitState.HALF_OPEN, CircuitState.OPEN


def run(breaker: Breaker, *failures: bool, now: float = 0.0) -> None:
    """Attempts one after the other, each admitted."""
    for failed in failures:
        assert breaker.admit(now)
        breaker.finished(breaker.epoch, failed=failed, now=now)


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker(POLICY)
    run(breaker, True, True, True, True, now=now)
    assert breaker.state(now) is OPEN
    return breaker


def test_a_circuit_opens_at_the_share_of_failures_and_not_before_the_minimum_of_calls():
    """Three failures of three are too few to judge; two of four are half."""
    breaker = Breaker(POLICY)
    run(breaker, True, True, True)
    assert breaker.state(0) is CLOSED
    run(breaker, True)
    assert breaker.state(0) is OPEN
    half = Breaker(POLICY)
    run(half, False, True, False, True)
    assert half.state(0) is OPEN
    assert half.counted == (2, 4)


def test_a_success_never_opens_a_circuit():
    """Though with it the minimum is reached and failures_in_window have failed."""
    breaker = Breaker(POLICY)
    run(breaker, True, True, True, False)
    assert breaker.state(0) is CLOSED
    run(breaker, True)
    assert breaker.state(0) is OPEN


def test_failures_that_left_the_window_do_not_count():
    """Three a minute ago and one now are one."""
    breaker = Breaker(POLICY)
    run(breaker, True, True, True, now=0)
    run(breaker, True, now=66)
    assert breaker.state(66) is CLOSED
    assert breaker.counted == (1, 1)


def test_an_open_circuit_admits_nothing_until_its_time_and_then_a_few_probes():
    """As many as may run at once, and no more until one of them has ended."""
    breaker = opened()
    assert not breaker.admit(29.9)
    assert breaker.state(30) is HALF_OPEN
    assert [breaker.admit(30) for _ in range(5)] == [True] * MAX_PROBES + [False] * (5 - MAX_PROBES)


def test_successful_probes_close_the_circuit_with_an_empty_window():
    """What was before does not count against it."""
    breaker = opened()
    run(breaker, False, False, now=31)
    assert breaker.state(31) is HALF_OPEN
    run(breaker, False, now=32)
    assert breaker.state(32) is CLOSED
    assert breaker.counted == (0, 0)


def test_one_failed_probe_opens_it_again_for_the_whole_time():
    """Counted from that failure; the other probes no longer matter."""
    breaker = opened()
    epochs = [breaker.epoch for _ in range(3) if breaker.admit(40)]
    breaker.finished(epochs[0], failed=True, now=41)
    assert breaker.state(70.9) is OPEN
    assert breaker.state(71) is HALF_OPEN
    for epoch in epochs[1:]:
        breaker.finished(epoch, failed=False, now=72)
    run(breaker, False, False, now=73)
    assert breaker.state(73) is HALF_OPEN


def test_a_probe_that_ends_neither_way_makes_room_for_another():
    """Snoozed or released: nothing was learnt."""
    breaker = opened()
    epochs = [breaker.epoch for _ in range(3) if breaker.admit(30)]
    assert not breaker.admit(30)
    breaker.abandoned(epochs[0])
    assert breaker.admit(30)


def test_probes_that_never_end_do_not_keep_the_circuit_half_open_for_ever():
    """A task without a timeout may hang: one more probe each time that the circuit would have been open."""
    breaker = opened()
    hung = [breaker.admit(30) for _ in range(MAX_PROBES)]
    assert hung == [True] * MAX_PROBES
    for turn in range(1, MAX_PROBES + 1):
        now = 30.0 + 30 * turn
        assert not breaker.admit(now - 0.1)
        assert breaker.state(now) is HALF_OPEN
        run(breaker, False, now=now)
    assert breaker.state(now) is CLOSED


def test_a_probe_that_answers_late_is_heard_all_the_same():
    """It was slow, not hung: a success counts towards closing, a failure opens."""
    slow = opened()
    epochs = [slow.epoch for _ in range(MAX_PROBES) if slow.admit(30)]
    assert slow.admit(60)
    for epoch in epochs:
        slow.finished(epoch, failed=False, now=61)
    assert slow.state(61) is CLOSED
    failing = opened()
    assert [failing.admit(30) for _ in range(MAX_PROBES)] == [True] * MAX_PROBES
    epoch = failing.epoch
    assert failing.admit(60)
    failing.finished(epoch, failed=True, now=61)
    assert failing.state(61) is OPEN


def test_what_started_before_the_circuit_opened_says_nothing_about_now():
    """Slow attempts of the bad time fail while it is half-open: they are no probes."""
    breaker = Breaker(POLICY)
    assert breaker.admit(0)
    old = breaker.epoch
    run(breaker, True, True, True, True)
    run(breaker, False, False, now=31)
    breaker.finished(old, failed=True, now=31)
    breaker.abandoned(old)
    run(breaker, False, now=31)
    assert breaker.state(31) is CLOSED


def test_a_queue_that_opens_at_one_call_needs_one_probe():
    """No more successes to close than it took failures to open."""
    breaker = Breaker(BreakerPolicy(failure_percent=1, minimum_calls=1, window_seconds=1, open_seconds=1))
    run(breaker, True)
    run(breaker, False, now=2)
    assert breaker.state(2) is CLOSED


CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=100)
"""No limit on time: what is slow is the machine."""


@CALM
@given(st.lists(st.tuples(st.floats(0, 10), st.booleans()), max_size=200), st.floats(1, 100))
def test_the_window_counts_what_ended_within_it_give_or_take_a_slice(steps, seconds):
    """Everything younger than the window is counted, nothing older than the window and a slice."""
    window, now = Window(seconds), 0.0
    added: list[tuple[float, bool]] = []
    for pause, failed in steps:
        now += pause
        window.add(failed=failed, now=now)
        added.append((now, failed))
        slack = seconds / SLICES
        for wanted, counted in ((True, window.failed), (False, window.succeeded)):
            least = sum(at > now - seconds + slack + 1e-6 for at, bad in added if bad is wanted)
            failures_in_window = sum(at > now - seconds - slack - 1e-6 for at, bad in added if bad is wanted)
            assert least <= counted <= failures_in_window
        assert len(window._slices) <= SLICES + 1


class Circuit(RuleBasedStateMachine):
    """Any order of attempts, ends and pauses."""

    attempts: Bundle[int] = Bundle("attempts")

    @initialize(percent=st.integers(1, 100), calls=st.integers(1, 10))
    def start(self, percent: int, calls: int) -> None:
        self.policy = BreakerPolicy(failure_percent=percent, minimum_calls=calls, window_seconds=60, open_seconds=30)
        self.breaker, self.now = Breaker(self.policy), 0.0
        self.probes = 0
        self.probing_epoch, self.probed_at = -1, 0.0

    @rule(seconds=st.floats(0.01, 40))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=attempts)
    def attempt(self) -> int:
        state = self.breaker.state(self.now)
        admitted = self.breaker.admit(self.now)
        assert admitted or state is not CLOSED
        assert not (admitted and state is OPEN)
        if not admitted:
            return -1
        if state is HALF_OPEN:
            if self.probing_epoch != self.breaker.epoch:
                self.probes, self.probing_epoch = 0, self.breaker.epoch
            self.probes += 1
            patient = self.now - self.probed_at >= self.policy.open_seconds
            assert self.probes <= self.policy.probes or patient
            self.probed_at = self.now
        return self.breaker.epoch

    @rule(epoch=consumes(attempts), failed=st.booleans())
    def end(self, epoch: int, failed: bool) -> None:
        before = self.breaker.state(self.now)
        current = epoch == self.breaker.epoch
        self.breaker.finished(epoch, failed=failed, now=self.now)
        after = self.breaker.state(self.now)
        if not current:
            assert after is before
        elif failed and before is HALF_OPEN:
            assert after is OPEN
        elif not failed:
            assert after is not OPEN

    @rule(epoch=consumes(attempts))
    def leave(self, epoch: int) -> None:
        before = self.breaker.state(self.now)
        if epoch == self.breaker.epoch == self.probing_epoch and before is HALF_OPEN:
            self.probes -= 1
        self.breaker.abandoned(epoch)
        assert self.breaker.state(self.now) is before

    @invariant()
    def counts_are_never_negative(self) -> None:
        if hasattr(self, "breaker"):
            failed, calls = self.breaker.counted
            assert 0 <= failed <= calls


TestCircuit = Circuit.TestCase
TestCircuit.settings = settings(CALM, stateful_step_count=40)
