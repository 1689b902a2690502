"""A process with everything that it has started: what handlers start must not outlive the run that is ended.

Its group is not enough: a child may have begun a session of its own, and its parent may be gone. But it has inherited the
environment, and that holds a mark; and one that was given another environment still has its parent, unless that is gone
too. (Linux; elsewhere the group is all that can be found.)
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

MARK = "ADJOURN_EXECUTOR"
"""The variable in an executor's environment; its value is different for each."""
_ROUNDS_MAX = 5
"""What is being started while we look is found in the next round."""
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PROCESSES = Path("/proc")


def kill(group: int, mark: str) -> None:
    """End all processes that carry the mark or descend from one, then all of the group, which may be the caller's own. Those
    of other users stay."""
    for _ in range(_ROUNDS_MAX):
        found = set(_marked(mark))
        found |= _descendants({*found, group}) - {os.getpid(), group}
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            break
    with contextlib.suppress(ProcessLookupError):  # it may have ended by itself, or there is no such group
        os.killpg(group, signal.SIGKILL)


def memory_bytes(session: int) -> int:
    """How much memory the processes of a session, and those that descend from its first, have in use; 0 when they are gone or
    the system does not say."""
    table = list(_table())
    counted = _descendants({session}, table) | {pid for pid, _, of, _ in table if of == session}
    return sum(pages for pid, _, _, pages in table if pid in counted) * _PAGE_BYTES


def _marked(mark: str) -> Iterator[int]:
    wanted = f"{MARK}={mark}".encode()
    for entry in _entries():
        with contextlib.suppress(OSError):  # it has ended, or is not ours to look at
            if int(entry.name) != os.getpid() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name)


def _descendants(ancestors: set[int], table: Iterable[tuple[int, int, int, int]] | None = None) -> set[int]:
    """The children of these processes, their children, and so on."""
    children: dict[int, list[int]] = {}
    for pid, parent, _, _ in _table() if table is None else table:
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    left = list(ancestors)
    while left:
        new = [pid for pid in children.get(left.pop(), ()) if pid not in found]
        found.update(new)
        left += new
    return found


def _table() -> Iterator[tuple[int, int, int, int]]:
    """Id, parent, session and resident pages of every process."""
    for entry in _entries():
        with contextlib.suppress(OSError):
            # After the name, which may hold anything, in brackets: state, parent, group, session; pages are the 22nd.
            fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
            yield int(entry.name), int(fields[1]), int(fields[3]), int(fields[21])


def _entries() -> list[Path]:
    try:
        return [entry for entry in _PROCESSES.iterdir() if entry.name.isdigit()]
    except OSError:
        return []
