"""Everything that can go wrong, as one tree; each class has its Dataverse code and its HTTP status.

    AdjournError                      0x80040216  500
    ├── InvalidRequest                0x80040203  400   a bad argument, value or name
    │   ├── InvalidValue              0x80044354  400   a value not of its column's type
    │   ├── QueryError                0x80044183  400   a query that cannot be understood; knows its position
    │   └── InvalidStateChange        0x80044162  400   an action that the job's state does not allow
    ├── NotFound                      0x80040217  404   no such record
    ├── UnknownResource               0x8006088a  404   no such table, segment or message
    ├── NotSupported                  0x80040315  405   we know what is asked and refuse it by name
    ├── Duplicate                     0x80040237  412   a record with this key exists
    ├── ConcurrencyMismatch           0x80060882  412   the ETag is not the record's
    ├── Unauthenticated               0x80044302  401
    ├── PrivilegeDenied               0x80040220  403
    ├── TooLarge                      0x8004418A  413
    ├── Busy                          0x80044150  503   the writer's queue or turn is taken; try again
    ├── Throttled                     0x80072322  429   over a limit of service protection; try again later
    ├── StepFailed                    0x80040265  400   a synchronous step refused the operation
    ├── DepthExceeded                 0x80044182  400   an endless loop was cut
    └── TurnExceeded                  0x80044172  400   user code held its transaction too long

A message names the thing, says what was found and what would be accepted, and suggests the nearest name.
Source of codes: Web API reference §18, semantics §14. Codes are written as unsigned 32-bit numbers, as clients see
them in hex; `signed` gives the value of a job's `errorcode` column.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# Codes that callers pass to a class above, where one class serves several documented cases.
ODATA_NO_CODE = 0x0
ODATA_UNSUPPORTED = 0x80060888
ODATA_BAD_PAYLOAD = 0x80048D19
STATE_TO_COMPLETED = 0x80044165
STATE_TO_READY = 0x80044166
STATE_TO_SUSPENDED = 0x80044167
STATE_PAIR_INVALID = 0x80048408
RECURRENCE_OF_NONRECURRING = 0x80044168
RECURRENCE_OF_COMPLETED = 0x80044169
RECURRENCE_INVALID = 0x8004E100
RECURRENCE_NEVER = 0x80040246
JOB_CANNOT_CANCEL = 0x80044F00
JOB_CANNOT_PAUSE = 0x80044F01
STRING_TOO_LONG = 0x80044331
DATETIME_INVALID = 0x80040239
GUID_INVALID = 0x80040363
STILL_REFERENCED = 0x80040227
STEP_UNEXPECTED = 0x80040224
QUERY_TIMED_OUT = 0x80044151
JOB_TYPE_UNKNOWN = 0x80044303
JOB_CANCELED = 0x80044171
JOB_TIMED_OUT = 0x80081111
JOB_CRASHED = 0x8004418D
"""The process that ran it died, also by reaching its memory limit."""


class AdjournError(Exception):
    """The root. `code` is the unsigned Dataverse number, `status` the HTTP status, the text is for people."""

    code: int = 0x80040216
    status: int = 500

    def __init__(self, message: str, *, code: int | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        if status is not None:
            self.status = status

    @property
    def hex(self) -> str:
        """The code as the Web API prints it: `0x80040217`, and `0x0` for none."""
        return f"0x{self.code:08x}" if self.code else "0x0"

    @property
    def signed(self) -> int:
        """The code as `asyncoperation.errorcode` stores it: a signed 32-bit number."""
        return signed(self.code)

    def __reduce__(self) -> tuple[object, ...]:
        return (_restore, (type(self), self.message, self.code, self.status))


def _restore(kind: type[AdjournError], message: str, code: int, status: int) -> AdjournError:
    return kind(message, code=code, status=status)


class InvalidRequest(AdjournError):
    """A bad argument, value or name."""

    code, status = 0x80040203, 400


class InvalidValue(InvalidRequest):
    """A value that is not of its column's type or outside its range."""

    code = 0x80044354


class QueryError(InvalidRequest):
    """A query that cannot be understood. `position` counts characters in the text as the caller sent it."""

    code = 0x80044183

    def __init__(
        self, message: str, *, code: int | None = None, status: int | None = None, position: int | None = None
    ) -> None:
        super().__init__(
            message if position is None else f"{message} (at position {position})", code=code, status=status
        )
        self.position = position


class InvalidStateChange(InvalidRequest):
    """An action that the job's state does not allow."""

    code = 0x80044162


class NotFound(AdjournError):
    """No such record."""

    code, status = 0x80040217, 404


class UnknownResource(AdjournError):
    """No such table, segment or message."""

    code, status = 0x8006088A, 404


class NotSupported(AdjournError):
    """We know what is asked and refuse it by name."""

    code, status = 0x80040315, 405


class Duplicate(AdjournError):
    """A record with this key exists."""

    code, status = 0x80040237, 412


class ConcurrencyMismatch(AdjournError):
    """The ETag is not the record's."""

    code, status = 0x80060882, 412


class Unauthenticated(AdjournError):
    """No token, or not one that we know."""

    code, status = 0x80044302, 401


class PrivilegeDenied(AdjournError):
    """The caller is known and may not."""

    code, status = 0x80040220, 403


class TooLarge(AdjournError):
    """A body, a value or a batch over its limit."""

    code, status = 0x8004418A, 413


class Busy(AdjournError):
    """The writer's queue or turn is taken. `retry_after_seconds` goes into the Retry-After header."""

    code, status = 0x80044150, 503
    retry_after_seconds: int = 1


class ConnectionLost(Busy):
    """The connection to the database was lost, and nothing was changed: the same may be asked again."""


class Throttled(AdjournError):
    """A caller over one of the limits of service protection. `retry_after_seconds` goes into the Retry-After header."""

    code, status = 0x80072322, 429
    retry_after_seconds: int = 1


class StepFailed(AdjournError):
    """A synchronous step refused the operation; everything is rolled back and its text reaches the caller."""

    code, status = 0x80040265, 400


class DepthExceeded(AdjournError):
    """The operation calls itself through its own steps or jobs: more than eight levels within an hour."""

    code, status = 0x80044182, 400


class TurnExceeded(AdjournError):
    """User code held its transaction longer than `turn_seconds_max`; it was rolled back."""

    code, status = 0x80044172, 400


def signed(code: int) -> int:
    """An unsigned 32-bit code as the signed number that `errorcode` holds."""
    return code - 0x1_0000_0000 if code >= 0x8000_0000 else code


def clean(text: str) -> str:
    """A text that every store and every wire can hold: NUL and halves of surrogate pairs are replaced."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def said(error: BaseException) -> str:
    """What an exception says for people: its text, or its type where it has none or cannot even be asked."""
    try:
        text = str(error)
    except Exception as second:  # it is somebody's class: its __str__ may do anything
        text = f"{type(error).__name__} (its text cannot be had: {type(second).__name__})"
    return clean(text) or type(error).__name__


def nearest(name: str, candidates: Iterable[str]) -> str:
    """` Did you mean 'x'?`, or nothing when no candidate is near. To be appended to a message."""
    lowered = {candidate.lower(): candidate for candidate in candidates}
    match = difflib.get_close_matches(name.lower()[:200], lowered, n=1, cutoff=0.6)
    return f" Did you mean '{lowered[match[0]]}'?" if match else ""
