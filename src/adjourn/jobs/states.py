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
}

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
    Action.POSTPONE: "Ready, Suspended or Locked",
}


def transition(action: Action, status: Status) -> Result:
    """What an action does in a status. Raises InvalidStateChange with the documented code where it is not allowed."""
    result = TRANSITIONS[action][status]
    if result.code is not None:
        raise errors.InvalidStateChange(
            f"The system job is {LABELS[status]}; {action} is possible when it is {_ALLOWED_FROM[action]}.",
            code=result.code,
        )
    return result
