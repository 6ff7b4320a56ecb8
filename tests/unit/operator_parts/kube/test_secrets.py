"""What is believed of a Secret, and for how long."""

from __future__ import annotations

import asyncio
import base64
from typing import Any, cast

import pytest

from penstock_operator.errors import ClusterError, Forbidden, NotFound, Unreachable
from penstock_operator.kube.client import Cluster
from penstock_operator.kube.secret_content import SecretContent
from penstock_operator.kube.secrets import AT_ONCE, SECRET_RETRY_SECONDS, SECRET_SECONDS, Secrets, places, secrets_of
from tests.unit.operator_parts.objects import jobqueue

PLACE = ("shop", "shop-postgres")
NOBODY: frozenset[Any] = frozenset()


def content(value: str, *, version: str = "1") -> SecretContent:
    """A Secret with that value under `url`."""
    metadata = {"name": "shop-postgres", "uid": "s-1", "resourceVersion": version}
    return SecretContent.read({"metadata": metadata, "data": {"url": base64.b64encode(value.encode()).decode()}})


class Values:
    """An API server of which only Secrets are asked; `asked` are the questions."""

    def __init__(self, found: str | ClusterError) -> None:
        self.found, self.asked = found, 0

    async def secret(self, namespace: str, name: str) -> SecretContent:
        assert (namespace, name) == PLACE
        self.asked += 1
        if isinstance(self.found, ClusterError):
            raise self.found
        return content(self.found)


class Reading:
    """Secrets over `Values`, with a clock that the test moves."""

    def __init__(self, found: str | ClusterError) -> None:
        self.values, self.now = Values(found), 1000.0
        self.secrets = Secrets(cast("Cluster", self.values), clock=lambda: self.now)

    async def after(self, seconds: float, *, suspect: bool = False, key: str = "url") -> str | tuple[str, str]:
        self.now += seconds
        await self.secrets.read({PLACE}, suspect={PLACE} if suspect else NOBODY)
        return self.secrets.found((*PLACE, key))


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


async def test_a_secret_that_stays_away_is_asked_for_ever_less_often():
    """Also while its JobQueue fails; thousands of them kept the threads of everybody busy every five seconds."""
    reading = Reading(NotFound("no such Secret"))
    await reading.after(0, suspect=True)
    for pause in (5, 5, 5, 10, 20, 40, SECRET_SECONDS, SECRET_SECONDS):
        asked = reading.values.asked
        await reading.after(pause - 1, suspect=True)
        assert reading.values.asked == asked
        await reading.after(1, suspect=True)
        assert reading.values.asked == asked + 1
    reading.values.found = "a"
    assert await reading.after(SECRET_SECONDS) == "a"


async def test_few_secrets_are_read_at_a_time():
    """However many JobQueues name one of their own."""
    maximum = asking = 0

    class Slow:
        async def secret(self, _namespace: str, _name: str) -> SecretContent:
            nonlocal maximum, asking
            asking += 1
            maximum = max(maximum, asking)
            await asyncio.sleep(0)
            asking -= 1
            return content("a")

    wanted = {("shop", f"s{number}") for number in range(50)}
    times = iter(range(1000))
    secrets = Secrets(cast("Cluster", Slow()), clock=lambda: float(next(times)))
    await secrets.read(wanted, suspect=NOBODY)
    assert maximum == AT_ONCE
    assert secrets.moved_at >= len(wanted), "each answer counts as progress, or a long round ends the process"


async def test_a_key_that_is_not_there_and_a_value_that_is_no_text_are_named_and_one_request_serves_all_keys():
    """The sentence has Secret and key, never a value."""
    reading = Reading("a")
    assert await reading.after(0, key="dsn") == (
        "SecretUnreadable",
        "Secret shop-postgres, key 'dsn': Secret shop-postgres has no key 'dsn'",
    )
    assert await reading.after(0) == "a"
    assert reading.values.asked == 1
    odd = SecretContent(name="s", version="1", data={"url": base64.b64encode(b"\xff\xfe").decode()})
    assert "is not text" in str(odd.text("url"))


def test_the_operators_own_secret_counts_before_the_workers_and_both_are_read():
    """And a direct URL has a key of its own only next to the workers'."""
    assert places(jobqueue()) == [("shop", "shop-postgres", "url")]
    direct = {"secretRef": {"name": "s", "key": "k"}, "directKey": "d"}
    assert places(jobqueue(databaseRef=direct)) == [("shop", "s", "k"), ("shop", "s", "d")]
    both = jobqueue(databaseRef={**direct, "operatorSecretRef": {"name": "o"}})
    assert places(both) == [("shop", "o", "url")]
    assert secrets_of(both) == {("shop", "o"), ("shop", "s")}
