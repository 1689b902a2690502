"""What a predicate costs: whoever reaches his own records only reads a page of them by an index, never by the whole table."""

from __future__ import annotations

from uuid import UUID

import pytest
from tests.flows.security.conftest import Place
from tests.support import roles
from tests.support.roles import BASIC, LOCAL

from adjourn.client import Client
from adjourn.metadata.customizing import Customizing
from adjourn.pipeline.call import Call
from adjourn.pipeline.customization import customize
from adjourn.query.compile import compile
from adjourn.service import Service, parse_query
from adjourn.store.contract import Store, Transaction

ROWS = 6_000
SHARE = 100
"""One row in so many is the user's."""
NEWEST = "asyncoperations?$select=name&$orderby=createdon desc&$top=50"
PAGES = (
    "accounts?$select=name&$top=50",
    NEWEST,
    "asyncoperations?$select=name&$filter=statecode eq 3&$orderby=createdon desc",
)


def fill(store: Store, user: UUID, others: UUID, unit: UUID) -> None:
    """Accounts and finished jobs, few of them the user's."""
    number = f"WITH RECURSIVE r(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM r WHERE n < {ROWS - 1})"

    def unit_of_work(tx: Transaction) -> None:
        postgres = tx.dialect == "postgres"
        key = (
            "gen_random_uuid()" if postgres else "lower(hex(randomblob(4)) || '-0000-7000-8000-' || hex(randomblob(6)))"
        )
        owner = f"CASE WHEN n % {SHARE} = 0 THEN :user ELSE :others END"
        moment = "'2026-01-01T00:00:00Z'::timestamptz + n * interval '1 second'" if postgres else (
            "strftime('%Y-%m-%dT%H:%M:%S.000000Z', 1767225600 + n, 'unixepoch')"
        )  # fmt: skip
        owned = f"{owner}::uuid, :unit::uuid" if postgres else f"{owner}, :unit"
        owned = owned.replace(":user ", ":user::uuid ").replace(":others ", ":others::uuid ") if postgres else owned
        values = {"user": str(user), "others": str(others), "unit": str(unit)}
        tx.execute(
            f"INSERT INTO account (accountid, name, ownerid, owningbusinessunit, createdon) {number} "
            f"SELECT {key}, 'a' || n, {owned}, {moment} FROM r",
            values,
        )
        tx.execute(
            "INSERT INTO asyncoperation (asyncoperationid, operationtype, statecode, statuscode, name, ownerid, owningbusinessunit, "
            f"createdon, completedon) {number} SELECT {key}, 1, 3, 30, 'j', {owned}, {moment}, {moment} FROM r",
            values,
        )
        if postgres:
            tx.execute("ANALYZE account")
            tx.execute("ANALYZE asyncoperation")

    store.write(unit_of_work)


def plan(service: Service, user: UUID, question: str) -> str:
    """How the database answers, in its own words."""
    with service.store.read() as reader:
        query = parse_query(question, service.catalog)
        found = compile(query, service.catalog, service.caller(user), reader.dialect, reader.now)
        explain = "EXPLAIN" if reader.dialect == "postgres" else "EXPLAIN QUERY PLAN"
        return "\n".join(str(row[-1]) for row in reader.rows(f"{explain} {found.sql}", found.parameters))


@pytest.fixture
def filled(org: Client, service: Service, place: Place) -> UUID:
    """A role at Basic depth; `place.user` is in a team, `ben` in none."""
    role = roles.role(org, "reader", roles.everything("Account", BASIC) | roles.everything("AsyncOperation", BASIC))
    _, ben = place.owners["unit"]
    _, elsewhere = place.owners["elsewhere"]
    sales = org.retrieve("systemuser", ben)["businessunitid"].id
    for user in (place.user, ben):
        org.associate("systemuser", user, "systemuserroles_association", [("role", role)])
    fill(service.store, ben, elsewhere, sales)
    return ben


def test_ones_own_rows_are_found_by_their_owner(org: Client, service: Service, filled: UUID, place: Place) -> None:
    """In no team, they come in order, however many they are: a page sorts no more than those with the same key."""
    for page in PAGES:
        name = "owner_account" if page.startswith("accounts") else "job_owner"
        for user in (filled, place.user):
            found = plan(service, user, page)
            assert name in found
            assert "SCAN s" not in found
            assert "Seq Scan" not in found
    for page in (PAGES[0], NEWEST):
        lines = plan(service, filled, page).splitlines()
        assert not [line for line in lines if line.strip().startswith(("USE TEMP B-TREE FOR ORDER BY", "->  Sort "))]
    # Who reaches a unit, or everything, finds the newest in the order of the table itself.
    role = roles.role(org, "unit", roles.everything("AsyncOperation", LOCAL))
    org.associate("systemuser", place.user, "systemuserroles_association", [("role", role)])
    for user in (place.user, service.administrator().user_id):
        assert "job_created" in plan(service, user, NEWEST)


def test_every_table_with_owners_has_an_index_for_them(service: Service) -> None:
    """The tables of callers too."""
    header = {"schema": "new_Boat", "ownership": "UserOwned"}
    primary = {"name": "new_name", "schema": "new_Name", "type": "String", "max_length": 100}

    def change(customizing: Customizing) -> None:
        customizing.create_table(header, [primary], "new_name")

    customize(service.pipeline, Call(caller=service.administrator()), "create table", change)
    assert service.catalog.tables["new_boat"].guard.owner == "ownerid"
    with service.store.read() as reader:
        for table in service.catalog.tables.values():
            if table.guard.owner is None or table.guard.owner == table.primary_id:
                continue
            if reader.dialect == "postgres":
                rows = reader.rows("SELECT indexdef FROM pg_indexes WHERE tablename = :table", {"table": table.logical})
                assert any(f"({table.guard.owner}, " in row[0] for row in rows), table.logical
            else:
                rows = reader.rows(
                    "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = :table", {"table": table.logical}
                )
                assert any(f"({table.guard.owner}, " in (row[0] or "").replace('"', "") for row in rows), table.logical
