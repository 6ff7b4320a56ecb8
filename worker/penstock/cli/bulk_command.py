"""Shared code of the four bulk commands: `jobs cancel`, `jobs retry`, `dead redrive` and `dead discard`.

`BulkCommand` owns the options, the question with the count, the dry run, the batches with a progress bar, and the
output; a subclass says which jobs it may change and how. It must not know one command from another. Without a terminal
a command that would ask refuses, because a script that forgot `--yes` must not wait for an answer.
"""

from __future__ import annotations

import getpass
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeVar

import typer

from penstock.errors import ConfigurationError
from penstock.plural import plural, plural_word

from . import filters
from .database import DatabaseUrls, JobQueueOption, Namespace, OutputOption, database_urls
from .dry_run import LEFT, drawn_dry_run, dry_run
from .output import Format, write
from .parameters import Parameter, with_parameters

if TYPE_CHECKING:
    from penstock.job import JobState
    from penstock.store import DeadLetters
    from penstock.store.inspect.inspection import Reader

BATCH: Final = 500
"""Jobs per transaction: large enough to be fast, small enough not to delay claims."""
_WIDTH: Final = 30
_FILTERS: Final[Mapping[str, Any]] = {
    "queue": filters.QueueOption,
    "task": filters.TaskOption,
    "state": filters.StateOption,
    "reason": filters.DeadReason,
    "error": filters.Error,
    "since": filters.Since,
}
T = TypeVar("T")


class BulkCommand(ABC):
    """One invocation of a bulk command. The class attributes are what the commands differ in."""

    name: ClassVar[str]
    help: ClassVar[str]
    action: ClassVar[str]
    """The command applied to `{}`, as `cancel {}`; asked as a question and reported by a dry run."""
    doing: ClassVar[str]
    """The label of the progress bar, as `cancelling`."""
    noun: ClassVar[str] = "job"
    filters: ClassVar[tuple[str, ...]] = ("queue", "task", "error", "since")
    options: ClassVar[Mapping[str, Parameter]] = {}
    """Options of this command alone: annotation and default by parameter name."""
    results: ClassVar[tuple[str, ...]]
    """The counts in its output, as `cancelled`."""
    would: ClassVar[Mapping[JobState, str]]
    """The result for a job in each state that the command changes."""

    def __init__(self, urls: DatabaseUrls, given: Mapping[str, Any]) -> None:
        self.urls = urls
        self.given = given
        self.ids: list[int] = sorted(set(given["ids"] or ()))
        self.by_id = bool(self.ids)

    @classmethod
    def register(cls, group: typer.Typer) -> None:
        """Add the command to its group, with the shared options and its own."""
        parameters = {
            "ids": (filters.Ids, None),
            **{name: (_FILTERS[name], None) for name in _FILTERS if name in cls.filters},
            "everything": (filters.All, False),
            **cls.options,
            "dry_run": (filters.DryRunOption, False),
            "yes": (filters.Yes, False),
            "output": (OutputOption, Format.TABLE),
            "jobqueue": (JobQueueOption, None),
            "namespace": (Namespace, None),
        }

        def command(**given: Any) -> None:
            cls(database_urls(given["jobqueue"], given["namespace"]), given).run()

        group.command(cls.name, help=cls.help)(with_parameters(command, parameters))

    @abstractmethod
    def find(self) -> int:
        """Find what the filters match now, and return its number; not called if ids were given."""

    @abstractmethod
    def change(self, progress: ProgressBar) -> dict[str, int]:
        """Change the jobs of `ids`, or those that `find` found, in batches; return the counts named in `results`."""

    def details(self) -> dict[str, Any]:
        """Further fields of the output, after `change`."""
        return {}

    def detail_lines(self) -> Iterator[str]:
        """Further lines of the output, after `change`."""
        return iter(())

    def run(self) -> None:
        """Select, ask, change and report.

        Raises:
            ConfigurationError: the selection is empty or contradictory, or nobody can answer the question.
            typer.Exit: 1 if the answer was no.
        """
        filtered = any(self.given[name] for name in self.filters)
        noun = plural_word(2, self.noun)
        filters.check_selection(self.ids, filtered=filtered, everything=self.given["everything"], noun=noun)
        dry = self.given["dry_run"]
        if self.by_id and dry:
            self._report_dry_run_by_id()
            return
        count = len(self.ids) if self.by_id else self.find()
        done = dict.fromkeys(self.results, 0)
        if count and not dry:
            if not self.by_id and not confirmed(f"{self._would(count)}?".capitalize(), yes=self.given["yes"]):
                raise typer.Exit(1)
            with ProgressBar(count, self.doing) as progress:
                done = self.change(progress)
        left = 0 if dry else count - sum(done.values())
        value = {"matched": count, "dry_run": dry, **done, "left": left, **self.details()}
        write(self.given["output"], value, drawn=self._drawn(count, {**done, "left": left}, dry=dry))

    def _would(self, count: int) -> str:
        return self.action.format(plural(count, self.noun))

    def _drawn(self, count: int, counts: Mapping[str, int], *, dry: bool) -> str:
        if not count:
            return f"no {plural_word(2, self.noun)} match; nothing was changed\n"
        if dry:
            return f"would {self._would(count)}; nothing was changed\n"
        summary = ", ".join(f"{number:,} {name}" for name, number in counts.items())
        return "".join(f"{line}\n" for line in (summary, *self.detail_lines()))

    def _report_dry_run_by_id(self) -> None:
        with open_reader(self.urls) as reader:
            found = dry_run(reader, self.ids, self.would)
        count = sum(one.would != LEFT for one in found)
        drawn = drawn_dry_run(found) + f"would {self._would(count)}; nothing was changed\n"
        write(self.given["output"], {"matched": count, "dry_run": True, "jobs": found}, drawn=drawn)


