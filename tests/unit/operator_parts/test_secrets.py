"""What is believed of a Secret, and for how long."""

from __future__ import annotations

from typing import Any, cast

import pytest

from penstock_operator.cluster import Cluster
from penstock_operator.errors import ClusterError, Forbidden, NotFound, Unreachable
from penstock_operator.secrets import SECRET_RETRY_SECONDS, SECRET_SECONDS, Secrets, places
from tests.unit.operator_parts.objects import jobqueue

PLACE = ("shop", "shop-postgres", "url")
NOBODY: frozenset[Any] = frozenset()


class Values:
    """An API server of which only Secrets are asked; `asked` are the questions."""

    def __init__(self, found: str | ClusterError) -> None:
        self.found, self.asked = found, 0

    async def secret_value(self, namespace: str, name: str, key: str) -> str:
        assert (namespace, name, key) == PLACE
        self.asked += 1
        if isinstance(self.found, ClusterError):
            raise self.found
        return self.found


class Reading:
    """Secrets over `Values`, with a clock that the test moves."""

    def __init__(self, found: str | ClusterError) -> None:
        self.values, self.now = Values(found), 1000.0
        self.secrets = Secrets(cast("Cluster", self.values), clock=lambda: self.now)

    async def after(self, seconds: float, *, suspect: bool = False) -> str | tuple[str, str]:
        self.now += seconds
        await self.secrets.read({PLACE}, suspect={PLACE} if suspect else NOBODY)
        return self.secrets.found(PLACE)


async def test_a_value_is_believed_for_a_minute():
    """One request for all who share it, and one a minute."""
    reading = Reading("a")
    assert await reading.after(0) == "a"
    reading.values.found = "b"
    assert await reading.after(SECRET_SECONDS - 1) == "a"
    assert reading.values.asked == 1
    assert await reading.after(1) == "b"


async def test_a_value_that_does_not_work_is_read_again_after_seconds():
    """It may just have been rotated; not more often than that either."""
    reading = Reading("a")
    await reading.after(0)
    reading.values.found = "b"
    assert await reading.after(SECRET_RETRY_SECONDS - 1, suspect=True) == "a"
    assert await reading.after(1, suspect=True) == "b"
    assert reading.values.asked == 2


async def test_an_api_server_that_is_away_takes_no_value_away():
    """The URL has not changed by that."""
    reading = Reading("a")
    await reading.after(0)
    reading.values.found = Unreachable("no answer")
    assert await reading.after(SECRET_SECONDS) == "a"


@pytest.mark.parametrize(
    ("error", "reason"), [(NotFound("no such Secret"), "SecretUnreadable"), (Forbidden("no right"), "SecretForbidden")]
)
async def test_a_secret_that_cannot_be_read_is_a_reason_and_a_sentence_until_it_can(error: ClusterError, reason: str):
    """With name and key, and tried again every few seconds."""
    reading = Reading(error)
    found = await reading.after(0)
    assert found == (reason, f"Secret shop-postgres, key 'url': {error}")
    reading.values.found = "a"
    assert await reading.after(SECRET_RETRY_SECONDS) == "a"


def test_the_operators_own_secret_counts_before_the_workers():
    """And a direct URL has a place of its own only beside the workers'."""
    assert places(jobqueue()) == [PLACE]
    direct = {"secretRef": {"name": "s", "key": "k"}, "directKey": "d"}
    assert places(jobqueue(databaseRef=direct)) == [("shop", "s", "k"), ("shop", "s", "d")]
    assert places(jobqueue(databaseRef={**direct, "operatorSecretRef": {"name": "o"}})) == [("shop", "o", "url")]
