"""Commands that prepare an organization and look after it: migrate, register, doctor."""

from __future__ import annotations

import click

from adjourn.cli.options import database_option, numbers, opened
from adjourn.jobs import explain
from adjourn.service import Service


@click.command()
@database_option
def migrate(database: str) -> None:
    """Create or bring up to date the database's tables."""
    service = Service.open(database)
    try:
        click.echo(f"{database} is up to date.")
    finally:
        service.close()


@click.command(short_help="Register the steps and messages of modules.")
@click.argument("modules", nargs=-1, required=True, metavar="MODULE...")
@database_option
def register(modules: tuple[str, ...], database: str) -> None:
    """Write the rows for everything that MODULE marks with @adjourn.step and @adjourn.message."""
    service = Service.open(database)
    try:
        for module in modules:
            registered = service.register(module)
            click.echo(f"{module}: {numbers(registered)} registered.")
            for line in registered.advice:
                click.echo(f"  advice: {line}")
    finally:
        service.close()


@click.command()
@database_option
def doctor(database: str) -> None:
    """Check what must always hold: counts, token heads, files. Exit status 1 if something does not."""
    with opened(database) as service, service.store.read() as reader:
        findings = explain.examine(reader)
    for finding in findings:
        click.echo(f"broken: {finding}")
    if findings:
        raise click.exceptions.Exit(1)
    click.echo("Counts, dependency tokens, leases and files are consistent.")
