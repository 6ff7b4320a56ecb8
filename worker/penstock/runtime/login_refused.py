"""A login that the server refuses for good: the worker ends, because its successor may have other credentials.

A process takes its variables once. A container that is started again takes what the Secret holds by then, so ending
heals a rotated password; and where the Secret is wrong, the pod's last message says so instead of nothing.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from penstock.errors import LoginRefused

from .claims.lease import Lease

LEASES: Final = 2.0
"""Lengths of the lease for which the login must be refused: everything that was held has been taken back by then."""
CHECK_SECONDS: Final = 0.5


async def login_refused(lease: Lease) -> None:
    """Watch until cancelled.

    Raises:
        LoginRefused: the server has refused every login for two leases.
    """
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        since = lease.refused_since
        if since is not None and time.monotonic() - since >= LEASES * lease.seconds:
            raise LoginRefused(f"no login for {LEASES * lease.seconds:g} s, so this worker ends: {lease.last_error}")
