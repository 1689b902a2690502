"""All that a process has started is found, whatever it was given. (Linux)"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from adjourn.worker import tree

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")
_PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "kept = bytearray(100_000_000); print(1, flush=True); __import__('time').sleep(60)"],
    env={}, start_new_session=True, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""


def test_a_child_with_an_environment_and_a_session_of_its_own_is_counted_and_ended() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT],
        env={**os.environ, tree.MARK: "the mark"},
        start_new_session=True,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert tree.memory_bytes(parent.pid) > 100_000_000
        tree.kill(parent.pid, "the mark")
        parent.wait(10)
    deadline = time.monotonic() + 10
    stat = Path(f"/proc/{child}/stat")
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)