def confirmed(question: str, *, yes: bool) -> bool:
    """Ask on stderr; True without asking if `yes`.

    Raises:
        ConfigurationError: stdin is not a terminal.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{question} There is no terminal to answer: give --yes, or --dry-run to see")
    return typer.confirm(question, err=True)


class ProgressBar:
    """A progress bar on stderr; draws nothing if stderr is not a terminal.

    Args:
        total: number of steps.
        label: printed before the bar.
    """

    def __init__(self, total: int, label: str) -> None:
        self._total, self._label, self._done = total, label, 0
        self._drawn = sys.stderr.isatty() and total > 0

    def __enter__(self) -> Self:
        self.to(0)
        return self

    def __exit__(self, *_: object) -> None:
        if self._drawn:
            sys.stderr.write("\n")

    def to(self, done: int) -> None:
        """Set the number of steps that are done."""
        self._done = done
        if self._drawn:
            filled = min(_WIDTH, _WIDTH * done // self._total)
            bar = "#" * filled + "." * (_WIDTH - filled)
            sys.stderr.write(f"\r{self._label} [{bar}] {done:,} of {self._total:,}")
            sys.stderr.flush()

    def advance(self, steps: int) -> None:
        """Add to the number of steps that are done."""
        self.to(self._done + steps)


def os_user() -> str:
    """The user of the operating system, for the reason of a cancelled job; a container may have none."""
    try:
        return f"{getpass.getuser()} on the command line"
    except (KeyError, OSError, ImportError):
        return "an unknown user on the command line"


def batches(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """The ids in pieces of `BATCH`."""
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]


def open_reader(urls: DatabaseUrls) -> Reader:
    """The queries of the lists, over one connection."""
    from penstock.store.inspect.inspection import Reader  # noqa: PLC0415 - the driver is loaded when it is needed

    return Reader(urls.url, pooled=urls.pooled)


def on_store(urls: DatabaseUrls, work: Callable[[DeadLetters], Awaitable[T]]) -> T:
    """Run `work` with the store's statements, over one connection."""
    import asyncio  # noqa: PLC0415 - with the driver, when it is needed

    from penstock.store import DeadLetters  # noqa: PLC0415

    async def run() -> T:
        async with DeadLetters(urls.url, name="penstock command", lanes=1, pooled=urls.pooled) as store:
            return await work(store)

    return asyncio.run(run())
