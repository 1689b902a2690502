"""The fault points, read from the source: a new one belongs to the proof of crashes as soon as it is written."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import adjourn
from adjourn.store.contract import Dialect

_SOURCE = Path(adjourn.__file__).parent


def declared(dialect: Dialect) -> set[str]:
    """Every fault point that a service on this database may come to, as "module.function: name"."""
    return {site for path in sorted(_SOURCE.rglob("*.py")) for site in _sites(path) if _belongs(site, dialect)}


def here() -> str:
    """The fault point at which its listener has just been called, spelt as in `declared`."""
    frame = sys._getframe(0)
    while frame.f_globals["__name__"] != "adjourn.store.faults":
        assert frame.f_back is not None, "not called by a listener"
        frame = frame.f_back
    name = frame.f_locals["name"]
    assert frame.f_back is not None
    return f"{frame.f_back.f_globals['__name__']}.{frame.f_back.f_code.co_name}: {name}"


def _sites(path: Path) -> Iterator[str]:
    module = ".".join(("adjourn", *path.relative_to(_SOURCE).with_suffix("").parts)).removesuffix(".__init__")
    for function in ast.walk(ast.parse(path.read_text())):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and ast.unparse(call.func) in ("faults.point", "point"):
                name = ast.literal_eval(call.args[0])
                yield f"{module}.{function.name}: {name}"


def _belongs(site: str, dialect: Dialect) -> bool:
    if not site.startswith("adjourn.store."):
        return True
    return site.startswith("adjourn.store.postgres") == (dialect == "postgres")
