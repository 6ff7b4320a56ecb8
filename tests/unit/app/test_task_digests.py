"""Digests of tasks' names: every published name is found, another one is not, and their size is bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.task_digests import MAX_TASKS, has_task, task_digests


@given(st.lists(st.text(min_size=1, max_size=200), max_size=20))
def test_every_published_name_is_found(names):
    """Whatever characters it has."""
    digests = task_digests(names)
    assert digests is not None
    assert len(digests) == 4 * len({digests[n : n + 4] for n in range(0, len(digests), 4)})
    assert all(has_task(digests, name) for name in names)


def test_a_name_that_is_not_published_is_not_found():
    """Not even where a digest spans two of the published ones."""
    published = [f"shop.jobs:task{number}" for number in range(MAX_TASKS)]
    digests = task_digests(published)
    assert digests is not None
    assert len(digests) <= 4 * MAX_TASKS
    assert not any(has_task(digests, f"shop.jobs:other{number}") for number in range(1000))
    assert not has_task("", "shop.jobs:any")


def test_more_tasks_than_the_limit_publish_nothing():
    """Their worker may have any task."""
    assert task_digests(f"t{number}" for number in range(MAX_TASKS + 1)) is None
