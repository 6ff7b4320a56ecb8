"""What bulk commands share: the question with the count, batches with a bar, and statements of the async store.

A bar is drawn on stderr and only on a terminal, so that output stays a program's to read. Surprising: where nobody can
answer, a command that would ask refuses, because a script that forgot `--yes` must not wait for ever.
"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Self, TypeVar

import typer

from penstock.errors import ConfigurationError

if TYPE_CHECKING:
    from penstock.store import DeadLetters

    from .database import Address

BATCH: Final = 500
"""Jobs in one transaction: long enough to be quick, short enough to hold no claim up."""
_WIDTH: Final = 30
T = TypeVar("T")


def confirmed(question: str, *, yes: bool) -> bool:
    """Ask on stderr; True without asking if `yes`.

    Raises:
        ConfigurationError: nobody is there to answer.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{question} nobody can answer here: give --yes, or --dry-run to see")
    return typer.confirm(question, err=True)


class Progress:
    """A bar on stderr, if that is a terminal.

    Args:
        total: steps in all.
        doing: said before the bar.
    """

    def __init__(self, total: int, doing: str) -> None:
        self._total, self._doing, self._done = total, doing, 0
        self._drawn = sys.stderr.isatty() and total > 0

    def __enter__(self) -> Self:
        self.to(0)
        return self

    def __exit__(self, *_: object) -> None:
        if self._drawn:
            sys.stderr.write("\n")

    def to(self, done: int) -> None:
        """So many steps are done."""
        self._done = done
        if self._drawn:
            filled = min(_WIDTH, _WIDTH * done // self._total)
            bar = "#" * filled + "." * (_WIDTH - filled)
            sys.stderr.write(f"\r{self._doing} [{bar}] {done:,} of {self._total:,}")
            sys.stderr.flush()

    def advance(self, steps: int) -> None:
        """So many more."""
        self.to(self._done + steps)


def person() -> str:
    """Who types, as the operating system knows them; in a container nobody has a name."""
    try:
        return f"{getpass.getuser()} on the command line"
    except (KeyError, OSError, ImportError):
        return "somebody on the command line"


def batches(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """In pieces of `BATCH`."""
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]


def on_store(where: Address, work: Callable[[DeadLetters], Awaitable[T]]) -> T:
    """Run `work` with the store's statements, over one connection."""
    import asyncio  # noqa: PLC0415 - with the driver, when it is needed

    from penstock.store import DeadLetters  # noqa: PLC0415

    async def run() -> T:
        async with DeadLetters(where.url, name="penstock command", lanes=1, pooled=where.pooled) as store:
            return await work(store)

    return asyncio.run(run())
