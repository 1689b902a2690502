"""Which lines of the service the simulation executes: the bodies of functions of the modules that it is about.

Lines outside of functions run when a module is imported, whoever does it, so they say nothing and are not counted.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import adjourn

_ROOT = str(Path(adjourn.__file__).parent) + "/"
PARTS = ("jobs/", "worker/", "store/")
_NOT_SQLITE = "store/postgres"
_OF_POSTGRES = "PostgreSQL: "
"""So begins what a function of the other parts says of itself that only PostgreSQL calls."""
COUNTED = (
    "without store/postgres* and functions for PostgreSQL alone, because the simulated store is the real SQLite store"
)
"""What a figure is of, said wherever one is printed."""
_NOTHING_BYTES = 6
"""The code of a body that is only `...`: what a Protocol says of others cannot be executed."""
_EACH, _SOME = 40, 50
"""Of each function the first calls are watched, then one in so many, until all its lines have been seen: watching every one
costs two and a half times what the simulation does."""
_executed: set[tuple[str, int]] = set()
_left: dict[CodeType, set[int]] = {}
"""Of the functions that are watched: their lines that have not been seen."""
_calls: dict[CodeType, int] = {}
"""How many there were; _ENOUGH: this one need not be watched."""
_ENOUGH = -1


def watch() -> None:
    """From now on, in this thread and in every green thread that begins here."""
    sys.settrace(_called)


def executed() -> list[str]:
    """As "module:line"."""
    return sorted(f"{path.removeprefix(_ROOT)}:{line}" for path, line in _executed)


def executable() -> dict[str, set[int]]:
    """Lines by module."""
    found = {}
    for path in map(str, sorted(Path(_ROOT).rglob("*.py"))):
        if _is_watched(path):
            source = Path(path).read_text()
            found[path.removeprefix(_ROOT)] = set(_lines(compile(source, path, "exec"), top=True))
    return {name: lines for name, lines in found.items() if lines}


def _called(frame: FrameType, event: str, argument: Any) -> Any:
    code = frame.f_code
    calls = _calls.get(code)
    if calls is None:
        calls = 0 if _is_watched(code.co_filename) else _ENOUGH
        _calls[code] = calls
        _left[code] = {*_lines_of(code)}
    if calls == _ENOUGH:
        return None
    if not _left[code]:
        _calls[code] = _ENOUGH
        return None
    _calls[code] = calls + 1
    return _line if calls < _EACH or calls % _SOME == 0 else None


def _line(frame: FrameType, event: str, argument: Any) -> Any:
    if event == "line":
        _executed.add((frame.f_code.co_filename, frame.f_lineno))
        _left[frame.f_code].discard(frame.f_lineno)
    return _line


def _is_watched(path: str) -> bool:
    name = path.removeprefix(_ROOT)
    return path.startswith(_ROOT) and name.startswith(PARTS) and not name.startswith(_NOT_SQLITE)


def _lines(code: CodeType, *, top: bool) -> list[int]:
    lines = []
    if not top and len(code.co_code) > _NOTHING_BYTES:
        lines = _lines_of(code)
    for constant in code.co_consts:
        if isinstance(constant, CodeType) and not _is_of_postgres(constant):
            # The body of a class runs with the module that it is in.
            in_class = top and "__qualname__" in constant.co_names
            lines += _lines(constant, top=in_class)
    return lines


def _is_of_postgres(code: CodeType) -> bool:
    said = code.co_consts[0] if code.co_consts else None
    return isinstance(said, str) and said.startswith(_OF_POSTGRES)


def _lines_of(code: CodeType) -> list[int]:
    return [line for _, _, line in code.co_lines() if line is not None and line != code.co_firstlineno]


def table(lines: set[str]) -> str:
    """The share of each module and of all."""
    rows, all_, hit_ = [], 0, 0
    for name, wanted in sorted(executable().items()):
        hit = sum(f"{name}:{line}" in lines for line in wanted)
        all_, hit_ = all_ + len(wanted), hit_ + hit
        left = sorted(line for line in wanted if f"{name}:{line}" not in lines)
        rows.append(f"{100 * hit / len(wanted):6.1f} %  {name}  {_spans(left)}")
    return "\n".join([*rows, f"{100 * share(lines):6.1f} %  of {all_} lines of functions, {COUNTED}"])


def share(lines: set[str]) -> float:
    """The part of all executable lines that were executed."""
    wanted = [f"{name}:{line}" for name, found in executable().items() for line in found]
    return sum(place in lines for place in wanted) / len(wanted)


def _spans(lines: list[int]) -> str:
    spans: list[list[int]] = []
    for line in lines:
        if spans and line - spans[-1][1] <= 1:
            spans[-1][1] = line
        else:
            spans.append([line, line])
    return " ".join(f"{first}-{last}" if last > first else f"{first}" for first, last in spans)
