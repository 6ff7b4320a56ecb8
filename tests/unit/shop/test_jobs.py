"""The shop's tasks do what they say, run as jobs in this process."""

import asyncio
import json
import os
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from PIL import Image

from penstock import NEVER, JobState, Retry
from penstock.errors import InvalidArguments
from penstock.job import OutcomeState
from penstock.testing import InlineRun
from shop import files, jobs, pictures, reports
from shop.smtp_sink import SmtpSink
from shop.users_api import UsersApi


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the shop's own pictures to read from by default, and one of this test to write to."""
    monkeypatch.delenv("SHOP_IMAGES", raising=False)
    monkeypatch.setenv("SHOP_OUTPUT", str(tmp_path / "out"))
    return tmp_path


def run(job) -> InlineRun:
    [ended] = jobs.app.run_inline(job)
    return ended


def test_each_task_has_its_queue():
    """Those that jobqueues.yaml declares."""
    assert {name.removeprefix("shop.jobs:"): task.queue for name, task in jobs.app.tasks.items()} == {
        "hello": "emails",
        "send_welcome_email": "emails",
        "resize_image": "images",
        "sync_user_data": "analytics",
        "generate_report": "reports",
        "failing_job": "reports",
        "heavy_job": "analytics",
    }


def test_hello_greets_after_a_second(capsys):
    """And says so."""
    started = time.monotonic()
    assert run(jobs.hello.job("World")).result == "Hello, World!"
    assert time.monotonic() - started >= 1
    assert capsys.readouterr().out == "Hello, World!\n"


async def test_a_welcome_mail_reaches_the_server_once_per_job(monkeypatch):
    """The same mail again carries the same Message-ID."""
    async with SmtpSink() as sink:
        monkeypatch.setenv("SHOP_SMTP", sink.address)
        runs = await jobs.app.run_inline_async(*(jobs.send_welcome_email.job(user) for user in (1, 2, 2)))
    assert [ended.state for ended in runs] == [OutcomeState.COMPLETED] * 3
    assert sink.mails == 3
    assert sink.message_ids == {"<welcome-1@shop.example.com>": 1, "<welcome-2@shop.example.com>": 2}


async def test_a_mail_server_that_is_down_is_tried_again(monkeypatch):
    """As many attempts as the job has."""
    async with SmtpSink() as sink:
        address = sink.address
    monkeypatch.setenv("SHOP_SMTP", address)
    [ended] = await jobs.app.run_inline_async(jobs.send_welcome_email.options(max_attempts=2).job(1))
    assert (ended.state, ended.attempts) == (OutcomeState.FAILED, 2)
    assert isinstance(ended.exception, ConnectionRefusedError)


@pytest.mark.parametrize("name", pictures.pictures(Path(pictures.__file__).parent / "images"))
def test_every_picture_of_the_shop_is_resized(folders: Path, name: str):
    """In its own format, to exactly the size asked for; a second run replaces the first."""
    path = run(jobs.resize_image.job(name, 64, height=48)).result
    assert path == run(jobs.resize_image.job(name, 64, 48)).result
    with Image.open(str(path)) as image:
        assert image.size == (64, 48)
    assert [file.suffix for file in (folders / "out").iterdir()] == [Path(name).suffix]


@pytest.mark.parametrize(
    "path", ["../jobs.py", "/etc/hostname", "missing.png", "LICENSE.md", "..", "link.png", "text.png", "huge.png"]
)
def test_what_is_no_picture_of_the_folder_is_refused_for_good(folders: Path, monkeypatch, path: str):
    """A path or a link out of it, a file that is no picture or unfolds too far: one attempt, nothing written."""
    source = folders / "in"
    source.mkdir()
    (source / "link.png").symlink_to("/etc/hostname")
    (source / "text.png").write_text("not a picture")
    Image.new("1", (10_000, 5_001)).save(source / "huge.png")
    (source / "LICENSE.md").write_text("")
    monkeypatch.setenv("SHOP_IMAGES", str(source))
    ended = run(jobs.resize_image.job(path, 10, 10))
    assert (ended.state, ended.attempts) == (OutcomeState.FAILED, 1)
    assert ended.exception is not None
    assert jobs.resize_image.backoff_for(ended.exception) is NEVER
    assert not list((folders / "out").glob("*"))


@pytest.mark.parametrize("size", [(0, 1), (1, 0), (4097, 1), ("a", 1)])
def test_a_size_out_of_bounds_is_refused_when_it_is_enqueued(size):
    """1 to 4096 pixels a side, by the annotation alone."""
    with pytest.raises(InvalidArguments, match=r"parameter '(width|height)'"):
        jobs.resize_image.job("dunes.jpg", *size)


