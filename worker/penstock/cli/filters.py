"""The filter options that lists and bulk commands share, and their parsing.

A relative time (`15m`, `2h`, `3d`) is subtracted from the database's clock, because that clock wrote the times that it
is compared with.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from penstock.errors import ConfigurationError, shown
from penstock.job import ENDED, JobState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_ID: Final = 2**63 - 1
"""Ids are bigint."""
LIVE: Final = frozenset(JobState) - ENDED
_RELATIVE: Final = re.compile(r"(\d{1,9}(?:\.\d+)?)(s|m|h|d|w)")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

QueueOption = Annotated[str | None, typer.Option("--queue", help="Only this queue.", show_default=False)]
TaskOption = Annotated[str | None, typer.Option("--task", help="Only this task, by its full name.", show_default=False)]
StateOption = Annotated[
    list[str] | None,
    typer.Option("--state", help=f"Only this state; repeatable: {', '.join(JobState)}.", show_default=False),
]
DeadReason = Annotated[
    str | None,
    typer.Option("--reason", help="Only this reason, as exhausted, poison or deadline.", show_default=False),
]
Error = Annotated[
    str | None,
    typer.Option(
        "--error",
        help="Only with this text in the last error's type, reason, or message (if your login may read it).",
        show_default=False,
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since", help="Not older than 90s, 15m, 2h, 3d, 1w, or a time as 2026-01-31T12:00Z.", show_default=False
    ),
]
Limit = Annotated[int, typer.Option("--limit", help="Maximum number of lines.", min=1, max=5000)]
Before = Annotated[
    int | None,
    typer.Option("--before", help="Only ids below this one, for the next page.", min=1, max=MAX_ID, show_default=False),
]
Ids = Annotated[list[int] | None, typer.Argument(help="Ids of jobs.", show_default=False, min=1, max=MAX_ID)]
All = Annotated[bool, typer.Option("--all", help="All of them; required without ids and filters.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Report what would be done and change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


def moment(text: str | None, clock: Callable[[], datetime]) -> datetime | None:
    """The time that `text` means; a relative one is subtracted from `clock()`, which is called only then.

    Raises:
        ConfigurationError: it is neither a time nor a duration.
    """
    if text is None:
        return None
    if found := _RELATIVE.fullmatch(text):
        try:
            return clock() - timedelta(**{_UNITS[found[2]]: float(found[1])})
        except OverflowError:
            pass
    else:
        try:
            given = datetime.fromisoformat(text)
            return given if given.tzinfo is not None else given.replace(tzinfo=UTC)
        except ValueError:
            pass
    raise ConfigurationError(
        f"since must be a duration as 90s, 15m, 2h, 3d, 1w or a time as 2026-01-31T12:00Z, got {shown(text)}"
    )


def states(names: Iterable[str] | None, *, default: Iterable[JobState] = JobState) -> frozenset[JobState]:
    """The states with these names; the default without a name.

    Raises:
        ConfigurationError: a name is not one of the default's states.
    """
    allowed = frozenset(default)
    if not names:
        return allowed
    for name in names:
        if name not in allowed:
            known = ", ".join(state for state in JobState if state in allowed)
            raise ConfigurationError(f"state must be one of {known}, got {shown(name)}")
    return frozenset(JobState(name) for name in names)


def check_selection(ids: list[int] | None, *, filtered: bool, everything: bool, noun: str) -> None:
    """A bulk command needs ids, or a filter, or `--all`.

    Raises:
        ConfigurationError: none of them was given, or ids together with a filter or `--all`.
    """
    if ids and (filtered or everything):
        raise ConfigurationError("give ids or a filter, not both")
    if not ids and not filtered and not everything:
        raise ConfigurationError(f"which {noun}? give ids, a filter as --queue NAME, or --all")
