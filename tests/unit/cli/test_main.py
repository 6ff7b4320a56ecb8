"""How a command ends: its exit code, one line on stderr, and nothing else."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from tools.pages import command_names

from penstock.cli import cli, main

URL = "postgresql://shop:hunter2@127.0.0.1:1/shop"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No PENSTOCK_ variable of the caller, and sys.path restored."""
    for name in [name for name in os.environ if name.startswith("PENSTOCK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return monkeypatch


@pytest.fixture
def shop(tmp_path: Path, environment: pytest.MonkeyPatch) -> str:
    """The import path of an application in the current directory."""
    name = f"application_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(
        "from penstock import App\napp = App()\n"
        "@app.task(name='resize', queue='images')\ndef resize(path: str, width: int = 1) -> None: ...\n"
    )
    environment.chdir(tmp_path)
    return f"{name}:app"


def ended(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    with pytest.raises(SystemExit) as exit_:
        main(list(arguments))
    out = capsys.readouterr()
    assert isinstance(exit_.value.code, int)
    return exit_.value.code, out.out, out.err


def test_the_version_and_the_commands_are_printed(capsys):
    """Without a database and without an App."""
    code, out, _ = ended(capsys, "--version")
    assert (code, out.split()[0]) == (0, "penstock")
    code, out, err = ended(capsys)
    assert (code, err) == (0, "")
    assert {"worker", "migrate", "enqueue", "dev", "doctor", "queues", "jobs", "dead", "workers", "top"} <= set(
        out.split()
    )


@pytest.mark.parametrize("command", command_names())
def test_every_command_has_an_example_in_its_help(capsys, command: str):
    """A group lists its commands instead."""
    code, out, err = ended(capsys, *command.split(), "--help")
    assert (code, err) == (0, "")
    example = re.search(rf"^  Example: (?:kubectl )?penstock {command} ?", out, re.MULTILINE)
    assert example or "Commands:" in out


HELP_COLUMNS = 60
"""Columns for the description of a command in the list of its group; typer cuts longer ones with `...`."""


@pytest.mark.parametrize("command", command_names())
def test_the_first_line_of_help_is_one_short_sentence(command: str):
    """It is what the list of commands shows, whole."""
    first = help_of(command).help
    assert first is not None
    [sentence, *_] = first.split("\n\n")
    assert len(sentence) <= HELP_COLUMNS
    assert sentence.endswith(".")
    assert sentence[0].isupper()


@pytest.mark.parametrize("group", ["", "queues", "jobs", "dead"])
def test_no_description_in_a_list_of_commands_is_cut(capsys, group: str):
    """On a terminal of 80 columns."""
    _, out, _ = ended(capsys, *group.split(), "--help")
    _, commands = out.split("Commands:")
    assert "..." not in commands


@pytest.mark.parametrize("command", command_names())
def test_every_option_has_a_description(command: str):
    """A sentence that starts with a capital letter and ends with a period, before the variable in brackets."""
    described = {param.name: str(getattr(param, "help", "")) for param in help_of(command).params}
    sentence = re.compile(r"(/|[A-Z]).*\.( \[PENSTOCK_[A-Z_]+\])?")
    assert {name: text for name, text in described.items() if not sentence.fullmatch(text)} == {}


def help_of(command: str) -> Any:
    """The command as typer has built it."""
    found: Any = typer.main.get_command(cli)
    for name in command.split():
        found = found.commands[name]
    return found


BAD = [
    (["nope"], "No such command 'nope'"),
    (["worker", "--bogus"], "--bogus"),
    (["worker", "--concurrency", "x"], "--concurrency"),
    (["worker", "a:b"], "PENSTOCK_DATABASE_URL"),
    (["migrate"], "PENSTOCK_DATABASE_URL"),
    (["dev"], "--file"),
    (["enqueue", "t"], "PENSTOCK_APP"),
    (["enqueue", "t", "--raw", "--args", "[1]"], "Expected `object`, got `array`"),
    (["enqueue", "t", "--raw", "--args", "{"], "truncated, got '{'"),
    (["enqueue", "t", "--raw", "--args", "\udcff"], "surrogates not allowed"),
    (["enqueue", "t", "--raw", "--args", '{"a": "\\u0000"}'], "NUL"),
    (["enqueue", "a b", "--raw"], "without spaces, got 'a b'"),
    (["enqueue", "t", "--raw", "--queue", "a b"], "queue must be"),
    (["enqueue", "t", "--raw", "--delay", "-1"], "got -1"),
    (["enqueue", "t", "--raw"], "PENSTOCK_DATABASE_URL"),
    *(
        ([*command.split(), str(2**63)], "9223372036854775807")
        for command in (
            "jobs cancel",
            "jobs retry",
            "jobs show",
            "jobs why",
            "jobs list --before",
            "dead show",
            "dead redrive",
            "dead discard",
        )
    ),
]


@pytest.mark.parametrize(("arguments", "named"), BAD)
def test_bad_input_is_one_line_and_exit_code_2(capsys, arguments: list[str], named: str):
    """It names what was wrong; no traceback."""
    code, out, err = ended(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("penstock: ")
    assert err.count("\n") == 1
    assert named in err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["enqueue", "crop"], "the App has no task 'crop'; its tasks: resize"),
        (["enqueue", "resize"], "missing required field `path`"),
        (["enqueue", "resize", "--args", '{"path": "a", "width": "b"}'], "parameter 'width': expected `int`"),
        (["enqueue", "resize", "--args", '{"path": "a"}', "--priority", "9"], "priority must be"),
    ],
)
def test_a_job_is_checked_against_its_task(capsys, shop: str, arguments: list[str], named: str):
    """As `enqueue` in the application checks it; the App is found in the current directory."""
    code, _, err = ended(capsys, *arguments, "--app", shop)
    assert code == 2
    assert named in err


