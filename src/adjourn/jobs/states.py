"""Every state of a system job, and every legal change, as tables.

A transition is a compare-and-set: the statements repeat the states written here, and the database's CHECKs know the
pairs. Source: specification, "Manage system job states"; semantics §2; mechanisms §6.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import NamedTuple

from adjourn import errors


class State(IntEnum):
    """statecode"""

    READY = 0
    """Nothing but capacity holds it back."""
    SUSPENDED = 1
    """It waits for a moment, a person, an earlier job, an event; `waitreason` says for what."""
    LOCKED = 2
    """Exactly one worker holds it, with a lease."""
    COMPLETED = 3
    """Final."""


class Status(IntEnum):
    """statuscode; each belongs to one state."""

    WAITING_FOR_RESOURCES = 0
    WAITING = 10
    IN_PROGRESS = 20
    PAUSING = 21
    """A running job was asked to pause; it lets go at its next checkpoint."""
    CANCELING = 22
    """A running job was asked to stop for good."""
    SUCCEEDED = 30
    FAILED = 31
    CANCELED = 32


STATE_OF: dict[Status, State] = {
    Status.WAITING_FOR_RESOURCES: State.READY,
    Status.WAITING: State.SUSPENDED,
    Status.IN_PROGRESS: State.LOCKED,
    Status.PAUSING: State.LOCKED,
    Status.CANCELING: State.LOCKED,
    Status.SUCCEEDED: State.COMPLETED,
    Status.FAILED: State.COMPLETED,
    Status.CANCELED: State.COMPLETED,
}


class Action(StrEnum):
    """What a person may do to a job."""

    CANCEL = "cancel"
    RESUME = "resume"
    PAUSE = "pause"
    POSTPONE = "postpone"
    DELETE = "delete"


class WaitReason(StrEnum):
    """Why a Suspended job waits."""

    POSTPONED = "postponed"
    PAUSED = "paused"
    TOKEN = "token"
    BACKOFF = "back-off"
    EVENT = "event"
    SCHEDULE = "schedule"


class Result(NamedTuple):
    """What an action does to a job in some status. status None: nothing changes. code: it is refused with this error."""

    status: Status | None = None
    code: int | None = None
    gone: bool = False
    """The row is removed."""


_UNCHANGED = Result()
_S = Status
TRANSITIONS: dict[Action, dict[Status, Result]] = {
    Action.CANCEL: {
        _S.WAITING_FOR_RESOURCES: Result(_S.CANCELED),
        _S.WAITING: Result(_S.CANCELED),
        _S.IN_PROGRESS: Result(_S.CANCELING),
        _S.PAUSING: Result(_S.CANCELING),
        _S.CANCELING: _UNCHANGED,
        _S.SUCCEEDED: Result(code=errors.STATE_TO_COMPLETED),
        _S.FAILED: Result(code=errors.STATE_TO_COMPLETED),
        _S.CANCELED: Result(code=errors.STATE_TO_COMPLETED),
    },
    Action.RESUME: {
        _S.WAITING_FOR_RESOURCES: Result(code=errors.STATE_TO_READY),
        _S.WAITING: Result(_S.WAITING_FOR_RESOURCES),
        _S.IN_PROGRESS: Result(code=errors.STATE_TO_READY),
        _S.PAUSING: Result(code=errors.STATE_TO_READY),
        _S.CANCELING: Result(code=errors.STATE_TO_READY),
        _S.SUCCEEDED: Result(code=errors.STATE_TO_READY),
        _S.FAILED: Result(code=errors.STATE_TO_READY),
        _S.CANCELED: Result(code=errors.STATE_TO_READY),
    },
    Action.PAUSE: {
        _S.WAITING_FOR_RESOURCES: Result(code=errors.STATE_TO_SUSPENDED),
        _S.WAITING: Result(code=errors.STATE_TO_SUSPENDED),
        _S.IN_PROGRESS: Result(_S.PAUSING),
        _S.PAUSING: _UNCHANGED,
        _S.CANCELING: Result(code=errors.STATE_TO_SUSPENDED),
        _S.SUCCEEDED: Result(code=errors.STATE_TO_SUSPENDED),
        _S.FAILED: Result(code=errors.STATE_TO_SUSPENDED),
        _S.CANCELED: Result(code=errors.STATE_TO_SUSPENDED),
    },
    Action.POSTPONE: {
        _S.WAITING_FOR_RESOURCES: Result(_S.WAITING),
        _S.WAITING: Result(_S.WAITING),
        _S.IN_PROGRESS: Result(_S.PAUSING),
        _S.PAUSING: Result(_S.PAUSING),
        _S.CANCELING: Result(code=errors.STATE_TO_SUSPENDED),
        _S.SUCCEEDED: Result(code=errors.STATE_TO_SUSPENDED),
        _S.FAILED: Result(code=errors.STATE_TO_SUSPENDED),
        _S.CANCELED: Result(code=errors.STATE_TO_SUSPENDED),
    },
    Action.DELETE: {status: Result(gone=True) for status in Status},
}

PLATFORM_REFUSES: dict[Action, int] = {
    Action.CANCEL: errors.JOB_CANNOT_CANCEL,
    Action.PAUSE: errors.JOB_CANNOT_PAUSE,
    Action.RESUME: errors.STATE_TO_READY,
}
"""What nobody may do to a job of a platform type, in whatever status; the others hold for it, too. The specification
publishes no code for resume; it is that of any other job that does not become Ready."""

CREATED = frozenset((Status.WAITING_FOR_RESOURCES, Status.WAITING))
"""A new job is Ready, or waits: for its moment, or behind its token."""
CLAIMED = (Status.WAITING_FOR_RESOURCES, Status.IN_PROGRESS)
WOKEN = (Status.WAITING, Status.WAITING_FOR_RESOURCES)
"""Its moment has come, or its turn among the jobs of its token."""
ENDED = {Status.WAITING: frozenset((Status.SUCCEEDED, Status.FAILED))}
"""A schedule whose recurrence has no more moments, or that can make no more runs; it never runs itself."""
SETTLED: dict[Status, frozenset[Status]] = {
    Status.IN_PROGRESS: frozenset(
        (Status.SUCCEEDED, Status.FAILED, Status.CANCELED, Status.WAITING, Status.WAITING_FOR_RESOURCES)
    ),
    Status.PAUSING: frozenset((Status.SUCCEEDED, Status.FAILED, Status.CANCELED, Status.WAITING)),
    Status.CANCELING: frozenset((Status.CANCELED,)),
}
"""What may become of a run, by the status in which its job stands when it ends, however it ends."""

LABELS = {
    Status.WAITING_FOR_RESOURCES: "Ready",
    Status.WAITING: "Suspended",
    Status.IN_PROGRESS: "Locked (In Progress)",
    Status.PAUSING: "Locked (Pausing)",
    Status.CANCELING: "Locked (Canceling)",
    Status.SUCCEEDED: "Completed (Succeeded)",
    Status.FAILED: "Completed (Failed)",
    Status.CANCELED: "Completed (Canceled)",
}
_ALLOWED_FROM = {
    Action.CANCEL: "Ready, Suspended or Locked",
    Action.RESUME: "Suspended",
    Action.PAUSE: "Locked",
    Action.POSTPONE: "Ready, Suspended or Locked (and was not asked to stop)",
}
_ADVICE: dict[tuple[Action, Status], str] = {
    (Action.RESUME, _S.WAITING_FOR_RESOURCES): "Nothing but capacity holds it back.",
    (Action.RESUME, _S.IN_PROGRESS): "It runs.",
    (Action.RESUME, _S.PAUSING): "Wait until it has let go, then resume it.",
    (Action.RESUME, _S.CANCELING): "A canceled job cannot be resumed.",
    (Action.PAUSE, _S.WAITING_FOR_RESOURCES): "It has not started: postpone it to hold it back.",
    (Action.PAUSE, _S.WAITING): "It does not run: postpone it to hold it back longer.",
    (Action.PAUSE, _S.CANCELING): "A job that was canceled stops for good.",
    (Action.POSTPONE, _S.CANCELING): "A job that was canceled stops for good.",
}
_FINAL = "A completed job never changes; it can be deleted."


def transition(action: Action, status: Status, *, platform: bool = False) -> Result:
    """What an action does in a status. platform: the job is of a platform type.

    Raises InvalidStateChange with the documented code where it is not allowed, saying what is.
    """
    if platform and action in PLATFORM_REFUSES:
        raise errors.InvalidStateChange(
            f"{action.capitalize()} is not possible for system jobs of the platform, whatever their state. They can be "
            "postponed, and deleted.",
            code=PLATFORM_REFUSES[action],
        )
    result = TRANSITIONS[action][status]
    if result.code is not None:
        final = STATE_OF[status] is State.COMPLETED
        raise errors.InvalidStateChange(
            f"The system job is {LABELS[status]}; {action} is possible when it is {_ALLOWED_FROM[action]}. "
            f"{_FINAL if final else _ADVICE[action, status]}",
            code=result.code,
        )
    return result
