"""Numbers agree with their nouns."""

import pytest

from penstock.plural import plural, plural_word


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 jobs"), (1, "1 job"), (2, "2 jobs"), (1200, "1,200 jobs"), (-1, "-1 jobs")]
)
def test_only_one_is_singular(count: int, text: str):
    """Zero is plural; thousands have their comma."""
    assert plural(count, "job") == text


def test_an_irregular_plural_is_given():
    """A verb changes with its noun."""
    assert plural(1, "worker serves", "workers serve") == "1 worker serves"
    assert plural(2, "worker serves", "workers serve") == "2 workers serve"
    assert plural_word(2, "is", "are") == "are"
