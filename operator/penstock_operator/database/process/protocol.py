"""The protocol between the operator and the process of one database: length-prefixed MessagePack frames.

Every answer has a type with bounds, and the operator decodes it by that type: a server may have taken over the process
that talks to it, so what comes from there is believed no more than what comes from the server. Requests come from the
operator and are trusted.
"""

from __future__ import annotations

import asyncio
import math
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from penstock.jobqueue.declaration import QueueDeclaration
from penstock.plural import plural
from penstock.store import QueueState

from .schedules import DeclaredSchedules, ScheduleList

MAX_FRAME: Final = 8 * 2**20
"""Bytes of one frame in either direction."""
MAX_TEXT: Final = 1024
"""Characters of an error message or of a short text."""
MAX_JSON: Final = 16_384
"""Bytes of the settings or the retry rule of one queue; longer ones count as not declared."""
MAX_WORKERS: Final = 2_000
"""Live workers of one queue: twice the largest `maxReplicas`. Of more the newest count."""
MAX_ALL_WORKERS: Final = 10_000
"""The same of all queues in a sample: what they cost the event loop stays below a quarter of a second."""
MAX_ROWS: Final = 20_000
"""Entries of any other answer; what answers them reads at most half of that."""
EVENT, ANSWER, ERROR = 0, 1, 2
_LENGTH: Final = struct.Struct(">I")

Count = Annotated[int, Meta(ge=0, le=2**53)]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Name = Annotated[str, Meta(max_length=253)]
Seconds = Annotated[float, Meta(ge=0, le=1e12)]
Scalar = Annotated[str, Meta(max_length=300)] | int | float | bool | None

WorkerFields = Annotated[dict[Annotated[str, Meta(max_length=60)], Scalar], Meta(max_length=40)]
"""A worker as the server describes it."""


class ErrorAnswer(msgspec.Struct, array_like=True, frozen=True):
    """An error of the store: the name of its class in `penstock.errors`, and its message."""

    kind: Text
    message: Text


class ReportedWorker(msgspec.Struct, frozen=True):
    """The fields of a worker that are used in arithmetic; its other fields are scalars that pass unread."""

    id: Count
    state: Annotated[str, Meta(max_length=40)]
    concurrency: Annotated[int, Meta(ge=0, le=100_000)]
    in_flight: Count
    done: Count
    pod: Name | None = None


class SampledQueue(msgspec.Struct, array_like=True, frozen=True):
    """A queue in a snapshot, in the order of `penstock.store.QueueState`."""

    id: Count
    name: Annotated[str, Meta(max_length=200)]
    paused: bool
    declared: bool
    ready: Count
    capped: bool
    deferred: Count
    due_soon: Count
    in_flight: Count
    dead: Count
    oldest: Seconds | None
    workers: Annotated[list[WorkerFields], Meta(max_length=MAX_WORKERS)]


class SampleAnswer(msgspec.Struct, array_like=True, frozen=True):
    """The answer to `sample`; `failed` names a task of the process that stopped unexpectedly."""

    listening: bool
    failed: Text | None
    queues: Annotated[list[SampledQueue], Meta(max_length=MAX_ROWS)]


class DeclaredRow(msgspec.Struct, array_like=True, frozen=True):
    """A queue's declaration, in the order of `penstock.jobqueue.declaration.QueueDeclaration`; JSON stays text."""

    declared_by: Text
    generation: int
    paused: bool
    paused_by: Text | None
    max_attempts: int
    max_in_flight: int | None
    retry: Annotated[bytes, Meta(max_length=MAX_JSON)]
    job_deadline: float | None
    retention: float
    settings: Annotated[bytes, Meta(max_length=MAX_JSON)]


class StatsAnswer(msgspec.Struct, array_like=True, frozen=True):
    """The answer to `vitals`: four estimates, and what was taken back by reason."""

    dead_tuples: Count
    live_tuples: Count
    connections: Count
    connections_limit: Count
    taken_back: Annotated[dict[Annotated[str, Meta(max_length=40)], Count], Meta(max_length=16)]


