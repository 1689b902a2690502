"""The platform's own jobs: visible schedules whose runs really do their work, read back by query. On both stores."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from adjourn import config, runtime
from adjourn.client import Client
from adjourn.metadata.model import Reference
from adjourn.operations import measuring, platform, storage
from adjourn.pipeline.call import Call
from adjourn.service import Service
from adjourn.store.contract import Store
from adjourn.worker.inline import drain
from adjourn.worker.supervisor import Supervisor

DAY = timedelta(days=1)
SYSTEM = Reference("systemuser", UUID(config.SYSTEM_USER_ID))


@pytest.fixture
def service(store: Store) -> Service:
    service = Service(store)
    platform.ensure(service)
    return service


@pytest.fixture
def org(service: Service) -> Client:
    return service.client(Call(caller=service.administrator()))


def run(org: Client, service: Service, operation_type: int) -> dict[str, Any]:
    """Have a platform job's schedule due now, and run it; the run's row."""
    schedule = platform.schedule_id(operation_type)
    org.update("asyncoperation", schedule, {"postponeuntil": None})
    drain(service)
    found = runs(org, operation_type)[-1]
    assert found["statuscode"] == 30, (found["friendlymessage"], found["message"])
    return dict(found.values)


def runs(org: Client, operation_type: int) -> list[Any]:
    return org.retrieve_multiple(
        f"asyncoperations?$filter=operationtype eq {operation_type} and recurrencepattern eq null&$orderby=sequence"
    )


def figures(org: Client, run: dict[str, Any], name: str) -> dict[str | None, int]:
    """The query of docs/operations.md: what a run measured, by subject."""
    rows = org.retrieve_multiple(
        f"measurements?$select=subject,amount&$filter=_asyncoperationid_value eq {run['asyncoperationid']} and name eq '{name}'"
    )
    return {row["subject"]: row["amount"] for row in rows}


def total(org: Client, run: dict[str, Any], name: str) -> int:
    return figures(org, run, name)[None]


@pytest.mark.requirement("M82")
def test_two_days_after_the_first_start_each_type_has_run(service: Service, org: Client) -> None:
    now = runtime.now()
    assert drain(service) == 0, "none of them runs at the start itself"
    drain(service, now + DAY)
    drain(service, now + 2 * DAY)
    for operation_type in (9, 16, 18, 19, 20, 22, 24, 25, 27, 31):
        done = runs(org, operation_type)
        assert [(job["statecode"], job["statuscode"]) for job in done] == [(3, 30)] * 2, done[-1]["message"]
        assert {job["ownerid"] for job in done} == {SYSTEM}
        assert all(job["friendlymessage"] for job in done)


@pytest.mark.requirement("M105")
def test_each_has_one_visible_schedule_with_its_pattern(service: Service, org: Client) -> None:
    assert platform.ensure(service) == 0
    for operation_type in platform.TYPES:
        (found,) = org.retrieve_multiple(
            f"asyncoperations?$filter=recurrencepattern ne null and operationtype eq {operation_type}"
        )
        assert (found["recurrencepattern"], found["statecode"], found["statuscode"]) == ("FREQ=DAILY;", 1, 10)
        assert found["ownerid"] == SYSTEM
        assert found["postponeuntil"] - runtime.now() < timedelta(hours=2)


@pytest.mark.requirement("M86")
def test_a_deleted_one_comes_back_at_the_next_start_and_a_changed_one_stays_changed(
    service: Service, org: Client
) -> None:
    gone, changed = platform.schedule_id(24), platform.schedule_id(18)
    org.delete("asyncoperation", gone)
    org.update("asyncoperation", changed, {"recurrencepattern": "FREQ=WEEKLY;BYDAY=SU;BYHOUR=3"})
    assert platform.ensure(service) == 1
    assert org.retrieve("asyncoperation", gone)["recurrencepattern"] == "FREQ=DAILY;"
    assert org.retrieve("asyncoperation", changed)["recurrencepattern"] == "FREQ=WEEKLY;BYDAY=SU;BYHOUR=3"


def test_several_hosts_that_start_at_once_make_one_of_each(store: Store) -> None:
    service = Service(store)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: platform.ensure(service), range(4)))
    org = service.client(Call(caller=service.administrator()))
    assert sum(made) >= len(platform.TYPES)
    assert len(org.retrieve_multiple("asyncoperations?$filter=recurrencepattern ne null")) == len(platform.TYPES)


@pytest.mark.requirement("M87")
def test_usage_counts_requests_jobs_and_rows_and_keeps_them(service: Service, org: Client) -> None:
    for number in range(3):
        org.create("account", {"name": f"account {number}"})
    found = run(org, service, 9)
    requests = figures(org, found, "requests")
    assert requests["Create"] == 3
    assert figures(org, found, "rows")["account"] == 3
    jobs = figures(org, found, "jobs")
    assert jobs["SQM Data Collection"] == 2, "the schedule and its run"
    assert jobs["Update Contract States"] == 1
    assert "nothing is sent anywhere" in found["friendlymessage"]


@pytest.mark.requirement("M88")
def test_organization_statistics_are_the_counts_of_the_tables(service: Service, org: Client) -> None:
    org.create("account", {"name": "Contoso"})
    counts = figures(org, run(org, service, 16), "rows")
    assert counts["account"] == 1
    assert set(counts) == set(service.catalog.tables)
    for table in service.catalog.tables.values():
        if "RetrieveMultiple" in table.messages and table.logical != measuring.TABLE:
            count = f'<attribute name="{table.primary_id}" aggregate="count" alias="n"/>'
            query = f'<fetch aggregate="true"><entity name="{table.logical}">{count}</entity></fetch>'
            assert org.retrieve_multiple(query)[0]["n"] == counts[table.logical], table.logical


@pytest.mark.requirement("M89")
@pytest.mark.requirement("M91")
def test_storage_is_what_the_disk_holds_and_the_tables_add_up_to_it(
    service: Service, org: Client, store: Store, database_url: str
) -> None:
    org.create("account", {"name": "Contoso"})
    for _ in range(2):
        size = total(org, run(org, service, 18), "bytes")
        if store.dialect == "sqlite":
            path = database_url.removeprefix("sqlite:///")
            held = sum(os.path.getsize(path + suffix) for suffix in ("", "-wal") if os.path.exists(path + suffix))
        else:
            with store.read() as reader:
                held = reader.rows("SELECT pg_database_size(current_database())")[0][0]
        assert abs(size - held) <= held // 100 + 65_536, "the row itself and the log it made"
    tables = figures(org, run(org, service, 20), "bytes")
    assert abs(sum(tables.values()) - size) <= size // 100 + 400_000
    assert min(tables.values()) >= 0
    assert {"account", "asyncoperation"} <= set(tables)


@pytest.mark.requirement("M90")
def test_database_statistics_are_the_store_s_own_views(service: Service, org: Client, store: Store) -> None:
    found = run(org, service, 19)
    indexes = figures(org, found, "index bytes")
    with store.read() as reader:
        if store.dialect == "sqlite":
            assert (
                total(org, found, "free pages") == reader.rows("SELECT freelist_count FROM pragma_freelist_count")[0][0]
            )
            pages = reader.rows("SELECT page_count FROM pragma_page_count")[0][0]
            own = dict(reader.rows("SELECT name, pgsize FROM dbstat WHERE aggregate = TRUE"))
        else:
            assert total(org, found, "dead rows") >= 0
            pages = reader.rows(
                "SELECT sum(pg_relation_size(oid)) / current_setting('block_size')::bigint FROM pg_class "
                "WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'i')"
            )[0][0]
            own = dict(reader.rows("SELECT indexrelname, pg_relation_size(indexrelid) FROM pg_stat_user_indexes"))
    assert abs(total(org, found, "pages") - int(pages)) <= 60, "the figures themselves are new rows"
    assert "job_ready" in indexes
    unchanged = [name for name in indexes if name.startswith(("step_", "role", "team"))]
    assert unchanged
    for name in unchanged:
        assert indexes[name] == own[name]


@pytest.mark.requirement("M92")
def test_the_maximum_is_the_limit_or_the_free_disk_whichever_is_less(
    service: Service, org: Client, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(storage.LIMIT_VARIABLE, "5")
    assert total(org, run(org, service, 22), "maximum bytes") == 5 * 1024 * 1024
    monkeypatch.setenv(storage.LIMIT_VARIABLE, str(2**40))
    found = run(org, service, 22)
    if store.dialect == "postgres":
        # Its disk is the server's: no client sees how full it is.
        assert total(org, found, "maximum bytes") == 2**60
        monkeypatch.delenv(storage.LIMIT_VARIABLE)
        found = run(org, service, 22)
        assert figures(org, found, "maximum bytes") == {}
        assert "There is no limit" in found["friendlymessage"]
        return
    free = store.space().free
    assert free is not None
    assert abs(total(org, found, "maximum bytes") - free) < free // 10
    monkeypatch.delenv(storage.LIMIT_VARIABLE)
    assert abs(total(org, run(org, service, 22), "maximum bytes") - free) < free // 10


def test_a_limit_that_is_none_fails_the_job_by_name(
    service: Service, org: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(storage.LIMIT_VARIABLE, "much")
    org.update("asyncoperation", platform.schedule_id(22), {"postponeuntil": None})
    drain(service)
    (found,) = runs(org, 22)
    assert found["statuscode"] == 31
    assert storage.LIMIT_VARIABLE in found["friendlymessage"]


@pytest.mark.requirement("M93")
def test_the_planner_s_statistics_are_newer_afterwards(service: Service, org: Client, store: Store) -> None:
    org.create("account", {"name": "Contoso"})

    def newest() -> Any:
        with store.read() as reader:
            if store.dialect == "postgres":
                return reader.rows("SELECT last_analyze FROM pg_stat_user_tables WHERE relname = 'account'")[0][0]
            there = reader.rows("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_stat1'")
            return reader.rows("SELECT tbl, idx, stat FROM sqlite_stat1 ORDER BY 1, 2") if there else []

    before = newest()
    run(org, service, 24)
    middle = newest()
    assert middle != before
    for number in range(20):
        org.create("account", {"name": f"account {number}"})
    run(org, service, 24)
    assert newest() != middle


@pytest.mark.requirement("M95")
def test_a_contract_expires_by_its_date(service: Service, org: Client) -> None:
    now = runtime.now()
    account = org.create("account", {"name": "Contoso"})

    def contract(state: int, status: int, **dates: Any) -> UUID:
        values = {"title": "Service", "customerid": ("account", account), **dates}
        made = org.create("contract", values)
        org.update("contract", made, {"statecode": state, "statuscode": status})
        return made

    past, future = now - DAY, now + DAY
    ended = contract(2, 3, expireson=past)
    running = contract(2, 3, expireson=future)
    begun = contract(1, 2, activeon=past, expireson=future)
    over = contract(1, 2, activeon=past, expireson=past)
    draft = contract(0, 1, activeon=past, expireson=past)
    held = contract(3, 4, expireson=past)
    found = run(org, service, 27)
    stands = [org.retrieve("contract", each)["statecode"] for each in (ended, running, begun, over, draft, held)]
    assert stands == [5, 2, 2, 5, 0, 3]
    assert figures(org, found, "contracts") == {"activated": 2, "expired": 2, "refused": 0}
    assert org.retrieve("contract", ended)["statuscode"] == 6
    assert figures(org, run(org, service, 27), "contracts") == {"activated": 0, "expired": 0, "refused": 0}


@pytest.mark.requirement("M96")
def test_over_its_limit_the_administrator_finds_a_task(
    service: Service, org: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def warnings(state: int) -> list[Any]:
        subject = storage.WARNING_SUBJECT.replace("'", "''")
        return org.retrieve_multiple(f"tasks?$filter=subject eq '{subject}' and statecode eq {state}")

    monkeypatch.setattr(storage, "_MIB", 1024)
    monkeypatch.setenv(storage.LIMIT_VARIABLE, "1")
    found = run(org, service, 31)
    assert total(org, found, "over the limit") == 1
    (task,) = warnings(0)
    assert task["ownerid"] == Reference("systemuser", UUID(config.ADMIN_USER_ID))
    assert task["prioritycode"] == 2
    assert storage.LIMIT_VARIABLE in task["description"]
    run(org, service, 31)
    assert len(warnings(0)) == 1, "one warning, not one a day"
    monkeypatch.delenv(storage.LIMIT_VARIABLE)
    found = run(org, service, 31)
    assert (total(org, found, "over the limit"), warnings(0), len(warnings(1))) == (0, [], 1)


def test_figures_are_kept_for_three_months(service: Service, org: Client, store: Store) -> None:
    first = run(org, service, 18)
    old = (runtime.now() - timedelta(days=measuring.KEPT_DAYS + 1)).isoformat().replace("+00:00", "Z")
    store.write(lambda tx: tx.execute("UPDATE measurement SET createdon = :old", {"old": old}))
    second = run(org, service, 18)
    assert figures(org, first, "bytes") == {}
    assert len(figures(org, second, "bytes")) == 4


def test_a_worker_runs_them_on_threads_of_its_own_at_their_moment(service: Service, org: Client) -> None:
    """No executor process is needed, and nobody waits for the next poll."""
    supervisor = Supervisor(service, processes=0)
    supervisor.start()
    try:
        late = []
        for _ in range(3):
            moment = runtime.now() + timedelta(seconds=0.4)
            org.update("asyncoperation", platform.schedule_id(18), {"postponeuntil": moment})
            deadline = time.monotonic() + 20
            done = len(late) + 1
            while [job["statuscode"] for job in runs(org, 18)] != [30] * done:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            late.append((runs(org, 18)[-1]["startedon"] - moment).total_seconds())
    finally:
        supervisor.stop()
    assert 0 <= min(late) < 0.2, late
