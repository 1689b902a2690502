"""An executor that ends takes along what its handlers have started, and nobody else."""

from __future__ import annotations

import shlex
import socket
import subprocess
import sys


def test_whoever_started_an_executor_in_his_own_group_survives_its_end() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.close()  # its supervisor is gone: it ends at once
        command = (
            f"{shlex.quote(sys.executable)} -m adjourn.worker.executor {theirs.fileno()} 1 2>/dev/null; echo survived"
        )
        ran = subprocess.run(
            ["sh", "-c", command],
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert (ran.returncode, ran.stdout) == (0, "survived\n")
