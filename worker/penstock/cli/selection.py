"""The filter that lists and bulk commands share, and the options that make it.

A time may be relative (`15m`, `2h`, `3d`): then it is counted back from the database's clock, because that clock wrote
what it is compared with.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from penstock.errors import ConfigurationError
from penstock.job import ENDED, JobState
from penstock.settings import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LARGEST_ID: Final = 2**63 - 1
"""Ids are a bigint."""
LIVE: Final = frozenset(JobState) - ENDED
_RELATIVE: Final = re.compile(r"(\d{1,9}(?:\.\d+)?)(s|m|h|d|w)")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

Queue = Annotated[str | None, typer.Option("--queue", help="Only of this queue.", show_default=False)]
Task = Annotated[str | None, typer.Option("--task", help="Only of this task, by its whole name.", show_default=False)]
State = Annotated[
    list[str] | None,
    typer.Option("--state", help=f"Only in this state; may be given again: {', '.join(JobState)}.", show_default=False),
]
Error = Annotated[
    str | None,
    typer.Option(
        "--error",
        help="Only with this text in the last error's type, message (where your login may read it) or reason.",
        show_default=False,
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since", help="Not older: 90s, 15m, 2h, 3d, 1w, or a time as 2026-01-31T12:00Z.", show_default=False
    ),
]
Limit = Annotated[int, typer.Option("--limit", help="Most lines.", min=1, max=5000)]
Before = Annotated[
    int | None,
    typer.Option("--before", help="Ids below this one: the next page.", min=1, max=LARGEST_ID, show_default=False),
]
Ids = Annotated[list[int] | None, typer.Argument(help="Ids of jobs.", show_default=False, min=1, max=LARGEST_ID)]
All = Annotated[bool, typer.Option("--all", help="Without another filter: every one.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def moment(text: str | None, clock: Callable[[], datetime]) -> datetime | None:
    """A time, or how long ago by `clock`, which is only asked then.

    Raises:
        ConfigurationError: it is neither.
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
    raise ConfigurationError(f"since must be as 90s, 15m, 2h, 3d, 1w or a time as 2026-01-31T12:00Z, got {shown(text)}")


def states(names: Iterable[str] | None, *, default: Iterable[JobState] = JobState) -> frozenset[JobState]:
    """The states of that name; without a name the default.

    Raises:
        ConfigurationError: there is no such state, or it is none of the default.
    """
    allowed = frozenset(default)
    if not names:
        return allowed
    for name in names:
        if name not in allowed:
            told = ", ".join(state for state in JobState if state in allowed)
            raise ConfigurationError(f"state must be one of {told}, got {shown(name)}")
    return frozenset(JobState(name) for name in names)


def chosen(ids: list[int] | None, *, filtered: bool, everything: bool, what: str) -> None:
    """A bulk command needs ids, or a filter, or `--all`; and only one way.

    Raises:
        ConfigurationError: none was given, or two that say different things.
    """
    if ids and (filtered or everything):
        raise ConfigurationError("give ids or a filter, not both")
    if not ids and not filtered and not everything:
        raise ConfigurationError(f"which {what}? give ids, a filter as --queue NAME, or --all")
