"""Fault points: the moments at which a simulation or a test lets the process die.

They sit in the store, the files and the executors only. Unset, a point costs one comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_hook: Callable[[str], None] | None = None


def point(name: str) -> None:
    """Tell whoever listens that this moment has come. The hook may raise, kill the process, or never return."""
    if _hook is not None:
        _hook(name)


@contextmanager
def listening(hook: Callable[[str], None]) -> Iterator[None]:
    """Call `hook` at every fault point inside the block."""
    global _hook
    before, _hook = _hook, hook
    try:
        yield
    finally:
        _hook = before
