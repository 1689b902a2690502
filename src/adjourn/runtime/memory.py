"""How the process treats memory that it has freed.

A page of 5,000 records is some megabytes that live for milliseconds. By default glibc gives such memory back to the
kernel each time and asks for it again, page by page, which costs a sixth of the whole answer. A serving process keeps
some of it instead.
"""

from __future__ import annotations

import ctypes

KEPT_BYTES_MAX = 128 * 1024 * 1024
"""Free memory at the end of the heap that is kept; about thirty large answers."""
_MAPPED_BYTES_MIN = 32 * 1024 * 1024
"""Pieces from this size on are mapped and given back by themselves: glibc's own upper limit."""
_HEAPS_MAX = 4
"""By default there are sixteen on two cores, each of which keeps what it has freed from the others."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8


def keep_freed() -> bool:
    """Tell the C library to keep freed memory for the next answer. False where there is no such setting (not glibc)."""
    try:
        tune = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    wanted = ((_TRIM_THRESHOLD, KEPT_BYTES_MAX), (_MMAP_THRESHOLD, _MAPPED_BYTES_MIN), (_ARENA_MAX, _HEAPS_MAX))
    return all([bool(tune(what, value)) for what, value in wanted])
