"""`adjourn token …`: access tokens for users. A token is shown once, when it is made; only its digest is kept."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import click

from adjourn import runtime
from adjourn.cli.options import database_option, opened
from adjourn.cli.table import print_table
from adjourn.errors import InvalidRequest, NotFound, nearest
from adjourn.metadata import values
from adjourn.pipeline.read import ask
from adjourn.query import access_tokens
from adjourn.query.tree import Attribute, Condition, Filter, Query
from adjourn.service import Service

_DAYS_MAX = 36_500
_NAMES = ("domainname", "internalemailaddress", "fullname")
"""What a user may be called on the command line, besides his id."""


@click.group()
def token() -> None:
    """Make, list and revoke access tokens of users."""


@token.command(short_help="Make a token for a user, and print it once.")
@click.option(
    "--user", required=True, metavar="NAME", help="Domain name, e-mail address, full name or id of a systemuser."
)
@click.option("--expires", type=click.IntRange(1, _DAYS_MAX), metavar="DAYS", help="When it ends; never, if left out.")
@click.option("--name", "label", metavar="LABEL", help="What it is for, to find it in the list.")
@database_option
def create(user: str, expires: int | None, label: str | None, database: str) -> None:
    """Make a token for a user, and print it: nobody can find it out again."""
    if label is not None and len(label) > 200:
        raise InvalidRequest(f"A token's name has at most 200 characters, found {len(label)}.")
    with opened(database) as service:
        user_id, name = _user(service, user)
        until = runtime.now() + timedelta(days=expires) if expires else None
        made, row = service.store.write(lambda tx: access_tokens.create(tx, user_id, label, until))
    ends = f", until {_moment(row.expires_on)}" if row.expires_on else ""
    click.echo(f"Token {row.id} of {name}{ends}. It is shown this once:", err=True)
    click.echo(made)


@token.command("list")
@database_option
def list_(database: str) -> None:
    """Show all tokens: whose, what for, until when. Never the tokens themselves."""
    with opened(database) as service, service.store.read() as reader:
        rows = access_tokens.every(reader)
        query = Query("systemuser", (Attribute("systemuserid"), Attribute("fullname")), language="fetchxml")
        names = {found["systemuserid"]: found["fullname"] for found in ask(reader, service.catalog, query)}
        cells = [
            (row.id, names.get(row.user_id) or row.user_id, row.label, row.created_on, row.expires_on) for row in rows
        ]
    print_table(("id", "user", "name", "created", "expires"), cells)


@token.command()
@click.argument("token_id", metavar="ID")
@database_option
def revoke(token_id: str, database: str) -> None:
    """Forget a token, by its id in the list. Within two seconds nobody can use it any more."""
    found = values.guid(token_id, "ID")
    with opened(database) as service:
        if not service.store.write(lambda tx: access_tokens.revoke(tx, found)):
            raise NotFound(f"There is no token {found}; `adjourn token list` shows them.")
    click.echo(f"Token {found} is revoked.")


def _user(service: Service, text: str) -> tuple[UUID, str]:
    """The one systemuser that a text names. Raises InvalidRequest with the nearest name, or with all that it fits."""
    columns = tuple(Attribute(name) for name in ("systemuserid", *_NAMES))
    try:
        wanted = [Condition("systemuserid", "eq", (UUID(text),))]
    except ValueError:
        wanted = [Condition(name, "eq", (text,)) for name in _NAMES]
    with service.store.read() as reader:
        query = Query("systemuser", columns, filter=Filter("or", tuple(wanted)), language="fetchxml", top=10)
        rows = ask(reader, service.catalog, query)
        if not rows:
            everybody = ask(reader, service.catalog, Query("systemuser", columns, language="fetchxml", top=1000))
            known = [row[name] for row in everybody for name in _NAMES if row[name]]
            raise InvalidRequest(f"No systemuser is called '{text[:200]}'.{nearest(text, known)}")
    if len(rows) > 1:
        several = "; ".join(f"{row['domainname'] or row['fullname']} ({row['systemuserid']})" for row in rows)
        raise InvalidRequest(f"'{text[:200]}' fits several users; give the id of one: {several}.")
    return rows[0]["systemuserid"], rows[0]["fullname"] or rows[0]["domainname"] or text


def _moment(found: datetime) -> str:
    return found.strftime("%Y-%m-%d %H:%M UTC")
