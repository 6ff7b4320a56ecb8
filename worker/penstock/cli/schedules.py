"""`penstock schedules`: declare, list and show schedules and their next ticks; pause and resume them, run one now.

Owns the columns of schedules. Must not decide ticks: maintenance does, from the row that a pause or a resume changes. A
resume says which tick comes first, computed from the declaration that was read; if that has changed meanwhile, the
statement does nothing and the command reads again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from penstock.errors import InvalidSchedule, PenstockError, shown

from . import filters
from .bulk_command import on_store, open_reader
from .database import JobQueueOption, Namespace, OutputOption, database_urls
from .output import Format, format_duration, pairs, table, write
from .schedule_declare import declare_schedules_of_app
from .schedule_lookup import (
    ComingTick,
    find_schedule,
    in_zone,
    merged_ticks,
    plain_recurrence,
    schedule_state,
    schedules_of_queue,
    upcoming_ticks,
)

if TYPE_CHECKING:
    from penstock.store import DeadLetters
    from penstock.store.schedules import ScheduleRow, Schedules

    from .database import DatabaseUrls

schedules = typer.Typer(help="Declare, list and show schedules; pause, resume, run now.", no_args_is_help=True)
schedules.command("declare")(declare_schedules_of_app)
SHOWN_TICKS: Final = 5
MAX_TICKS: Final = 100
DECLARATIONS: Final = 5
"""How often a resume reads a declaration that changes all the time."""
_COLUMNS: Final = ("queue", "name", "recurrence", "next", "last", "state", "source")
_SOURCES: Final = {"code": "code", "jobqueue": "JobQueue"}
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the schedule.")]
NamesArgument = Annotated[list[str], typer.Argument(metavar="NAME", help="Names of the schedules.")]
QueueOfSchedule = Annotated[
    str | None,
    typer.Option("--queue", help="Queue of the schedule, if several have the name.", show_default=False),
]


def _rows(urls: DatabaseUrls, queue: str | None) -> list[ScheduleRow]:
    """The schedules of a queue, or all; an error if no queue has the name."""
    with open_reader(urls) as reader:
        rows = reader.schedules()
        unscheduled = queue is not None and all(row.queue != queue for row in rows)
        return schedules_of_queue(rows, queue, [one.name for one in reader.queues(cap=1)] if unscheduled else ())


def _cells(row: ScheduleRow) -> tuple[object, ...]:
    next_at = None if row.paused else in_zone(row, row.next_at)
    times = (next_at, in_zone(row, row.last_tick))
    return row.queue, row.name, plain_recurrence(row), *times, schedule_state(row), _SOURCES.get(row.source, row.source)


def _value(row: ScheduleRow) -> dict[str, Any]:
    return {**row._asdict(), "recurrence": plain_recurrence(row), "state": schedule_state(row)}


@schedules.command("list")
def list_schedules(
    *,
    queue: filters.QueueOption = None,
    output: OutputOption = Format.TABLE,
    jobqueue: JobQueueOption = None,
    namespace: Namespace = None,
) -> None:
    """List schedules with their next and last ticks.

    Times are in the zone of the schedule. `late` means that it has not succeeded when it should have; `failing`, that
    its ticks cannot fire: `penstock schedules show` has the error.

    Example: penstock schedules list --queue reports
    """
    rows = _rows(database_urls(jobqueue, namespace), queue)
    write(output, list(map(_value, rows)), drawn=table(_COLUMNS, map(_cells, rows)), empty="no schedules")


@schedules.command("show")
def show_schedule(
    name: NameArgument,
    *,
    queue: QueueOfSchedule = None,
    output: OutputOption = Format.TABLE,
    jobqueue: JobQueueOption = None,
    namespace: Namespace = None,
) -> None:
    """Show one schedule with its next five ticks.

    A tick of a paused schedule is one that would fire after a resume.

    Example: penstock schedules show morning -o json
    """
    urls = database_urls(jobqueue, namespace)
    row = find_schedule(_rows(urls, queue), name)
    error, ticks = row.last_error, list[ComingTick]()
    try:
        ticks = upcoming_ticks(row, SHOWN_TICKS)
    except InvalidSchedule as invalid:
        error = error or str(invalid)
    job_state = None
    if row.last_job is not None:
        with open_reader(urls) as reader:
            found = reader.job(row.last_job)
        job_state = "no longer kept" if found is None else str(found.job["state"])
    value = {**_value(row), "last_error": error, "last_job_state": job_state, "next_ticks": [one.tick for one in ticks]}
    write(output, value, drawn=_details(row, job_state, error) + _drawn_ticks(row, ticks))


def _details(row: ScheduleRow, job_state: str | None, error: str | None) -> str:
    """Everything about a schedule but its ticks, for people."""
    return pairs(
        {
            "name": row.name,
            "queue": row.queue,
            "task": row.task,
            "recurrence": plain_recurrence(row),
            "expression": row.spec,
            "zone": row.zone,
            "source": _SOURCES.get(row.source, row.source),
            "state": schedule_state(row),
            "missed": f"All, at most {row.missed_limit}" if row.missed == "All" else row.missed,
            "overlap": row.overlap,
            "lead": f"{row.lead_seconds}s",
            "last tick": in_zone(row, row.last_tick),
            "last job": None if row.last_job is None else f"{row.last_job} ({job_state})",
            "last success": in_zone(row, row.last_success_at),
            "jobs": row.fired,
            "waiting": row.waiting or None,
            "late": None if row.late is None else format_duration(row.late),
            "error": error,
        }
    )


def _drawn_ticks(row: ScheduleRow, ticks: list[ComingTick]) -> str:
    drawn = table(("next ticks", "in"), ((in_zone(row, one.tick), format_duration(one.seconds)) for one in ticks))
    return f"\n{drawn}" if drawn else "\nno tick comes any more\n" if row.next_at is None and not row.paused else ""


@schedules.command("next")
def list_next(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Name of one schedule. Default: all.", show_default=False)
    ] = None,
    *,
    queue: filters.QueueOption = None,
    limit: Annotated[int, typer.Option("--limit", help="Number of ticks.", min=1, max=MAX_TICKS)] = SHOWN_TICKS,
    output: OutputOption = Format.TABLE,
    jobqueue: JobQueueOption = None,
    namespace: Namespace = None,
) -> None:
    """List the next ticks, earliest first.

    Times are in the zone of the schedule. Without a name, paused and suspended schedules are left out.

    Example: penstock schedules next morning --limit 10
    """
    rows = _rows(database_urls(jobqueue, namespace), queue)
    if name is None:
        ticks = merged_ticks(rows, limit)
    else:
        row = find_schedule(rows, name)
        ticks = upcoming_ticks(row, limit)
        if row.paused:
            typer.echo(f"penstock: schedule {row.name} is {schedule_state(row)}: none of these ticks fires", err=True)
    of = {(row.queue, row.name): row for row in rows}
    columns = ("at", "in", "queue", "name", "task")
    cells = (
        (in_zone(of[one.queue, one.name], one.tick), format_duration(one.seconds), one.queue, one.name, one.task)
        for one in ticks
    )
    write(output, ticks, drawn=table(columns, cells), empty="no ticks to come")


@schedules.command("pause")
def pause_schedules(
    names: NamesArgument,
    *,
    queue: QueueOfSchedule = None,
    dry_run: filters.DryRunOption = False,
    output: OutputOption = Format.TABLE,
    jobqueue: JobQueueOption = None,
    namespace: Namespace = None,
) -> None:
    """Stop the ticks of schedules until they are resumed.

    Jobs of earlier ticks continue. Neither a redeploy nor the JobQueue ends the pause: only `penstock schedules resume`
    does. Ticks of the pause never fire.

    Example: penstock schedules pause morning
    """
    _set(names, queue, database_urls(jobqueue, namespace), output, paused=True, dry_run=dry_run)


@schedules.command("resume")
def resume_schedules(
    names: NamesArgument,
    *,
    queue: QueueOfSchedule = None,
    dry_run: filters.DryRunOption = False,
    output: OutputOption = Format.TABLE,
    jobqueue: JobQueueOption = None,
    namespace: Namespace = None,
) -> None:
    """Let paused schedules tick again, from now on.

    A schedule that its declaration suspends does not tick until the declaration changes.

    Example: penstock schedules resume morning
    """
    _set(names, queue, database_urls(jobqueue, namespace), output, paused=False, dry_run=dry_run)


def _set(
    names: list[str], queue: str | None, urls: DatabaseUrls, output: Format, *, paused: bool, dry_run: bool
) -> None:
    rows = _rows(urls, queue)
    chosen = [find_schedule(rows, name) for name in dict.fromkeys(names)]
    changed = [row for row in chosen if (row.paused_at is not None) is not paused]
    if not dry_run and changed:
        on_store(urls, lambda store: _pause(store, changed, paused=paused))
    for row in chosen:
        if row.suspended and not paused:
            note = f"penstock: the declaration of schedule {row.name} suspends it: change the declaration"
            typer.echo(note, err=True)
    verb, would = ("paused", "would pause") if paused else ("resumed", "would resume")
    changed_names = [row.name for row in changed]
    listed = ", ".join(changed_names) or "nothing"
    message = f"{would} {listed}; nothing was changed\n" if dry_run else f"{verb} {listed}\n"
    write(output, {verb: changed_names, "dry_run": dry_run}, drawn=message)


async def _pause(store: DeadLetters, rows: list[ScheduleRow], *, paused: bool) -> None:
    for row in rows:
        await pause_or_resume(store.schedules, row, paused=paused)


async def pause_or_resume(statements: Schedules, row: ScheduleRow, *, paused: bool) -> None:
    """Pause or resume one schedule, whichever declaration it has by then.

    Raises:
        PenstockError: it was removed meanwhile, or is declared again all the time.
    """
    for _ in range(DECLARATIONS):
        from_now = [] if paused else upcoming_ticks(row._replace(paused=True), 1)
        found, done = await statements.pause(row, paused=paused, next_at=from_now[0].tick if from_now else None)
        if done:
            return
        again = [one for one in await statements.list([row.queue]) if one.name == row.name]
        if not found or not again:
            raise PenstockError(f"schedule {shown(row.name)} was removed meanwhile")
        row = again[0]
    raise PenstockError(f"schedule {shown(row.name)} is being declared all the time: try again later")


@schedules.command("run-now")
def run_now(
    name: NameArgument,
    *,
    queue: QueueOfSchedule = None,
    dry_run: filters.DryRunOption = False,
    output: OutputOption = Format.TABLE,
    jobqueue: JobQueueOption = None,
    namespace: Namespace = None,
) -> None:
    """Enqueue a job of a schedule now, and print its id.

    It works while the schedule is paused and moves no tick. A tick that comes while the job is live is skipped or waits
    for it, as the schedule's overlap policy says.

    Example: penstock schedules run-now morning
    """
    urls = database_urls(jobqueue, namespace)
    row = find_schedule(_rows(urls, queue), name)
    if dry_run:
        drawn = f"would enqueue a job of schedule {row.name} ({row.task}) to queue {row.queue}; nothing was changed\n"
        write(output, {"id": None, "dry_run": True}, drawn=drawn)
        return
    job = on_store(urls, lambda store: store.schedules.run(row.queue, row.name))
    if job is None:
        raise PenstockError(f"schedule {shown(row.name)} was removed meanwhile")
    write(output, {"id": job, "dry_run": False}, drawn=f"{job}\n")