def test_options_of_a_worker_win_over_the_environment(capsys, environment, shop: str):
    """One parser checks both, and names the variable."""
    environment.setenv("PENSTOCK_DATABASE_URL", URL)
    environment.setenv("PENSTOCK_CONCURRENCY", "0")
    code, _, err = ended(capsys, "worker", shop)
    assert code == 2
    assert "concurrency (PENSTOCK_CONCURRENCY) must be a whole number from 1 to 10000, got '0'" in err.replace(
        "got 0", "got '0'"
    )
    code, _, err = ended(capsys, "worker", "nowhere_at_all:app", "--concurrency", "2", "--no-listen")
    assert code == 2
    assert "there is no module 'nowhere_at_all'" in err


@pytest.mark.parametrize("command", [["migrate"], ["enqueue", "t", "--raw"]])
def test_a_server_that_is_down_is_a_failure(capsys, environment, command: list[str]):
    """Exit code 1, one line, and no password in it."""
    environment.setenv("PENSTOCK_DATABASE_URL", URL)
    code, out, err = ended(capsys, *command)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert "cannot be reached" in err
    assert "hunter2" not in err


def test_the_migrations_are_printed_without_a_database(capsys):
    """A script for psql."""
    code, out, err = ended(capsys, "migrate", "--sql")
    assert (code, err) == (0, "")
    assert out.startswith("BEGIN;")
    assert out.endswith("COMMIT;\n")


def test_python_dash_m_penstock_is_the_same_command():
    """For when the script is not on PATH."""
    run = subprocess.run(
        [sys.executable, "-m", "penstock", "worker", "--nonsense"], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("penstock: No such option: --nonsense")


def test_a_reader_that_closes_its_pipe_early_is_no_error():
    """`penstock migrate --sql | head`."""
    code = f"{sys.executable} -m penstock migrate --sql | head -n 1"
    run = subprocess.run(["sh", "-c", code], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("BEGIN;\n", "")


def test_help_loads_no_driver():
    """What a command needs is imported when it runs."""
    heavy = "{'psycopg', 'asyncio', 'rich', 'yaml', 'prometheus_client', 'penstock.store', 'penstock.runtime.worker'}"
    code = f"import sys, penstock.cli; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"
