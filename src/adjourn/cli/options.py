"""Options that several commands share, and how an address is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from adjourn import config

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


def address(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, int]:
    """HOST:PORT as a pair; a port alone means the loopback address."""
    host, _, port = value.rpartition(":")
    if not port.isdigit() or not 0 <= int(port) <= 65_535:
        raise click.BadParameter(f"'{value}' is no HOST:PORT, for example {config.DEFAULT_HTTP}.")
    return (host.strip("[]") or "127.0.0.1", int(port))
