"""Options that several commands share, and how an address is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from adjourn import config
from adjourn.errors import InvalidRequest
from adjourn.pipeline.registration import Registered
from adjourn.service import Service
from adjourn.store import sqlite_path

F = TypeVar("F", bound=Callable[..., Any])


def database_option(command: F) -> F:
    """`--database URL`, also from ADJOURN_DATABASE."""
    return click.option(
        "--database",
        default=config.DEFAULT_DATABASE,
        envvar="ADJOURN_DATABASE",
        show_default=True,
        metavar="URL",
        help="sqlite:///relative/path, sqlite:////absolute/path or postgresql://…",
    )(command)


@contextmanager
def opened(database: str) -> Iterator[Service]:
    """The organization in a database that exists. Raises InvalidRequest where there is none: a misspelt path is no wish."""
    path = sqlite_path(database)
    if path is not None and not path.exists():
        raise InvalidRequest(f"There is no database {path}; `adjourn serve` or `adjourn migrate` makes one.")
    service = Service.open(database)
    try:
        yield service
    finally:
        service.close()


def numbers(registered: Registered) -> str:
    """What a registration wrote, in words: `1 step, 2 messages`."""
    found = {"step": registered.steps, "message": registered.messages}
    return ", ".join(f"{number} {name}{'' if number == 1 else 's'}" for name, number in found.items())


def optional_address(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, int] | None:
    """The same, or "off"."""
    return None if value == "off" else address(context, parameter, value)


def address(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, int]:
    """HOST:PORT as a pair; a port alone means the loopback address."""
    host, _, port = value.rpartition(":")
    if not port.isdigit() or not 0 <= int(port) <= 65_535:
        raise click.BadParameter(f"'{value}' is no HOST:PORT, for example {config.DEFAULT_HTTP}.")
    return (host.strip("[]") or "127.0.0.1", int(port))