def test_pictures_go_to_a_folder_of_this_users_own_by_default(monkeypatch, tmp_path):
    """Never into one that somebody else could have prepared."""
    monkeypatch.delenv("SHOP_OUTPUT", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert files.output_folder().stat().st_mode & 0o777 == 0o700
    files.output_folder().rmdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"shop-output-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(files.OutputFolderError, match="set SHOP_OUTPUT"):
        files.output_folder()


@pytest.fixture
def users(monkeypatch: pytest.MonkeyPatch) -> Iterator[UsersApi]:
    """The users' service, as the tasks find it."""
    with UsersApi() as api:
        monkeypatch.setenv("SHOP_USERS", api.url)
        yield api


def test_a_users_data_is_kept_as_the_service_has_it(folders: Path, users: UsersApi):
    """A second run asks again and replaces the file."""
    path = run(jobs.sync_user_data.job(7)).result
    assert path == run(jobs.sync_user_data.job(7)).result
    assert json.loads(Path(str(path)).read_text()) == {"id": 7, "name": "User 7", "mail": "user-7@example.com"}
    assert [file.name for file in (folders / "out" / "users").iterdir()] == ["7.json"]
    assert users.asked == {"/users/7": 2}


def test_a_user_that_is_not_there_is_given_up(folders: Path, users: UsersApi):
    """Cancelled, not failed: nobody has to act."""
    ended = run(jobs.sync_user_data.job(10_001))
    assert (ended.state, ended.attempts, users.asked.total()) == (OutcomeState.CANCELLED, 1, 1)
    assert "no user 10001" in str(ended.exception)


def test_an_address_that_is_no_web_address_is_refused(folders: Path, monkeypatch):
    """A file of this machine is not a user."""
    monkeypatch.setenv("SHOP_USERS", "file:///etc")
    with pytest.raises(ValueError, match="SHOP_USERS must start with http"):
        jobs.sync_user_data(7)


def test_a_service_that_asks_for_time_is_given_it(folders: Path, users: UsersApi):
    """Its own number of seconds, as a retry."""
    users.busy = 1
    with pytest.raises(Retry) as asked:
        jobs.sync_user_data(8)
    assert asked.value.delay == 1
    users.busy = 2
    ended = run(jobs.sync_user_data.options(max_attempts=3).job(8))
    assert (ended.state, ended.attempts) == (OutcomeState.COMPLETED, 3)


def test_a_report_is_a_pdf_of_its_days(folders: Path):
    """A page for 31 of them; the same days give the same bytes."""
    path = Path(str(run(jobs.generate_report.job(date(2026, 1, 1), date(2026, 2, 1))).result))
    first = path.read_bytes()
    assert first.startswith(b"%PDF-")
    assert first.count(b"/Type /Page\n") == 2
    assert reports.reported(date(2026, 1, 1), date(2026, 2, 1)).read_bytes() == first
    assert [file.name for file in (folders / "out").iterdir()] == ["report-2026-01-01-2026-02-01.pdf"]
    assert all(20 <= reports.orders_of(date(2026, 1, day)) < 220 for day in range(1, 32))


@pytest.mark.parametrize("last", [date(2025, 12, 31), date(2027, 1, 2)])
def test_a_report_of_no_days_or_too_many_is_refused_for_good(folders: Path, last: date):
    """One attempt, nothing written."""
    ended = run(jobs.generate_report.job(date(2026, 1, 1), last))
    assert (ended.state, ended.attempts) == (OutcomeState.FAILED, 1)
    assert not (folders / "out").exists()


def test_the_shop_asserts_its_jobs_by_the_plugins_fixtures(assert_enqueued, assert_not_enqueued, penstock_app):
    """Nothing is written anywhere."""
    assert penstock_app is jobs.app
    jobs.send_welcome_email.options(delay=60).enqueue(7)
    assert_enqueued(jobs.send_welcome_email.options(delay=60).job(7), times=1)
    assert_not_enqueued(jobs.sync_user_data)


def test_a_failing_job_fails_as_often_as_it_is_asked():
    """Until then it is retried; without a number it is a dead letter."""
    assert run(jobs.failing_job.options(max_attempts=3).job(times=2)).result == "succeeded at attempt 3"
    with jobs.app.test_mode():
        handle = jobs.failing_job.enqueue()
        jobs.app.run_inline()
        assert handle.status() is JobState.DEAD


def test_a_heavy_job_works_for_its_time():
    """And gives how much it did."""
    started = time.perf_counter()
    blocks = run(jobs.heavy_job.job(30)).result
    assert time.perf_counter() - started >= 0.03
    assert isinstance(blocks, int)
    assert blocks > 0
    assert run(jobs.heavy_job.job(0)).result == 0


async def test_the_sink_refuses_what_is_not_smtp():
    """A mail without a recipient, a word it does not know; then goes on."""
    async with SmtpSink() as sink:
        host, port = sink.address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"BOGUS\r\n\r\nDATA\r\nQUIT\r\n")
        answers = (await reader.read()).split(b"\r\n")
        writer.close()
        await writer.wait_closed()
    assert [answer[:3] for answer in answers] == [b"220", b"502", b"502", b"503", b"221", b""]
    assert sink.mails == 0
