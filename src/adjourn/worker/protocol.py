"""What a supervisor and its executors say to each other over a socketpair.

A frame is four bytes of length, big-endian, and a MessagePack array whose first item names the message. Work goes down
in batches, outcomes come up in batches; a handler's calls to the organization come up with an id and are answered by it.
Values keep their Python types by extension codes: guids, moments, decimals, references, records. An executor holds no
credentials and no file of the store; everything it wants goes through here.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import structlog

from adjourn import config
from adjourn.errors import AdjournError, clean, said
from adjourn.jobs.model import Canceled, Continue, Failed, Outcome, Postpone, Released, Retry, Succeeded, sound
from adjourn.metadata.model import Reference
from adjourn.pipeline.record import Record

log = structlog.get_logger("adjourn.worker")
T = TypeVar("T")
LEAVE = 0
"""Instead of a status: nobody asked for it, but the run is to end, and the job to go on elsewhere."""
FRAME_BYTES_MAX = config.DATA_BYTES_MAX * 4
_HEADER = struct.Struct(">I")
_UUID, _MOMENT, _DATE, _DECIMAL, _REFERENCE, _RECORD = range(1, 7)
_DEPTH_MAX = 200


class Work(msgspec.Struct, frozen=True, array_like=True, tag="work"):
    """One job for an executor. kind: "step" (text is a context) or "message" (text is a JSON object of arguments)."""

    id: str
    kind: str
    module: str
    function: str
    name: str
    """Of the message."""
    title: str
    """Of the job."""
    text: str
    depth: int
    retry_count: int
    cursor: str | None
    regarding: tuple[str, str] | None
    seconds_max: float


class Run(msgspec.Struct, frozen=True, array_like=True, tag="run"):
    """Down: run these."""

    work: list[Work]


class Metadata(msgspec.Struct, frozen=True, array_like=True, tag="metadata"):
    """Down: what callers have added to the metadata, [table, document] each; before the first job that may need it."""

    documents: list[tuple[str, str]]
    version: int


class Interrupt(msgspec.Struct, frozen=True, array_like=True, tag="interrupt"):
    """Down: these jobs are to stop: {id: status 21 (pause) or 22 (cancel), or LEAVE: the worker stops}."""

    jobs: dict[str, int]


class Recall(msgspec.Struct, frozen=True, array_like=True, tag="recall"):
    """Down: what has not begun is to be given back."""


class Answer(msgspec.Struct, frozen=True, array_like=True, tag="answer"):
    """Down: the result of a call, packed; or its error as [class name, message, code, status]."""

    call: int
    value: bytes | None
    error: tuple[str, str, int, int] | None


class Done(msgspec.Struct, frozen=True, array_like=True, tag="done"):
    """Up: outcomes, each [job id, seconds, kind, fields…]."""

    outcomes: list[list[Any]]


class Traced(msgspec.Struct, frozen=True, array_like=True, tag="traced"):
    """Up, before the job's outcome: what its handler traced."""

    job: str
    text: str


class Ask(msgspec.Struct, frozen=True, array_like=True, tag="ask"):
    """Up: a handler's call to the organization."""

    call: int
    job: str
    method: str
    user: str | None
    value: bytes


class Ready(msgspec.Struct, frozen=True, array_like=True, tag="ready"):
    """Up: the process has started."""

    pid: int


class Heard(msgspec.Struct, frozen=True, array_like=True, tag="heard"):
    """Up: an `Interrupt` has arrived. A process that does not say so runs code that lets nothing else in it run."""


Down = Run | Metadata | Interrupt | Recall | Answer
Up = Done | Traced | Ask | Ready | Heard
_ENCODER = msgspec.msgpack.Encoder()
_DOWN: msgspec.msgpack.Decoder[Down] = msgspec.msgpack.Decoder(Down)
_UP: msgspec.msgpack.Decoder[Up] = msgspec.msgpack.Decoder(Up)
_KINDS: dict[str, Callable[..., Any]] = {
    "succeeded": Succeeded,
    "failed": Failed,
    "retry": Retry,
    "postpone": Postpone,
    "continue": Continue,
    "canceled": Canceled,
    "released": lambda reason: Released(reason=str(reason)),
}


class Channel:
    """One end of the socketpair. Sending is safe from several threads; one thread receives."""

    def __init__(self, connection: socket.socket, lock: Any) -> None:
        self._socket = connection
        self._lock = lock
        self._buffer = bytearray()

    def send(self, message: Down | Up) -> None:
        """Raises OSError when the other side is gone."""
        body = _ENCODER.encode(message)
        if len(body) > FRAME_BYTES_MAX:
            raise ValueError(f"a frame of {len(body):,} bytes is over the limit of {FRAME_BYTES_MAX:,}")
        with self._lock:
            self._socket.sendall(_HEADER.pack(len(body)) + body)

    def receive_down(self) -> Down | None:
        """The next message from the supervisor; None when it is gone or speaks nonsense."""
        return self._decoded(_DOWN)

    def receive_up(self) -> Up | None:
        """The next message from the executor; None when it is gone or speaks nonsense."""
        return self._decoded(_UP)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the other side may have closed it first
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def forget(self) -> None:
        """Let go of this end without telling the other: for a child process that inherited it."""
        self._socket.close()

    def _decoded(self, decoder: msgspec.msgpack.Decoder[T]) -> T | None:
        body = self._frame()
        try:
            return None if body is None else decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            log.error("the other side of a socket speaks nonsense: it is left", error=str(error))
            return None

    def _frame(self) -> bytes | None:
        while True:
            if len(self._buffer) >= _HEADER.size:
                (length,) = _HEADER.unpack_from(self._buffer)
                if length > FRAME_BYTES_MAX:
                    return None
                end = _HEADER.size + length
                if len(self._buffer) >= end:
                    body = bytes(self._buffer[_HEADER.size : end])
                    del self._buffer[:end]
                    return body
            try:
                received = self._socket.recv(1 << 18)
            except OSError:
                return None
            if not received:
                return None
            self._buffer += received


