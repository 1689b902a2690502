"""The code that a registration names: from a module and a function in the rows of the database to what runs.

Apart from the registrations themselves because an executor needs it alone: without the query layer it starts a quarter sooner.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from adjourn.errors import AdjournError, InvalidRequest, nearest
from adjourn.pipeline.declare import is_marked

_PROGRAM = "__main__"
"""The module of a package that `python -m package` runs. By itself it is the script that runs already, whose functions are had."""


class ModuleAbsent(InvalidRequest):
    """There is no such module here. Another host may have it."""


def resolve(module: str, function: str) -> Any:
    """The object that a plug-in type names: the marked function, or the `Message` around it.

    Raises InvalidRequest that names the module or function that cannot be had, and why. A function that nobody marked is not
    had: rows can be written over HTTP, and must not reach whatever else is installed (`os.system`). A package's program is not
    imported, for the same reason.
    """
    if _PROGRAM in module.split(".")[1:]:
        raise InvalidRequest(
            f"Module '{module}' is a program: to import it would run it. Name the module with the function."
        )
    try:
        imported = importlib.import_module(module)
    except AdjournError:
        raise
    except (Exception, SystemExit) as error:  # any module may raise anything while it is imported
        raise not_imported(module, error) from error
    found: Any = imported
    for part in function.split("."):
        found = getattr(found, part, None)
    if found is None and module == _PROGRAM:
        raise InvalidRequest(
            f"'{function}' is a function of a script (__main__), which no other process can import: put it into a module."
        )
    if found is None:
        raise InvalidRequest(f"Module '{module}' has no function '{function}'.{nearest(function, vars(imported))}")
    if not is_marked(found):
        raise InvalidRequest(
            f"'{module}.{function}' is not run: it is not marked with @adjourn.message or @adjourn.step."
        )
    return found


def handler_of(found: Any) -> Callable[..., Any]:
    """The bare function of what `resolve` found."""
    handler: Callable[..., Any] = getattr(found, "handler", found)
    return handler


def not_imported(module: str, error: BaseException) -> InvalidRequest:
    """What is said of a module that cannot be imported; of one that is not found, also where Python looks."""
    message = f"Module '{module}' cannot be imported: {type(error).__name__}: {error}"
    if isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]:
        return ModuleAbsent(f"{message}. Python looks on its path only; PYTHONPATH=. adds the current folder")
    return InvalidRequest(message)
