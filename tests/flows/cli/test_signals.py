"""A service ends when it is told to, whatever it does at that moment."""

from __future__ import annotations

import subprocess
import sys

_PLAY = """
import os, signal, sys, time
from adjourn.cli.serve import _wait_for_signal

SECONDS_MAX = 2.0

def told_at(step):
    # A child in which the signal comes when the waiting thread has made so many steps since its handlers stand.
    child = os.fork()
    if child:
        return child
    made = 0

    def trace(frame, event, argument):
        nonlocal made
        frame.f_trace_opcodes = True
        if callable(signal.getsignal(signal.SIGTERM)) and signal.getsignal(signal.SIGTERM) is not signal.default_int_handler:
            made += 1
            if made == step:
                signal.raise_signal(signal.SIGTERM)
        return trace

    sys.settrace(trace)
    _wait_for_signal()
    sys.settrace(None)
    os._exit(0)

def ended(child, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None

step, waits = 0, False
while not waits:
    step += 1
    child = told_at(step)
    code = ended(child, SECONDS_MAX / 4)
    if code is None:
        # It has not come so far before it waits: told from outside it must end.
        waits = True
        os.kill(child, signal.SIGTERM)
        code = ended(child, SECONDS_MAX)
    if code is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        sys.exit(f"stuck at step {step}")
    assert code == 0, code
print("steps:", step)
"""


def test_a_signal_is_heard_at_whatever_step_of_the_waiting_it_comes() -> None:
    """Deterministic: before each bytecode instruction of the thread that waits, once."""
    ran = subprocess.run([sys.executable, "-c", _PLAY], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert int(ran.stdout.split()[-1]) > 10
