"""What each user of a random organization sees is exactly what the rule in plain Python says, in every language."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.properties.security import organizations
from tests.properties.security.organizations import READ, World

from adjourn.errors import PrivilegeDenied
from adjourn.pipeline import access
from adjourn.pipeline.call import Call
from adjourn.query import security
from adjourn.query.compile import compile
from adjourn.query.result import Rows
from adjourn.service import Service, parse_query
from adjourn.store import open_store

FEWER = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
KEYS = {"account": "accountid", "contact": "contactid", "asyncoperation": "asyncoperationid"}
SETS = {"account": "accounts", "contact": "contacts", "asyncoperation": "asyncoperations"}

LINKED_SUM = (
    "<fetch aggregate='true'><entity name='account'><attribute name='name' alias='name' groupby='true'/><link-entity name='contact' "
    "from='parentcustomerid' to='accountid'><attribute name='contactid' alias='n' aggregate='count'/></link-entity></entity></fetch>"
)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    if request.param == "sqlite":
        opened = Service(open_store(f"sqlite:///{tmp_path_factory.mktemp('rows')}/rows.db"))
        yield opened
        opened.close()
        return
    from tests.support import postgres

    cluster = postgres.cluster()
    name = cluster.create()
    opened = Service(open_store(cluster.url_of(name)))
    yield opened
    opened.close()
    cluster.drop(name)


def ask(service: Service, user: UUID, query: str) -> Rows | None:
    """The answer; None where he may not read."""
    try:
        return service.retrieve_multiple(parse_query(query, service.catalog), Call(caller=service.caller(user)))
    except PrivilegeDenied:
        return None


def values(rows: Rows | None, *keys: str) -> list[tuple[Any, ...]] | None:
    if rows is None:
        return None
    places = [next(o.index for o in rows.plan.outputs if o.key == key) for key in keys]
    return sorted(tuple(row[place] for place in places) for row in rows.rows)


def ids(rows: list[dict[str, Any]] | None, key: str) -> list[tuple[str]] | None:
    return None if rows is None else sorted((str(row[key]),) for row in rows)


def each_user(service: Service, seed: int, check: Callable[[World, UUID], None]) -> None:
    world = organizations.build(seed)
    organizations.fill(service.store, world)
    for user in world.user_units:
        check(world, user)


@FEW
@given(seed=st.integers(0, 2**24 - 1))
def test_collections_in_both_languages(service: Service, seed: int) -> None:
    def check(world: World, user: UUID) -> None:
        for table, key in KEYS.items():
            expected = ids(world.visible(user, table), key)
            assert values(ask(service, user, f"{SETS[table]}?$select={key}"), key) == expected
            fetch = f"<fetch><entity name='{table}'><attribute name='{key}'/></entity></fetch>"
            assert values(ask(service, user, fetch), key) == expected

    each_user(service, seed, check)


@FEW
@given(seed=st.integers(0, 2**24 - 1))
def test_links_expands_and_lambdas(service: Service, seed: int) -> None:
    def check(world: World, user: UUID) -> None:
        accounts, contacts = world.visible(user, "account"), world.visible(user, "contact")
        unreadable = accounts is None or contacts is None
        seen = {} if contacts is None else {row["contactid"]: row for row in contacts}
        under: dict[UUID, list[str]] = {}
        for row in contacts or ():
            if row["parentcustomerid"] is not None:
                under.setdefault(row["parentcustomerid"].id, []).append(str(row["contactid"]))
        inner = None if unreadable else sorted(
            (str(row["accountid"]), contact) for row in accounts or () for contact in under.get(row["accountid"], ())
        )  # fmt: skip
        fetch = (
            "<fetch><entity name='account'><attribute name='accountid'/><link-entity name='contact' alias='c' "
            "from='parentcustomerid' to='accountid'><attribute name='contactid'/></link-entity></entity></fetch>"
        )
        assert values(ask(service, user, fetch), "accountid", "c.contactid") == inner
        with_some = None if unreadable else sorted(
            (str(row["accountid"]),) for row in accounts or () if under.get(row["accountid"])
        )  # fmt: skip
        lambdas = "accounts?$select=accountid&$filter=contact_customer_accounts/any(c: c/fullname ne null)"
        assert values(ask(service, user, lambdas), "accountid") == with_some
        path = "accounts?$select=accountid&$filter=primarycontactid/fullname ne null"
        led = None if unreadable else sorted(
            (str(row["accountid"]),) for row in accounts or () if row["primarycontactid"] and row["primarycontactid"].id in seen
        )  # fmt: skip
        assert values(ask(service, user, path), "accountid") == led
        collections = "accounts?$select=accountid&$expand=contact_customer_accounts($select=contactid)"
        client = service.client(Call(caller=service.caller(user)))
        if unreadable:
            with pytest.raises(PrivilegeDenied):
                client.retrieve_multiple(collections)
        else:
            expanded = {
                str(row.id): sorted(str(each["contactid"]) for each in row["contact_customer_accounts"])
                for row in client.retrieve_multiple(collections)
            }
            assert expanded == {
                str(row["accountid"]): sorted(under.get(row["accountid"], ())) for row in accounts or ()
            }
        rows = ask(service, user, "accounts?$select=accountid&$expand=primarycontactid($select=fullname)")
        assert (rows is None) == unreadable
        if rows is not None:
            own = next(o.index for o in rows.plan.outputs if o.key == "accountid" and not o.path)
            inner_key = next(o.index for o in rows.plan.outputs if o.path and o.source.logical == "contactid")
            expected = {
                str(row["accountid"]): str(row["primarycontactid"].id)
                if row["primarycontactid"] and row["primarycontactid"].id in seen
                else None
                for row in accounts or ()
            }
            assert {row[own]: row[inner_key] for row in rows.rows} == expected

    each_user(service, seed, check)


@FEW
@given(seed=st.integers(0, 2**24 - 1))
def test_counts_of_jobs_and_what_hangs_on_jobs(service: Service, seed: int) -> None:
    def check(world: World, user: UUID) -> None:
        jobs = world.visible(user, "asyncoperation")
        expected: dict[tuple[int, int], int] = {}
        for row in jobs or ():
            pair = (row["statecode"], row["operationtype"])
            expected[pair] = expected.get(pair, 0) + 1
        groups = "groupby((statecode,operationtype),aggregate($count as n))"
        counted = ask(service, user, f"asyncoperations?$apply={groups}")
        general = ask(service, user, f"asyncoperations?$apply=filter(name ne null)/{groups}")
        assert (counted is None, general is None) == (jobs is None, jobs is None)
        if counted is not None and general is not None:
            assert (counted.plan.counted, general.plan.counted) == (True, False)
            for rows in (counted, general):
                found = values(rows, "statecode", "operationtype", "n") or []
                assert {(state, kind): number for state, kind, number in found} == expected
        total = ask(service, user, "asyncoperations?$select=name&$top=1&$count=true")
        assert (None if total is None else total.total) == (None if jobs is None else len(jobs))
        owned = {row["asyncoperationid"] for row in jobs or ()}
        logs = [row for row in world.rows["workflowlog"] if row["asyncoperationid"].id in owned]
        found_logs = values(ask(service, user, "workflowlogs?$select=workflowlogid"), "workflowlogid")
        assert found_logs == ids(None if jobs is None else logs, "workflowlogid")

    each_user(service, seed, check)


@FEWER
@given(seed=st.integers(0, 2**24 - 1))
def test_aggregates_negations_and_what_is_nested(service: Service, seed: int) -> None:
    """Sums over links, groups along paths, lambdas that deny, counts and filters inside expands: hidden rows are not there."""

    def check(world: World, user: UUID) -> None:
        accounts, contacts = world.visible(user, "account"), world.visible(user, "contact")
        if accounts is None or contacts is None:
            for refused in (LINKED_SUM, "accounts?$apply=groupby((primarycontactid/fullname),aggregate($count as n))"):
                assert ask(service, user, refused) is None
            return
        under: dict[UUID, list[dict[str, Any]]] = {row["accountid"]: [] for row in accounts}
        for row in contacts:
            if row["parentcustomerid"] is not None and row["parentcustomerid"].id in under:
                under[row["parentcustomerid"].id].append(row)
        summed = values(ask(service, user, LINKED_SUM), "name", "n")
        assert summed == sorted((row["name"], len(found)) for row in accounts if (found := under[row["accountid"]]))
        names = {row["contactid"]: row["fullname"] for row in contacts}
        groups: dict[str | None, int] = {}
        for row in accounts:
            name = names.get(row["primarycontactid"].id) if row["primarycontactid"] else None
            groups[name] = groups.get(name, 0) + 1
        grouped = ask(service, user, "accounts?$apply=groupby((primarycontactid/fullname),aggregate($count as n))")
        assert grouped is not None
        count = next(o.index for o in grouped.plan.outputs if o.key == "n")
        assert {row[1 - count]: row[count] for row in grouped.rows} == groups
        none = "accounts?$select=accountid&$filter=not contact_customer_accounts/any(c: c/fullname ne null)"
        assert values(ask(service, user, none), "accountid") == ids(
            [row for row in accounts if not under[row["accountid"]]], "accountid"
        )
        every = "accounts?$select=accountid&$filter=contact_customer_accounts/all(c: c/fullname eq 'c1')"
        assert values(ask(service, user, every), "accountid") == ids(
            [row for row in accounts if all(one["fullname"] == "c1" for one in under[row["accountid"]])], "accountid"
        )
        nested = (
            "accounts?$select=accountid&$expand=contact_customer_accounts($select=contactid;$filter=fullname ne 'c2';"
            "$expand=parentcustomerid_account($select=name))"
        )
        client = service.client(Call(caller=service.caller(user)))
        for row in client.retrieve_multiple(nested):
            assert row.id is not None
            assert {each["contactid"] for each in row["contact_customer_accounts"]} == {
                one["contactid"] for one in under[row.id] if one["fullname"] != "c2"
            }
            assert all(
                each["parentcustomerid_account"]["accountid"] == row.id for each in row["contact_customer_accounts"]
            )
        counting = "accounts?$apply=filter(contact_customer_accounts/any(c: c/fullname ne null))/aggregate($count as n)"
        assert values(ask(service, user, counting), "n") == [(sum(1 for found in under.values() if found),)]

    each_user(service, seed, check)


@FEWER
@given(seed=st.integers(0, 2**24 - 1))
def test_what_hangs_on_jobs_and_logs(service: Service, seed: int) -> None:
    """Logs and files are as visible as their jobs, in links and expands too; files of nothing are for administrators."""

    def check(world: World, user: UUID) -> None:
        jobs = world.visible(user, "asyncoperation")
        owned = {row["asyncoperationid"] for row in jobs or ()}
        logs = {row["workflowlogid"] for row in world.rows["workflowlog"] if row["asyncoperationid"].id in owned}
        files = [row for row in world.rows["fileattachment"] if row["objectid"] and row["objectid"].id in owned | logs]
        found = values(ask(service, user, "fileattachments?$select=fileattachmentid"), "fileattachmentid")
        assert found == ids(None if jobs is None else files, "fileattachmentid")
        link = (
            "<fetch><entity name='fileattachment'><attribute name='fileattachmentid'/><link-entity name='asyncoperation' "
            "from='asyncoperationid' to='objectid'><attribute name='name'/></link-entity></entity></fetch>"
        )
        of_jobs = [row for row in files if row["objectid"].id in owned]
        assert values(ask(service, user, link), "fileattachmentid") == ids(
            None if jobs is None else of_jobs, "fileattachmentid"
        )
        path = "workflowlogs?$select=workflowlogid&$filter=asyncoperationid/name ne null"
        shown = [row for row in world.rows["workflowlog"] if row["workflowlogid"] in logs]
        assert values(ask(service, user, path), "workflowlogid") == ids(
            None if jobs is None else shown, "workflowlogid"
        )

    each_user(service, seed, check)


@FEWER
@given(seed=st.integers(0, 2**24 - 1))
def test_single_records_and_changes(service: Service, seed: int) -> None:
    """Retrieve, Update and Delete reach exactly the records that Read, Write and Delete reach by the rule."""

    def check(world: World, user: UUID) -> None:
        caller = service.caller(user)
        client = service.client(Call(caller=caller))
        with service.store.read() as reader:
            for table, name in (("account", "Account"), ("asyncoperation", "AsyncOperation")):
                definition = service.catalog.tables[table]
                for row in world.rows[table]:
                    key, owner, unit = row[KEYS[table]], row["ownerid"].id, row["owningbusinessunit"].id
                    for kind in ("Read", "Write", "Delete"):
                        reached = access.reaches(reader, service.catalog, caller, kind, definition, key)
                        assert reached == world.sees(user, f"prv{kind}{name}", owner, unit)
        row = world.rows["account"][seed % len(world.rows["account"])]
        key, owner, unit = row["accountid"], row["ownerid"].id, row["owningbusinessunit"].id
        for kind, act in (
            ("Read", lambda: client.retrieve("account", key, ["name"])),
            ("Write", lambda: client.update("account", key, {"description": "changed"})),
        ):
            if world.sees(user, f"prv{kind}Account", owner, unit):
                act()
            else:
                with pytest.raises(PrivilegeDenied):
                    act()

    each_user(service, seed, check)


@FEWER
@given(seed=st.integers(0, 2**24 - 1))
def test_acting_for_another(service: Service, seed: int) -> None:
    """Each privilege at the lower of both depths, on the records of the one acted for."""

    def check(world: World, user: UUID) -> None:
        for acted in world.user_units:
            if acted == user:
                continue
            caller = security.acting_as(service.caller(user), service.caller(acted))
            for table, key in KEYS.items():
                rows = [
                    row for row in world.rows[table]
                    if world.acting_sees(user, acted, READ[table], row["ownerid"].id, row["owningbusinessunit"].id)
                ]  # fmt: skip
                try:
                    query = parse_query(f"{SETS[table]}?$select={key}", service.catalog)
                    found = values(service.retrieve_multiple(query, Call(caller=caller)), key)
                except PrivilegeDenied:
                    found = None
                may = world.may(user, READ[table]) and world.may(acted, READ[table])
                assert found == (ids(rows, key) if may else None)

    each_user(service, seed, check)


@pytest.mark.parametrize("table", READ)
def test_a_text_depends_on_depths_alone(service: Service, table: str) -> None:
    """Users of equal depths share one SQL text, in which no id stands; the administrator's has no condition."""
    texts: dict[object, str] = {}
    for seed in range(40):
        world = organizations.build(seed)
        organizations.fill(service.store, world)
        for user in world.user_units:
            if not world.may(user, READ[table]):
                continue
            caller = service.caller(user)
            with service.store.read() as reader:
                query = parse_query(SETS[table], service.catalog)
                sql = compile(query, service.catalog, caller, reader.dialect, reader.now).sql
            assert "-7000-" not in sql
            assert texts.setdefault(caller.forms, sql) == sql
    assert len(set(texts.values())) >= 3
    administrator = service.administrator()
    with service.store.read() as reader:
        sql = compile(
            parse_query(SETS[table], service.catalog), service.catalog, administrator, reader.dialect, reader.now
        ).sql
    assert "json_each" not in sql
    assert "ANY" not in sql
    assert 'ownerid" IN' not in sql
