"""`adjourn query`: ask the organization in one of its languages."""

from __future__ import annotations

import sys

import click
import msgspec

from adjourn.cli.options import database_option, opened
from adjourn.cli.table import print_table
from adjourn.pipeline.call import Call
from adjourn.pipeline.read import python_rows
from adjourn.query.compile import compile
from adjourn.service import parse_query


@click.command()
@click.argument("text")
@click.option("--language", type=click.Choice(["odata", "fetchxml"]), default="odata", show_default=True)
@click.option("--explain", is_flag=True, help="Show the SQL instead of the answer.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@database_option
def query(text: str, language: str, explain: bool, as_json: bool, database: str) -> None:
    """Ask a question in OData or FetchXML.

    TEXT is such as 'asyncoperations?$select=name,statuscode&$top=5'; '-' reads standard input.
    """
    if text == "-":
        text = sys.stdin.read()
    if (language == "fetchxml") != text.lstrip().startswith("<"):
        raise click.UsageError(
            f"This does not look like {language}: FetchXML begins with <fetch>, OData with a set name."
        )
    with opened(database) as service:
        call = Call(caller=service.administrator())
        parsed = parse_query(text, service.catalog)
        if explain:
            with service.store.read() as reader:
                plan = compile(parsed, service.catalog, call.caller, reader.dialect, reader.now)
            click.echo(plan.sql)
            click.echo("-- answered from the counts" if plan.counted else "-- answered from the table")
            return
        rows = service.retrieve_multiple(parsed, call)
        answers = python_rows(rows)
        if as_json:
            for answer in answers:
                click.echo(msgspec.json.encode(answer).decode())
        else:
            names = dict.fromkeys(output.path[0] if output.path else output.key for output in rows.plan.outputs)
            names |= dict.fromkeys(one.of.of.navigation for one in rows.collections if not one.of.of.path)
            print_table(list(names), [list(answer.values()) for answer in answers])