ANSWERS: Final[Mapping[str, msgspec.msgpack.Decoder[Any]]] = {
    "open": msgspec.msgpack.Decoder(Annotated[str, Meta(max_length=300)]),
    "close": msgspec.msgpack.Decoder(None),
    "sample": msgspec.msgpack.Decoder(SampleAnswer),
    "waits": msgspec.msgpack.Decoder(Annotated[dict[Count, Seconds], Meta(max_length=MAX_ROWS)]),
    "jobs_in_flight": msgspec.msgpack.Decoder(Annotated[dict[Count, Count], Meta(max_length=MAX_ROWS)]),
    "lost_workers": msgspec.msgpack.Decoder(
        Annotated[dict[Name, tuple[Name | None, Seconds]], Meta(max_length=MAX_ROWS)]
    ),
    "vitals": msgspec.msgpack.Decoder(StatsAnswer),
    "pause": msgspec.msgpack.Decoder(float),
    "declarations": msgspec.msgpack.Decoder(
        Annotated[dict[Annotated[str, Meta(max_length=200)], DeclaredRow], Meta(max_length=MAX_ROWS)]
    ),
    "declare": msgspec.msgpack.Decoder(bool),
    "schedules": msgspec.msgpack.Decoder(ScheduleList),
    "declare_schedules": msgspec.msgpack.Decoder(DeclaredSchedules | bool),
    "cordon": msgspec.msgpack.Decoder(bool),
    "note_end": msgspec.msgpack.Decoder(bool),
    "shorten_grace": msgspec.msgpack.Decoder(bool),
}
"""The type of each request's answer."""
FAILURES: Final = msgspec.msgpack.Decoder(ErrorAnswer)
HEADS: Final = msgspec.msgpack.Decoder(tuple[int, int, msgspec.Raw])
REQUESTS: Final = msgspec.msgpack.Decoder(tuple[int, str, list[Any]])


FRESH_SECONDS: Final = 1.0
"""A write that is older when it arrives is not done: a leader that could send it had its Lease for at least so long."""


def now() -> float:
    """Seconds of a clock that the operator shares with its processes, and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class BrokenFrame(Exception):  # noqa: N818 - reads as the sentence it is
    """A frame is longer than agreed."""


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """The next frame.

    Raises:
        BrokenFrame: it is longer than agreed; nothing of it was read.
        asyncio.IncompleteReadError: the other side has ended.
    """
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if length > MAX_FRAME:
        raise BrokenFrame(f"a frame of {length} bytes, at most {MAX_FRAME} are allowed")
    return await reader.readexactly(length)


def frame(value: object) -> bytes:
    """A value as one frame.

    Raises:
        BrokenFrame: it is longer than agreed.
    """
    body = msgspec.msgpack.encode(value)
    if len(body) > MAX_FRAME:
        raise BrokenFrame(f"an answer of {len(body)} bytes, at most {MAX_FRAME} are allowed")
    return _LENGTH.pack(len(body)) + body


def packed(states: Mapping[str, QueueState], names: Sequence[str]) -> list[SampledQueue]:
    """The queues that were asked for, checked.

    Raises:
        msgspec.ValidationError: a value is not what Penstock's functions return.
    """
    return [_row(states[name]) for name in names if name in states]


def _row(state: QueueState) -> SampledQueue:
    values: list[Any] = list(state)
    oldest = values[10]
    if isinstance(oldest, float):  # of a clock that was set, or of nobody's
        values[10] = max(0.0, oldest) if math.isfinite(oldest) else None
    values[11] = [_facts(worker) for worker in _newest(values[11])]
    return msgspec.convert(values, SampledQueue)


def _newest(workers: Any) -> Any:
    """At most so many as are allowed; whatever is no list of workers is refused later."""
    if not isinstance(workers, list) or len(workers) <= MAX_WORKERS:
        return workers
    for worker in workers:
        msgspec.convert(worker, ReportedWorker)
    return sorted(workers, key=lambda worker: worker["id"], reverse=True)[:MAX_WORKERS]


def _facts(worker: Any) -> dict[str, Any]:
    msgspec.convert(worker, ReportedWorker)
    return {key: value for key, value in worker.items() if value is None or isinstance(value, str | int | float)}


def unpacked(rows: Sequence[SampledQueue]) -> dict[str, QueueState]:
    """The queues by name, as the operator knows them.

    Raises:
        msgspec.ValidationError: a worker lacks what is calculated with, or there are too many.
    """
    if (found := sum(len(row.workers) for row in rows)) > MAX_ALL_WORKERS:
        limit = f"one database may have at most {MAX_ALL_WORKERS}"
        raise msgspec.ValidationError(f"the database reports {plural(found, 'worker')}; {limit}")
    for row in rows:
        for worker in row.workers:
            msgspec.convert(worker, ReportedWorker)
    return {row.name: QueueState(*msgspec.structs.astuple(row)) for row in rows}


def declared_row(found: QueueDeclaration) -> DeclaredRow | None:
    """The declaration of a queue; None if its JSON is longer than any that the operator writes."""
    retry, settings = msgspec.json.encode(found.retry), msgspec.json.encode(found.settings)
    if max(len(retry), len(settings)) > MAX_JSON:
        return None
    return msgspec.convert(list(found._replace(retry=retry, settings=settings)), DeclaredRow)  # type: ignore[arg-type]


def declared(row: DeclaredRow) -> QueueDeclaration:
    """The same as the operator compares it."""
    values = list(msgspec.structs.astuple(row))
    values[6], values[9] = msgspec.json.decode(row.retry), msgspec.json.decode(row.settings)
    return QueueDeclaration(*values)
