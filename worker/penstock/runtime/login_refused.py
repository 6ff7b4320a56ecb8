"""Stops the worker when the server rejects its login for two leases, because its successor may have other credentials.

A process gets its environment once. A container that restarts gets the current content of the Secret: a rotated
password then works, and if the Secret is wrong, the last message of the pod says so.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from penstock.errors import LoginRefused

from .claims.lease import Lease

LEASES: Final = 2.0
"""Leases for which the login must be rejected: every claim of this worker was rescued by then."""
CHECK_SECONDS: Final = 0.5


async def login_refused(lease: Lease) -> None:
    """Watch until cancelled.

    Raises:
        LoginRefused: the server rejected every login for two leases.
    """
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        since = lease.refused_since
        if since is not None and time.monotonic() - since >= LEASES * lease.seconds:
            raise LoginRefused(f"login rejected for {LEASES * lease.seconds:g} s, exiting: {lease.last_error}")
