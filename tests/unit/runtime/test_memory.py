"""Freed memory is kept where the C library can."""

from __future__ import annotations

import subprocess
import sys


def test_freed_memory_is_kept_for_the_next_answer() -> None:
    """In a process of its own, as the setting holds for the whole process. What 60 MB in pieces of 6 leave is counted."""
    code = (
        "import sys, os; from adjourn.runtime import memory\n"
        "kept = memory.keep_freed() if sys.argv[1] == 'keep' else True\n"
        "def resident(): return int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE')\n"
        "before = resident(); pieces = [b'x' * 6_000_000 for _ in range(10)]; del pieces\n"
        "print(kept, resident() - before > 30_000_000)"
    )
    found = [
        subprocess.run([sys.executable, "-c", code, how], capture_output=True, text=True, check=True).stdout.split()
        for how in ("keep", "give back")
    ]
    assert found[0][0] in ("True", "False")
    if found[0][0] == "True":
        assert found == [["True", "True"], ["True", "False"]]
