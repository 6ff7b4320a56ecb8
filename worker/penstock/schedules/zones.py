"""Time zones by name, and the two rules of local times: those that do not exist, and those that come twice.

Pure but for the system's zone files; the package tzdata serves where an image has none.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from penstock.errors import InvalidSchedule, shown

MAX_LENGTH: Final = 64
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,3}")
_OF_MACHINES: Final = ("localtime", "posixrules", "Factory")
_WITH_FOLDERS: Final = ("posix/", "right/")
"""Copies of all zones below other names; those of `right` count leap seconds, so their times are half a minute off."""
_SECOND: Final = timedelta(seconds=1)


def zone_of(name: object, *, of: str) -> tzinfo:
    """The zone of an IANA name, such as `Europe/Berlin`.

    Raises:
        InvalidSchedule: no such zone; the message starts with `of`.
    """
    if name == "UTC":
        return UTC
    if isinstance(name, str) and len(name) <= MAX_LENGTH and _NAME.fullmatch(name) and not _is_local(name):
        try:
            return ZoneInfo(name)
        except (OSError, ValueError, KeyError):  # a folder of zones, a file that is none, no such name
            pass
    raise InvalidSchedule(f"{of}: the time zone must be an IANA name such as Europe/Berlin, got {shown(name)}")


def _is_local(name: str) -> bool:
    """True for a file of zones that is no name of IANA's: each machine has its own, or none."""
    return name in _OF_MACHINES or name.startswith(_WITH_FOLDERS)


def exists(wall: datetime) -> bool:
    """True if clocks of the wall time's zone ever show it: False in the hour that a change to summer time skips."""
    return wall.astimezone(UTC).astimezone(wall.tzinfo).replace(tzinfo=None) == wall.replace(tzinfo=None)


def first_instant(wall: datetime) -> datetime:
    """The instant, in UTC, of a local time: of two the first, and the end of the gap for a time that is skipped."""
    first = wall.replace(fold=0)
    if exists(first):
        return first.astimezone(UTC)
    high = first.astimezone(UTC)  # by the offset before the gap, so after its end
    low = wall.replace(fold=1).astimezone(UTC)  # by the offset after it, so before
    zone, offset = wall.tzinfo, high.astimezone(wall.tzinfo).utcoffset()
    while high - low > _SECOND:
        middle = low + timedelta(seconds=(high - low) // _SECOND // 2)
        if middle.astimezone(zone).utcoffset() == offset:
            high = middle
        else:
            low = middle
    return high
