"""The command line: `adjourn serve`, `adjourn jobs …`, `adjourn query …`, `adjourn doctor`.

Exit status 0 for done, 1 for refused by the organization, 2 for a command that was not understood.
"""

from __future__ import annotations

import sys

import click

from adjourn.cli import jobs, query, serve, setup, token
from adjourn.errors import AdjournError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="adjourn")
def adjourn() -> None:
    """The asynchronous service of Microsoft Dataverse, open and self-hosted."""


adjourn.add_command(serve.serve)
adjourn.add_command(serve.work)
adjourn.add_command(setup.migrate)
adjourn.add_command(setup.register)
adjourn.add_command(setup.doctor)
adjourn.add_command(jobs.jobs)
adjourn.add_command(query.query)
adjourn.add_command(token.token)


def main() -> None:
    """Run a command; a refusal is one line on standard error, not a traceback."""
    try:
        adjourn(standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except AdjournError as error:
        click.echo(f"adjourn: {error.message} ({error.hex})", err=True)
        sys.exit(2 if error.status == 400 else 1)
