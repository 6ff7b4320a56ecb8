"""Users fetched from the service that SHOP_USERS names, kept as files. No task here: plain functions, easy to test."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .files import output_folder, replacing

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT_SECONDS = 10
MAX_ANSWER = 64 * 1024


class NoSuchUserError(LookupError):
    """The service does not know the user: asking again would not help."""


@dataclass
class BusyError(Exception):
    """The service asks to come back later, after so many seconds."""

    seconds: float


def synced(user_id: int) -> Path:
    """Fetch a user and keep what the service says; gives the file. Replaces what was kept before.

    Raises:
        NoSuchUserError: 404.
        BusyError: 429 or 503.
        OSError: the service cannot be reached, or answers otherwise.
    """
    base = os.environ.get("SHOP_USERS", "http://127.0.0.1:8081")
    if not base.startswith(("http://", "https://")):
        raise ValueError("SHOP_USERS must start with http:// or https://")
    try:
        with urllib.request.urlopen(f"{base}/users/{user_id}", timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
            user = json.loads(answer.read(MAX_ANSWER))
    except urllib.error.HTTPError as error:
        with error:
            raise _meaning(error, user_id) from error
    folder = output_folder() / "users"
    folder.mkdir(exist_ok=True)
    target = folder / f"{user_id}.json"
    with replacing(target) as file:
        file.write(json.dumps(user, sort_keys=True).encode())
    return target


def _meaning(error: urllib.error.HTTPError, user_id: int) -> Exception:
    if error.code == 404:
        return NoSuchUserError(f"there is no user {user_id}")
    if error.code in {429, 503}:
        after = error.headers.get("Retry-After", "")
        return BusyError(float(after) if after.isdigit() else 5.0)
    return OSError(f"the users' service answered {error.code}")
