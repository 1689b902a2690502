"""What a crash leaves in the log: where it happened, and nobody's token."""

from __future__ import annotations

import json
import os
import pty
import socket
import subprocess
import sys
from pathlib import Path

import pytest

_CRASH = """
import structlog
from adjourn.runtime.logs import configure_logs
configure_logs()
def crash(token):
    raise RuntimeError("broken")
try:
    crash("secret-" + "token")
except RuntimeError:
    structlog.get_logger().exception("crashed")
"""


def test_a_traceback_has_no_values_of_variables() -> None:
    found = subprocess.run([sys.executable, "-c", _CRASH], stderr=subprocess.PIPE, text=True, check=True).stderr
    line = json.loads(found)
    assert line["exception"][0]["exc_value"] == "broken"
    assert line["exception"][0]["frames"][-1]["name"] == "crash"
    assert "secret-token" not in found


def test_nor_does_one_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    subprocess.run([sys.executable, "-c", _CRASH], stderr=theirs, check=True)
    os.close(theirs)
    found = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "broken" in found
    assert "in crash" in found
    assert "secret-token" not in found


def test_an_executor_s_traceback_has_none_either() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.close()  # its supervisor is gone before it can say that it is there
        ran = subprocess.run(
            [sys.executable, "-m", "adjourn.worker.executor", str(theirs.fileno()), "1"],
            pass_fds=(theirs.fileno(),),
            capture_output=True,
            text=True,
            check=True,
        )
    line = json.loads(ran.stderr)
    assert line["exception"][0]["exc_type"] == "BrokenPipeError"
    assert not any("locals" in frame for frame in line["exception"][0]["frames"])


_OPENED = """
import logging, sys, structlog, adjourn
if "configured" in sys.argv:
    logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
with adjourn.Organization(f"sqlite:///{sys.argv[1]}/jobs.db"):
    structlog.get_logger("adjourn.store").info("a unit held the writer", seconds=1.5)
    structlog.get_logger("adjourn.worker").warning("a turn failed", error="no room")
"""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "a turn failed (error='no room')\n"),
        (
            ("configured",),
            "adjourn.store INFO a unit held the writer (seconds=1.5)\nadjourn.worker WARNING a turn failed (error='no room')\n",
        ),
    ],
    ids=["by default", "as it configures logging"],
)
def test_somebody_else_s_program_decides_what_is_logged(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    asked = [sys.executable, "-c", _OPENED, str(tmp_path), *arguments]
    ran = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("", said)


_UNREAD = """
import os, structlog, sys
from adjourn.runtime.logs import configure_logs
configure_logs()
if sys.argv[1] == "full":
    os.dup2(os.open("/dev/full", os.O_WRONLY), 2)
else:
    reader, writer = os.pipe()
    os.dup2(writer, 2)
    os.close(reader)
structlog.get_logger().error("nobody reads this")
print("went on")
"""


@pytest.mark.parametrize("how", ["gone", "full"], ids=["its reader is gone", "its disk is full"])
def test_who_logs_goes_on_where_nothing_can_be_written(how: str) -> None:
    ran = subprocess.run([sys.executable, "-c", _UNREAD, how], stdout=subprocess.PIPE, text=True, check=False)
    assert ran.stdout == "went on\n"
