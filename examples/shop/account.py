"""The demo's report: what became of every job, its effects outside the database, and the number of workers.

It reads the jobs by id, the mails that arrived, the files that were written, and the scale decisions.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from penstock import JobState
from penstock.dev.view import scaled_line
from penstock.job import ENDED
from penstock.plural import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from penstock import App, JobInfo
    from penstock.dev.autoscaler import Scaled
    from penstock.dev.session import Session

    from .smtp_sink import SmtpSink

HERE = Path(__file__).parent
WRITERS = ("resize_image", "sync_user_data", "generate_report")
"""Tasks that return the path of the file that they wrote."""


@dataclass(slots=True, kw_only=True)
class Account:
    """The results; `problems` is empty if every job and effect was found."""

    jobs: Sequence[JobInfo]
    mails: int
    deliveries: int
    pictures: int
    users: int
    reports: int
    scaled: Sequence[Scaled]
    seconds: float
    problems: list[str] = field(default_factory=list)


async def take(app: App, ids: Sequence[int], *, session: Session, sink: SmtpSink) -> Account:
    """Look up every job, and compare its expected effects with the actual ones."""
    infos = [info for job_id in ids if (info := await app.client.info_async(job_id))]
    status = session.status()
    made = {task: {str(info.result) for info in _completed(infos, task)} for task in WRITERS}
    found = Account(
        jobs=infos,
        mails=len(sink.message_ids),
        deliveries=sink.mails,
        pictures=_existing(made["resize_image"]),
        users=_existing(made["sync_user_data"]),
        reports=_existing(made["generate_report"]),
        scaled=status.scaled,
        seconds=status.elapsed,
    )
    found.problems += _lost(ids, infos)
    found.problems += _wrong_states(infos)
    if found.mails != len(_completed(infos, "send_welcome_email")):
        found.problems.append(f"{plural(found.mails, 'mail')} arrived, not one for each job")
    for task, paths in made.items():
        if lost := len(paths) - _existing(paths):
            found.problems.append(f"{plural(lost, 'file')} of {task} missing")
    for queue in status.queues:
        counts = [one.after for one in status.scaled if one.queue == queue.name]
        if not counts or max(counts) < 1 or counts[-1] != 0 or queue.workers:
            found.problems.append(f"queue {queue.name} did not scale from zero and back: {counts}")
    return found


def _existing(paths: set[str]) -> int:
    return sum(Path(path).is_file() for path in paths)


def _completed(infos: Sequence[JobInfo], task: str) -> list[JobInfo]:
    return [info for info in infos if info.state is JobState.COMPLETED and info.task.endswith(task)]


def _lost(ids: Sequence[int], infos: Sequence[JobInfo]) -> list[str]:
    missing = set(ids) - {info.id for info in infos}
    unfinished = [info for info in infos if info.state not in ENDED]
    problems = [f"{plural(len(missing), 'job')} not found: {sorted(missing)[:5]}"] if missing else []
    return problems + [f"job {info.id} {info.task} is {info.state}" for info in unfinished[:5]]


def _wrong_states(infos: Sequence[JobInfo]) -> list[str]:
    """A job that always fails must be a dead letter, and no other job may be one."""
    wrong = []
    for info in infos:
        times = info.args.get("times") if info.task.endswith("failing_job") else 0
        expected = JobState.DEAD if times is None else JobState.COMPLETED
        if info.state in ENDED and info.state is not expected:
            why = info.errors[-1].get("message") if isinstance(info.errors, list) and info.errors else info.reason
            wrong.append(f"job {info.id} {info.task} is {info.state}, expected {expected}: {why}")
    return wrong[:5]


def report(account: Account, console: Console) -> None:
    """Print the summary."""
    console.print()
    table = Table(title="Jobs by task", title_justify="left", box=None, header_style="bold", pad_edge=False)
    for name in ("QUEUE", "TASK", "JOBS", "COMPLETED", "DEAD LETTERS", "RETRIES", "WAIT P50", "WAIT P95"):
        table.add_column(name, justify="left" if name in {"QUEUE", "TASK"} else "right")
    by_task: dict[tuple[str, str], list[JobInfo]] = defaultdict(list)
    for info in account.jobs:
        by_task[info.queue, info.task].append(info)
    for (queue, task), infos in sorted(by_task.items()):
        table.add_row(queue, task.rpartition(":")[2], *_row(infos))
    table.add_row("all", "", *_row(account.jobs), style="bold")
    console.print(table)
    console.print()
    console.print(f"Scale decisions ({len(account.scaled)})", style="bold")
    for one in account.scaled:
        console.print(scaled_line(one), markup=False, highlight=False, soft_wrap=True)
    console.print()
    states = Counter(info.state for info in account.jobs)
    console.print(
        f"{plural(len(account.jobs), 'job')} in {account.seconds:.0f} s: {states[JobState.COMPLETED]} completed, "
        f"{states[JobState.DEAD]} dead letters; {plural(account.mails, 'mail')} delivered "
        f"({plural(account.deliveries, 'delivery', 'deliveries')}), "
        f"{account.pictures} pictures written, {account.users} users fetched, {account.reports} reports.",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    for problem in account.problems:
        console.print(f"PROBLEM: {problem}", style="bold red", markup=False, soft_wrap=True)
    if not account.problems:
        console.print("Everything is accounted for.", style="bold green")


def _row(infos: Sequence[JobInfo]) -> list[str]:
    states = Counter(info.state for info in infos)
    waits = sorted(
        (info.claimed_at - info.ready_at).total_seconds() for info in infos if info.claimed_at and info.ready_at
    )
    at = [f"{waits[int((len(waits) - 1) * share)]:.2f} s" if waits else "-" for share in (0.5, 0.95)]
    retries = sum(info.attempt - 1 for info in infos)
    return [str(len(infos)), str(states[JobState.COMPLETED]), str(states[JobState.DEAD]), str(retries), *at]
