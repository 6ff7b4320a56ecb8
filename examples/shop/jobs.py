"""The shop's tasks. `penstock worker shop.jobs:app --queue emails` runs those of one queue.

A job may run twice, because a worker can die between the effect and the acknowledgement. Therefore every task is
idempotent: a mail has the same Message-ID each time, and a file replaces the earlier one.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import smtplib
import time
from datetime import date
from email.message import EmailMessage
from typing import Annotated

from msgspec import Meta
from PIL import UnidentifiedImageError

from penstock import NEVER, App, Cancel, Context, Retry

from .pictures import ImagePathError, resized
from .reports import DateRangeError, reported
from .users import BusyError, NoSuchUserError, synced

app = App()

Side = Annotated[int, Meta(ge=1, le=4096)]
"""Width or height of an image in pixels; other values are rejected when the job is enqueued."""
Milliseconds = Annotated[int, Meta(ge=0, le=600_000)]

_BLOCK = bytes(64 * 1024)
_SMTP_TIMEOUT_SECONDS = 10


@app.task(queue="emails")
async def hello(name: str) -> str:
    """Return a greeting after one second."""
    await asyncio.sleep(1)
    greeting = f"Hello, {name}!"
    print(greeting)
    return greeting


@app.task(queue="emails", timeout=30, retry={smtplib.SMTPRecipientsRefused: NEVER})
async def send_welcome_email(user_id: int) -> str:
    """Send a mail through the server in SHOP_SMTP, as host:port. Returns the Message-ID."""
    message = EmailMessage()
    message["From"] = "shop@example.com"
    message["To"] = f"user-{user_id}@example.com"
    message["Subject"] = "Welcome to the shop"
    message["Message-ID"] = f"<welcome-{user_id}@shop.example.com>"
    message.set_content(f"Hello user {user_id},\n\nthank you for joining us.\n")
    await asyncio.to_thread(_deliver, message)
    return str(message["Message-ID"])


def _deliver(message: EmailMessage) -> None:
    host, _, port = os.environ.get("SHOP_SMTP", "127.0.0.1:2525").rpartition(":")
    with smtplib.SMTP(host, int(port), local_hostname="shop.example.com", timeout=_SMTP_TIMEOUT_SECONDS) as server:
        server.send_message(message)


@app.task(
    queue="images",
    executor="thread",
    retry={FileNotFoundError: NEVER, UnidentifiedImageError: NEVER, ImagePathError: NEVER},
)
def resize_image(path: str, width: Side, height: Side) -> str:
    """Resize a picture of the folder SHOP_IMAGES into the folder SHOP_OUTPUT. Returns the new file's path."""
    return str(resized(path, width, height))


@app.task(queue="analytics", executor="thread")
def sync_user_data(user_id: int) -> str:
    """Fetch a user from the service at SHOP_USERS and save the response in SHOP_OUTPUT. Returns the file's path."""
    try:
        return str(synced(user_id))
    except NoSuchUserError as error:
        raise Cancel(str(error)) from error
    except BusyError as busy:
        raise Retry(busy.seconds) from busy


@app.task(queue="reports", executor="process", hard_timeout=60, retry={DateRangeError: NEVER})
def generate_report(first: date, last: date) -> str:
    """Write the orders from `first` to `last`, inclusive, as a PDF in SHOP_OUTPUT. Returns the file's path."""
    return str(reported(first, last))


@app.task(queue="reports")
async def failing_job(ctx: Context, times: int | None = None) -> str:
    """Fail the first `times` attempts, or all of them without `times`, to show retries and dead letters."""
    if times is None or ctx.attempt <= times:
        raise RuntimeError(f"this job fails on purpose (attempt {ctx.attempt})")
    return f"succeeded at attempt {ctx.attempt}"


@app.task(queue="analytics")
def heavy_job(ms: Milliseconds) -> int:
    """Keep a CPU busy for `ms` milliseconds. Returns the number of 64 KiB blocks that it hashed."""
    deadline = time.perf_counter() + ms / 1000
    blocks = 0
    digest = hashlib.sha256()
    while time.perf_counter() < deadline:
        digest.update(_BLOCK)
        blocks += 1
    return blocks
