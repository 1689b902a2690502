"""`adjourn jobs`: look at system jobs, ask why one waits, and act on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import click

from adjourn.cli.options import database_option, opened
from adjourn.cli.table import print_table, text
from adjourn.errors import InvalidRequest
from adjourn.jobs import explain, schedules
from adjourn.jobs.states import STATE_OF, Status
from adjourn.metadata.model import Reference
from adjourn.metadata.values import moment
from adjourn.pipeline.call import Call, Request
from adjourn.pipeline.read import python_row
from adjourn.pipeline.record import Record
from adjourn.query.tree import Attribute, Condition, Filter, Order, Query
from adjourn.service import Service

_LIST = ("asyncoperationid", "name", "operationtypename", "statuscodename", "createdon", "startedon", "completedon")
_EXAMPLE = "0190a3c2-7c1e-7b30-9d2a-5f6e7d8c9b0a"
_LIMIT_MAX = 5000
_STATES = {"ready": 0, "suspended": 1, "locked": 2, "completed": 3}


class JobId(click.ParamType[UUID]):
    """A guid, refused with a text that says what one looks like."""

    name = "JOB"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> UUID:
        try:
            return UUID(str(value))
        except ValueError:
            self.fail(
                f"'{value}' is no job id: a guid such as {_EXAMPLE}, as `adjourn jobs list` shows them.",
                parameter,
                context,
            )


class Moment(click.ParamType[datetime]):
    """A moment as every other surface takes it, and as these commands print it; without an offset it is UTC."""

    name = "UNTIL"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> datetime:
        try:
            return moment(value, "UNTIL")
        except InvalidRequest as error:
            self.fail(error.message, parameter, context)


@contextmanager
def _opened(database: str) -> Iterator[tuple[Service, Call]]:
    with opened(database) as service:
        yield service, Call(caller=service.administrator())


@click.group()
def jobs() -> None:
    """Look at system jobs and act on them."""


@jobs.command("list")
@click.option("--state", type=click.Choice(list(_STATES)), help="Only jobs in this state.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, _LIMIT_MAX))
@database_option
def list_jobs(state: str | None, limit: int, database: str) -> None:
    """The newest jobs."""
    conditions = (Condition("statecode", "eq", (_STATES[state],)),) if state else ()
    query = Query(
        "asyncoperation",
        tuple(Attribute(name) for name in _LIST),
        filter=Filter("and", conditions) if conditions else None,
        orders=(Order("createdon", descending=True), Order("sequence", descending=True)),
        top=min(limit + 1, _LIMIT_MAX),
    )
    with _opened(database) as (service, call):
        rows = service.retrieve_multiple(query, call)
        answers = [python_row(rows.plan, row) for row in rows.rows]
    print_table(
        ["job", "name", "type", "status", "created", "started", "completed"],
        [[answer[name] for name in _LIST] for answer in answers[:limit]],
        whole=("status",),
        spare=("type", "completed", "started", "created"),
        more="--limit shows older ones" if len(answers) > limit else "",
    )


@jobs.command()
@click.argument("job", type=JobId())
@database_option
def show(job: UUID, database: str) -> None:
    """Every column of a job that has a value."""
    with _opened(database) as (service, call):
        request = Request("Retrieve", {"Target": Reference("asyncoperation", job), "ColumnSet": None})
        record = service.execute(request, call)["BusinessEntity"]
        columns = service.catalog.table("asyncoperation").columns
        why = _why(service, job)
        told = _story(service, job)
        with service.store.read() as reader:
            recurs = schedules.in_words(reader, job)

    def label(name: str) -> str:
        """What people call a number: the option of a choice, the code of an error as the documents have it."""
        value, choice = record.values[name], columns[name].choice
        if name == "errorcode":
            return f" (0x{value & 0xFFFF_FFFF:08x})"
        named = choice is not None and not isinstance(value, bool) and value in choice.options
        return f" {choice.options[value].label}" if choice is not None and named else ""

    for name in sorted(record.values):
        if record.values[name] is not None:
            lines = (
                str(record.values[name]).splitlines()
                if name == "message"
                else [text(record.values[name]) + label(name)]
            )
            click.echo(f"{name:<28}{lines[0] if lines else ''}")
            for line in lines[1:]:
                click.echo(f"{'':<28}{line}")
    if recurs is not None:
        click.echo(f"{'recurs':<28}{recurs}")
    click.echo(f"{'why':<28}{why}")
    for index, entry in enumerate(told):
        line = "  ".join(text(value) for value in entry if value is not None)
        click.echo(f"{'history' if index == 0 else '':<28}{line}")


@jobs.command("history")
@click.argument("job", type=JobId())
@database_option
def show_history(job: UUID, database: str) -> None:
    """What people, retries, pauses, rescues and tokens did to it."""
    with _opened(database) as (service, _):
        told = _story(service, job)
    if told:
        print_table(
            ["when", "event", "statuses", "by", "why"], told, whole=("event", "statuses"), wrapped=("by", "why")
        )
    else:
        click.echo(
            "Nobody and nothing has touched it beside its plain run, of which `adjourn jobs show` has the moments."
        )


@jobs.command()
@click.argument("job", type=JobId())
@database_option
def why(job: UUID, database: str) -> None:
    """Say in a sentence what a job is waiting for."""
    with _opened(database) as (service, _):
        click.echo(_why(service, job))


@jobs.command("next")
@click.argument("job", type=JobId())
@click.option("--count", default=5, show_default=True, type=click.IntRange(1, schedules.UPCOMING_MAX))
@database_option
def next_moments(job: UUID, count: int, database: str) -> None:
    """When a recurring job runs next, and how often."""
    with _opened(database) as (service, _), service.store.read() as reader:
        moments = schedules.upcoming(reader, job, count)
        said = schedules.in_words(reader, job)
    click.echo(said)
    for one in moments:
        click.echo(text(one))
    if len(moments) < count:
        click.echo("Then it has ended." if moments else "It has ended.")


def _why(service: Service, job: UUID) -> str:
    with service.store.read() as reader:
        return explain.why(reader, job, service.store)


def _story(service: Service, job: UUID) -> list[list[Any]]:
    with service.store.read() as reader:
        told = explain.story(reader, job)
    return [
        [entry.on, entry.event, f"{_pair(entry.was)} -> {_pair(entry.became)}", entry.by_name or entry.by, entry.detail]
        for entry in told
    ]


def _pair(status: Status) -> str:
    return f"{int(STATE_OF[status])}/{int(status)}"


def _action(name: str, help_text: str, values: Callable[..., dict[str, Any]]) -> None:
    @jobs.command(name, help=help_text)
    @click.argument("job", type=JobId())
    @database_option
    def act(job: UUID, database: str) -> None:
        with _opened(database) as (service, call):
            service.execute(Request("Update", {"Target": Record("asyncoperation", job, values())}), call)
            click.echo(_why(service, job))


_action("cancel", "Cancel a job that is not completed.", lambda: {"statecode": 3, "statuscode": 32})
_action("pause", "Pause a running job at its next checkpoint.", lambda: {"statecode": 1, "statuscode": 10})
_action("resume", "Make a suspended job ready.", lambda: {"statecode": 0, "statuscode": 0})


@jobs.command()
@click.argument("job", type=JobId())
@click.argument("until", type=Moment())
@database_option
def postpone(job: UUID, until: datetime, database: str) -> None:
    """Hold a job back until a moment.

    UNTIL is in UTC, such as 2030-01-01T06:00:00Z or '2030-01-01 06:00'.
    """
    with _opened(database) as (service, call):
        values = {"postponeuntil": until}
        service.execute(Request("Update", {"Target": Record("asyncoperation", job, values)}), call)
        click.echo(_why(service, job))


@jobs.command()
@click.argument("job", type=JobId())
@database_option
def delete(job: UUID, database: str) -> None:
    """Delete a job, whatever its state."""
    with _opened(database) as (service, call):
        service.execute(Request("Delete", {"Target": Reference("asyncoperation", job)}), call)
        click.echo(f"Job {job} is deleted.")
