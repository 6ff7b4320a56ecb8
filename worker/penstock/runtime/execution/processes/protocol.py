"""The frames between a worker and its child process: MessagePack after a length of four bytes, over a socket pair.

Only these types are decoded, within these bounds: nothing else that a child writes reaches the worker, and a task may
write to any file of its process. Owns no connection. The child decides the outcome of its attempt, because only there
is the exception an object; an `AttemptOutcome` is a `Finished` without its job. A claim is (job id, token): jobs that
were claimed together share their token.
"""

from __future__ import annotations

import socket
from typing import Annotated, Any, Final, TypeVar

import msgspec

from penstock.backoff import StrategyName
from penstock.job import ClaimedJob, Finished, OutcomeState
from penstock.outcomes import MAX_DELAY
from penstock.settings import DEFAULT_INCOMPATIBLE_SECONDS

MAX_FRAME_BYTES: Final = 16 * 1024 * 1024
"""Bytes; arguments, headers, results and errors are each bounded far below."""
HEAD: Final = 4
_SECONDS: Final = msgspec.Meta(ge=0, le=MAX_DELAY)
_LINE: Final = msgspec.Meta(max_length=500, pattern=r"\A[^\0]*\Z")

Claim = tuple[int, int]
"""Job id and token."""

T = TypeVar("T")


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The first frame, with the settings of the child. `parent`: the worker's process id."""

    app: str
    parent: int
    database_url: str
    database_url_file: str = ""
    pooled: bool
    log_level: str
    strategy: StrategyName
    base_seconds: float
    max_seconds: float
    incompatible_seconds: float = DEFAULT_INCOMPATIBLE_SECONDS


class RunJob(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Run this job. `until`: an exclusive task stops at this time of the monotonic clock, unless `Until` moves it."""

    job: ClaimedJob
    until: float | None = None


class Interrupt(msgspec.Struct, frozen=True, tag=True):
    """Cancel the attempt of this claim: it sees `ctx.cancelled`, and an async one is cancelled."""

    claim: Claim


class Until(msgspec.Struct, frozen=True, tag=True):
    """The lease was renewed: an exclusive attempt may run until this time of the monotonic clock."""

    time: float


class Stop(msgspec.Struct, frozen=True, tag=True):
    """No more jobs: leave the lifespans and exit."""


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The App is imported and its lifespans are entered."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The child cannot start; it exits."""

    reason: str


class Progress(msgspec.Struct, frozen=True, tag=True):
    """The progress of the attempt of this claim."""

    claim: Claim
    done: int | float
    total: int | float
    note: Annotated[str, _LINE] | None = None


class AttemptOutcome(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The outcome of the attempt of this claim, and the child's resident memory in bytes; 0 if unknown."""

    claim: Claim
    state: OutcomeState
    duration: Annotated[float, _SECONDS]
    delay: Annotated[float, _SECONDS] = 0.0
    reason: Annotated[str, _LINE] | None = None
    error: str | None = None
    result: str | None = None
    fault: bool = False
    resident: int = 0


ToChild = Hello | RunJob | Interrupt | Until | Stop
ToWorker = Ready | Failed | Progress | AttemptOutcome

_ENCODER: Final = msgspec.msgpack.Encoder()
_TO_CHILD: Final = msgspec.msgpack.Decoder(ToChild)
_TO_WORKER: Final = msgspec.msgpack.Decoder(ToWorker)
_ERROR: Final = msgspec.json.Decoder(dict[str, Any])


def claim_of(job: ClaimedJob) -> Claim:
    """The identity of an attempt in frames."""
    return job.id, job.token


def outcome_frame(finished: Finished, resident: int) -> AttemptOutcome:
    """The frame for an outcome."""
    return AttemptOutcome(
        claim=claim_of(finished.job),
        state=finished.state,
        duration=finished.duration,
        delay=finished.delay,
        reason=finished.reason,
        error=finished.error,
        result=finished.result,
        fault=finished.fault,
        resident=resident,
    )


def finished(job: ClaimedJob, frame: AttemptOutcome) -> Finished:
    """The outcome of the job, from its frame."""
    return Finished(
        job=job,
        state=frame.state,
        duration=frame.duration,
        delay=frame.delay,
        reason=frame.reason,
        error=frame.error,
        result=frame.result,
        fault=frame.fault,
    )


def encode(frame: ToChild | ToWorker) -> bytes:
    """Length and body."""
    body = _ENCODER.encode(frame)
    return len(body).to_bytes(HEAD) + body


def body_length(head: bytes) -> int:
    """Bytes that follow a head.

    Raises:
        ValueError: more than any frame has.
    """
    length = int.from_bytes(head)
    if length > MAX_FRAME_BYTES:
        raise ValueError(f"a frame has at most {MAX_FRAME_BYTES} bytes, got {length}")
    return length


def from_child(body: bytes) -> ToWorker:
    """A frame that a child wrote. Raises msgspec.DecodeError (a ValueError)."""
    frame: ToWorker = _TO_WORKER.decode(body)
    if isinstance(frame, AttemptOutcome) and frame.error is not None:
        _ERROR.decode(frame.error)  # it is logged as an object later
    return frame


def receive(pipe: socket.socket) -> ToChild | None:
    """In the child: the next frame; None when the worker is gone."""
    head = _exactly(pipe, HEAD)
    body = None if head is None else _exactly(pipe, body_length(head))
    frame: ToChild | None = None if body is None else _TO_CHILD.decode(body)
    return frame


def _exactly(pipe: socket.socket, count: int) -> bytes | None:
    parts: list[bytes] = []
    while count:
        try:
            part = pipe.recv(count)
        except OSError:  # closed by the worker, or by a task that closes all files
            part = b""
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
