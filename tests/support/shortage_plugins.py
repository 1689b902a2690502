"""A message that dies beside its child, and a step that interrupts whoever runs it."""

from __future__ import annotations

import os
import signal

import adjourn
from adjourn import Context


@adjourn.message
def leaves_a_child_and_dies() -> None:
    os.system("sleep 61 &")  # which, unlike subprocess, hands down what may be inherited
    os.kill(os.getpid(), signal.SIGKILL)


@adjourn.step(message="Delete", table="contact", stage="PreOperation")
def interrupts(context: Context) -> None:
    raise KeyboardInterrupt


@adjourn.message(isolated=True)
def alone() -> str:
    return "alone"


@adjourn.message
def keeps(job: adjourn.Job) -> str:
    job.progress("half", 50)
    job.checkpoint("1")
    return "kept"
