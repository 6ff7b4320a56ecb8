"""A follower: when it reads the Lease, and that nothing else keeps the election waiting."""

from __future__ import annotations

from typing import Any

import pytest

from penstock_operator.kube.leader import KEEP_SECONDS, LEASE_SECONDS, RETRY_SECONDS, Leader


class OneLease:
    """An API server with a Lease that `holder` has, and nothing else."""

    def __init__(self) -> None:
        self.version, self.holder = 1, "other"
        self.electing: list[bool] = []

    async def request(self, method: str, path: str, body: Any = None, *, electing: bool = False) -> Any:
        self.electing.append(electing)
        if method == "PUT":
            self.version, self.holder = self.version + 1, body["spec"]["holderIdentity"]
        spec = {"holderIdentity": self.holder}
        return {"metadata": {"name": "penstock", "resourceVersion": str(self.version)}, "spec": spec}


class Clock:
    """Stands still until it is released."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def lease() -> OneLease:
    return OneLease()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def follower(lease: OneLease, clock: Clock) -> Leader:
    """Of a Lease that another holds."""
    return Leader(cluster=lease, namespace="shop", name="penstock", identity="me", clock=clock)  # type: ignore[arg-type]


async def test_a_follower_checks_again_just_when_the_lease_that_it_saw_runs_out(
    follower: Leader, lease: OneLease, clock: Clock
):
    """Half a second of a takeover would else be lost between two checks."""
    await follower._try()
    assert follower._pause() == RETRY_SECONDS
    clock.now += LEASE_SECONDS - RETRY_SECONDS / 4
    await follower._try()
    assert not follower.leading()
    left = follower._pause()
    assert RETRY_SECONDS / 4 < left < RETRY_SECONDS / 2
    clock.now += left
    await follower._try()
    assert follower.leading()
    assert follower._pause() == KEEP_SECONDS
    assert lease.holder == "me"


async def test_a_lease_that_is_renewed_is_waited_for_again(follower: Leader, lease: OneLease, clock: Clock):
    """From when the renewal was seen."""
    await follower._try()
    clock.now += LEASE_SECONDS - 0.1
    lease.version += 1
    await follower._try()
    clock.now += LEASE_SECONDS - 0.1
    await follower._try()
    assert not follower.leading()
    clock.now += 0.2
    await follower._try()
    assert follower.leading()


async def test_every_request_of_the_election_has_its_own_way(follower: Leader, lease: OneLease, clock: Clock):
    """After hundreds of statuses a leader's renewal would come too late."""
    await follower._try()
    clock.now += LEASE_SECONDS + 0.1
    await follower._try()
    await follower._release()
    assert lease.electing
    assert all(lease.electing)
