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
_NOTHING_BYTES = 6
"""The code of a body that is only `...`: what a Protocol says of others cannot be executed."""
_executed: set[tuple[str, int]] = set()
_watched: dict[str, bool] = {}


def watch() -> None:
    """From now on, in this thread and in every green thread that begins here."""
    sys.settrace(_called)


def executed() -> list[str]:
    """As "module:line"."""
    return sorted(f"{path.removeprefix(_ROOT)}:{line}" for path, line in _executed)


def executable() -> dict[str, set[int]]:
    """Lines by module, of the modules that are loaded: what the service does not use yet does not count."""
    found = {}
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None) or ""
        if _is_watched(path):
            source = Path(path).read_text()
            found[path.removeprefix(_ROOT)] = set(_lines(compile(source, path, "exec"), top=True))
    return {name: lines for name, lines in found.items() if lines}


def _called(frame: FrameType, event: str, argument: Any) -> Any:
    path = frame.f_code.co_filename
    watched = _watched.get(path)
    if watched is None:
        watched = _watched[path] = _is_watched(path)
    return _line if watched else None


def _line(frame: FrameType, event: str, argument: Any) -> Any:
    if event == "line":
        _executed.add((frame.f_code.co_filename, frame.f_lineno))
    return _line


def _is_watched(path: str) -> bool:
    name = path.removeprefix(_ROOT)
    return path.startswith(_ROOT) and name.startswith(PARTS) and not name.startswith(_NOT_SQLITE)


def _lines(code: CodeType, *, top: bool) -> list[int]:
    lines = []
    if not top and len(code.co_code) > _NOTHING_BYTES:
        lines = [line for _, _, line in code.co_lines() if line is not None and line != code.co_firstlineno]
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            # The body of a class runs with the module that it is in.
            in_class = top and "__qualname__" in constant.co_names
            lines += _lines(constant, top=in_class)
    return lines


def table(lines: set[str]) -> str:
    """The share of each module and of all."""
    rows, all_, hit_ = [], 0, 0
    for name, wanted in sorted(executable().items()):
        hit = sum(f"{name}:{line}" in lines for line in wanted)
        all_, hit_ = all_ + len(wanted), hit_ + hit
        left = sorted(line for line in wanted if f"{name}:{line}" not in lines)
        rows.append(f"{100 * hit / len(wanted):6.1f} %  {name}  {_spans(left)}")
    return "\n".join([*rows, f"{100 * share(lines):6.1f} %  of {all_} lines"])


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
