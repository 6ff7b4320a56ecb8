"""Back-off is arithmetic: a strategy, an attempt, a draw."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.backoff import Backoff
from penstock.errors import ConfigurationError


def top() -> float:
    return 1.0


@pytest.mark.parametrize(("attempt", "ceiling"), [(1, 5), (2, 10), (3, 20), (10, 2560), (11, 3600), (10**6, 3600)])
def test_exponential_doubles_its_ceiling_up_to_the_maximum(attempt: int, ceiling: float):
    """The default: base 5 s, maximum 1 h, however large the attempt."""
    assert Backoff().delay(attempt, random=top) == ceiling


def test_full_jitter_draws_from_the_whole_interval():
    """A draw of 0 gives 0 s, a draw of a quarter a quarter of the ceiling."""
    backoff = Backoff(base_seconds=8)
    assert [backoff.delay(1, random=iter([draw]).__next__) for draw in (0.0, 0.25, 0.5)] == [0, 2, 4]


def test_linear_is_sixty_seconds_per_attempt_by_default():
    """60 s x attempt, without a draw."""
    assert [Backoff(strategy="linear").delay(n, random=_no_draw) for n in (1, 2, 3, 100)] == [60, 120, 180, 3600]


def test_constant_stays_at_its_base():
    """Every attempt waits alike."""
    assert [Backoff(strategy="constant", base_seconds=7).delay(n, random=_no_draw) for n in (1, 9)] == [7, 7]


def _no_draw() -> float:
    raise AssertionError("this strategy draws nothing")


def test_a_base_above_the_default_maximum_raises_that_maximum():
    """A base of two hours alone is no contradiction."""
    assert Backoff(base_seconds=7200).max_seconds == 7200


def test_a_maximum_below_the_default_base_lowers_that_base():
    """A maximum of two seconds alone is no contradiction either."""
    assert Backoff(max_seconds=2).base_seconds == 2
    assert Backoff(strategy="linear", max_seconds=30).base_seconds == 30


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"strategy": "fibonacci"}, "fibonacci"),
        ({"base_seconds": 0}, "got 0"),
        ({"base_seconds": -1}, "got -1"),
        ({"base_seconds": float("inf")}, "got inf"),
        ({"base_seconds": 10, "max_seconds": 9}, "got 9"),
    ],
)
def test_a_backoff_outside_its_bounds_names_the_value(wrong: dict, named: str):
    """Each rule is one error."""
    with pytest.raises(ConfigurationError, match=named):
        Backoff(**wrong)


@given(
    strategy=st.sampled_from(["exponential", "linear", "constant"]),
    base=st.floats(0.001, 1e5),
    extra=st.floats(0, 1e5),
    attempt=st.integers(-5, 10**9),
    draw=st.floats(0, 1, exclude_max=True),
)
def test_no_delay_is_negative_or_above_the_maximum(strategy, base, extra, attempt, draw):
    """Whatever the attempt and the draw."""
    backoff = Backoff(strategy=strategy, base_seconds=base, max_seconds=base + extra)
    assert 0 <= backoff.delay(attempt, random=lambda: draw) <= backoff.max_seconds
