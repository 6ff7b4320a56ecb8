"""The command line `penstock`: one module per noun; typer is imported only in this package.

Owns the exit codes. 0: success. 2: invalid input; one line on stderr, and nothing was written. 1: any other failure, as
a server that is down or a missing schema; also one line. An exception that is not a PenstockError keeps its traceback,
because it is a bug, here or in the application.

Each command imports what it needs when it runs, which keeps `penstock --help` fast.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from penstock.database.system_certificates import use_system_certificates
from penstock.early_signals import early_exit_code, exit_on_signals
from penstock.errors import ConfigurationError, PayloadTooLarge, PenstockError, TaskError
from penstock.runtime.process_exit import interrupt_on_signals

from . import bench, dead, dev, doctor, enqueue, grants, jobs, migrate, queues, schedules, top, worker, workers

BAD_INPUT: Final = 2
FAILURE: Final = 1
INTERRUPTED: Final = 130
TERMINATED: Final = 143

cli = typer.Typer(
    name="penstock",
    help="Demand-driven background jobs on Postgres.",
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
cli.command("worker")(worker.worker)
cli.command("migrate")(migrate.migrate)
cli.command("grants")(grants.grants)
cli.command("doctor")(doctor.doctor)
cli.command("enqueue")(enqueue.enqueue)
cli.command("dev")(dev.dev)
cli.add_typer(queues.queues, name="queues")
cli.add_typer(jobs.jobs, name="jobs")
cli.add_typer(dead.dead, name="dead")
cli.add_typer(schedules.schedules, name="schedules")
cli.command("workers")(workers.workers)
cli.command("top")(top.top)
cli.command("bench")(bench.bench)


def _version(requested: bool) -> None:
    if requested:
        import penstock  # noqa: PLC0415 - the version is read on request only

        typer.echo(f"penstock {penstock.__version__}")
        raise typer.Exit


@cli.callback()
def root(
    context: typer.Context,
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Demand-driven background jobs on Postgres."""
    if context.invoked_subcommand is None and not version:
        typer.echo(context.get_help())


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run one command and exit the process.

    Args:
        arguments: without the program's name; default `sys.argv[1:]`.
    """
    if not sys.flags.safe_path and os.getcwd() not in sys.path:  # noqa: PTH109 - an entry of sys.path is text
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as `python -m` does, to find the application
    use_system_certificates()
    if arguments is not None:
        sys.exit(_run(arguments))  # the caller owns the signals
    early = early_exit_code(sys.argv[1:])
    if early is None:
        sys.exit(_run(None, terminated=interrupt_on_signals()))
    exit_on_signals(early)  # until the worker installs its own; `manage.py penstock worker` has none yet
    code = _run(None)
    exit_on_signals(code)  # the worker has finished: a signal does not change what it reports
    sys.exit(code)


def _run(arguments: list[str] | None, *, terminated: Callable[[], bool] = bool) -> int:
    """Run one command and return its exit code.

    Raises:
        SystemExit: it failed, which standard error says.
    """
    try:
        code = cli(arguments, standalone_mode=False, prog_name=_program())
        sys.stdout.flush()
    except PenstockError as error:
        bad_input = isinstance(error, ConfigurationError | TaskError | PayloadTooLarge)
        _exit(str(error), BAD_INPUT if bad_input else FAILURE)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:  # the reader closed its end, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except Exception as error:
        if (usage := getattr(error, "format_message", None)) is None:  # typer's errors have no public base class
            raise
        _exit(usage(), BAD_INPUT)
    if code == INTERRUPTED and terminated():  # typer returns this code for a KeyboardInterrupt
        code = TERMINATED
    return code if isinstance(code, int) else 0


def _program() -> str:
    """The program as the user typed it: kubectl runs `kubectl-penstock` for `kubectl penstock`."""
    return "kubectl penstock" if Path(sys.argv[0]).name.startswith("kubectl-") else "penstock"


def _exit(message: str, code: int) -> NoReturn:
    typer.echo(f"penstock: {' '.join(message.split())}", err=True)
    sys.exit(code)