def outcome_fields(job_id: str, seconds: float, outcome: Outcome) -> list[Any]:
    """An outcome as `Done` carries it."""
    match outcome:
        case Succeeded(message):
            fields: list[Any] = ["succeeded", message]
        case Canceled(message):
            fields = ["canceled", message]
        case Failed(code, friendly, details):
            fields = ["failed", code, friendly, details]
        case Retry(reason, delay_seconds):
            fields = ["retry", reason, delay_seconds]
        case Postpone(until):
            fields = ["postpone", until.isoformat()]
        case Continue(cursor):
            fields = ["continue", cursor]
        case Released(_, reason):
            fields = ["released", reason]
        case _:
            raise TypeError(f"{outcome} is no outcome of a handler")
    return [job_id, seconds, *fields]


def read_outcome(fields: Sequence[Any]) -> tuple[str, float, Outcome]:
    """What `outcome_fields` wrote. Raises ValueError for anything else: an executor runs other people's code."""
    try:
        job_id, seconds, name, *rest = fields
        if name == "postpone":
            rest = [datetime.fromisoformat(rest[0])]
        return str(job_id), float(seconds), sound(_KINDS[name](*rest))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no outcome: {fields!r:.200}") from error


def pack(value: Any) -> bytes:
    """Any value that travels between a handler and the organization. Raises TypeError for what cannot."""
    return _ENCODER.encode(_packed(value, 0))


def unpack(body: bytes) -> Any:
    """What `pack` packed."""
    return msgspec.msgpack.decode(body, ext_hook=_extension)


def error_fields(error: BaseException) -> tuple[str, str, int, int]:
    """An error as `Answer` carries it."""
    if isinstance(error, AdjournError):
        return type(error).__name__, clean(error.message), error.code, error.status
    return "AdjournError", f"{type(error).__name__}: {said(error)}", AdjournError.code, AdjournError.status


def read_error(fields: tuple[str, str, int, int]) -> AdjournError:
    """The error that `error_fields` wrote, of the same class where it is one of ours."""
    from adjourn import errors

    name, message, code, status = fields
    kind = getattr(errors, name, AdjournError)
    if not (isinstance(kind, type) and issubclass(kind, AdjournError)):
        kind = AdjournError
    found: AdjournError = kind(message, code=code, status=status)
    return found


def _packed(value: Any, depth: int) -> Any:
    if depth > _DEPTH_MAX:
        raise TypeError("a value nested too deeply cannot be sent to the organization")
    match value:
        case None | bool() | int() | float() | str() | bytes():
            return value
        case UUID():
            return msgspec.msgpack.Ext(_UUID, value.bytes)
        case datetime():
            return msgspec.msgpack.Ext(_MOMENT, value.isoformat().encode())
        case date():
            return msgspec.msgpack.Ext(_DATE, value.isoformat().encode())
        case Decimal():
            return msgspec.msgpack.Ext(_DECIMAL, str(value).encode())
        case Reference():
            return msgspec.msgpack.Ext(_REFERENCE, value.id.bytes + value.table.encode())
        case Record():
            fields = [value.table, _packed(value.id, depth), _packed(value.values, depth + 1), value.formatted]
            return msgspec.msgpack.Ext(_RECORD, _ENCODER.encode(fields))
        case (str() as table, UUID() as record_id) if isinstance(value, tuple):
            # A lookup's value may be written as a plain pair; as a list it would not be one any more.
            return _packed(Reference(table, record_id), depth)
        case Mapping():
            return {str(key): _packed(item, depth + 1) for key, item in value.items()}
        case Sequence() | set() | frozenset():
            return [_packed(item, depth + 1) for item in value]
    # Structs, dataclasses and the like travel as what they are in JSON.
    return _packed(msgspec.to_builtins(value, str_keys=True), depth + 1)


def _extension(code: int, data: memoryview) -> Any:
    body = bytes(data)
    match code:
        case 1:
            return UUID(bytes=body)
        case 2:
            return datetime.fromisoformat(body.decode())
        case 3:
            return date.fromisoformat(body.decode())
        case 4:
            return Decimal(body.decode())
        case 5:
            return Reference(body[16:].decode(), UUID(bytes=body[:16]))
        case 6:
            table, record_id, values, formatted = msgspec.msgpack.decode(body, ext_hook=_extension)
            return Record(table, record_id, values, formatted)
    raise ValueError(f"unknown extension {code}")
