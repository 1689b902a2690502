"""What a crash leaves in the log: where it happened, and nobody's token."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest

_CRASH = """
import structlog
from adjourn.cli.logs import configure_logs
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


@pytest.mark.skipif(not hasattr(pty, "openpty"), reason="needs a pseudo-terminal")
def test_nor_does_one_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    subprocess.run([sys.executable, "-c", _CRASH], stderr=theirs, check=True)
    os.close(theirs)
    found = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "broken" in found
    assert "in crash" in found
    assert "secret-token" not in found
