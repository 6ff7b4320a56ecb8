"""An App with one task, and what builds the outcomes of its attempts."""

from __future__ import annotations

import random

import pytest

from penstock import App, Backoff
from penstock.runtime.execution.outcomes import OutcomeBuilder


@pytest.fixture
def app() -> App:
    """Its task has an alias."""
    made = App()

    @made.task(name="work", aliases=["toil"])
    def work() -> None:
        """Nothing."""

    return made


@pytest.fixture
def outcomes() -> OutcomeBuilder:
    """Retries after a second."""
    return OutcomeBuilder(backoff=Backoff(strategy="constant", base_seconds=1), rng=random.Random(1))
