"""Registration and login while the database is away: wait, say why, and give up only where waiting cannot help."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any, cast

import pytest

from penstock.errors import DatabaseUnavailable, InvalidDatabaseURL, LoginRefused
from penstock.runtime.login_refused import LEASES, login_refused
from penstock.runtime.registration_retry import registered
from tests.unit.runtime.support import until


class Registration:
    """A lease that opens when its errors are used up."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.opened = list(errors), 0
        self.last_error: str | None = None
        self.refused_since: float | None = None
        self.seconds = 15.0

    def open(self) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.opened += 1


async def register(lease: Registration, draining: asyncio.Event) -> bool:
    return await registered(cast("Any", lease), draining, rng=random.Random(1))


async def test_a_registration_is_repeated_until_it_works(caplog):
    """The same error is logged once; afterwards there is none to show."""
    lease = Registration(DatabaseUnavailable("gone"), DatabaseUnavailable("gone"))
    assert await register(lease, asyncio.Event())
    assert (lease.opened, lease.last_error) == (1, None)
    assert caplog.messages == ["cannot register yet, retrying"]


async def test_a_new_error_is_logged_again():
    """It may need another remedy."""
    lease = Registration(DatabaseUnavailable("gone"), DatabaseUnavailable("full"))
    seen: list[str | None] = []
    errors = lease.errors

    def open_() -> None:
        seen.append(lease.last_error)
        if errors:
            raise errors.pop(0)

    lease.open = open_  # type: ignore[method-assign]
    assert await register(lease, asyncio.Event())
    assert seen == [None, "gone", "full"]


async def test_a_drain_ends_the_wait_without_a_registration():
    """The pod is deleted while its database is away."""
    lease, draining = Registration(*[DatabaseUnavailable("gone")] * 1000), asyncio.Event()
    waiting = asyncio.get_running_loop().create_task(register(lease, draining))
    await until(lambda: lease.last_error)
    draining.set()
    assert not await waiting
    assert lease.opened == 0


async def test_a_drain_before_the_first_attempt_registers_nothing():
    """A row would have to be removed again."""
    lease, draining = Registration(), asyncio.Event()
    draining.set()
    assert not await register(lease, draining)
    assert lease.opened == 0


async def test_an_error_that_only_a_new_process_can_cure_ends_the_worker():
    """The environment of a process never changes."""
    with pytest.raises(InvalidDatabaseURL):
        await register(Registration(InvalidDatabaseURL("no URL")), asyncio.Event())


@pytest.mark.looptime
async def test_a_login_rejected_for_two_leases_ends_the_worker_and_not_before():
    """Every claim was rescued by then; its successor may have other credentials."""
    lease = Registration()
    lease.last_error = "password authentication failed"
    watching = asyncio.get_running_loop().create_task(login_refused(cast("Any", lease)))
    await asyncio.sleep(5)
    lease.refused_since = time.monotonic() - LEASES * lease.seconds + 600
    await asyncio.sleep(5)
    assert not watching.done()
    lease.refused_since = time.monotonic() - LEASES * lease.seconds - 1
    with pytest.raises(LoginRefused, match="login rejected for 30 s, exiting: password authentication failed"):
        await watching
