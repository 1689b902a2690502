"""Jobs through a real supervisor and real executor processes, on both stores."""

from __future__ import annotations

import os
import signal
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.support import worker_plugins as plugins

from adjourn import config, runtime
from adjourn.client import Client
from adjourn.jobs import explain, queue
from adjourn.metadata.customizing import Customizing
from adjourn.pipeline.call import Call
from adjourn.pipeline.customization import customize
from adjourn.service import Service
from adjourn.store.contract import Store
from adjourn.worker import process, protocol
from adjourn.worker.supervisor import Supervisor

from .conftest import Start, completed, until

MODULE = "tests.support.worker_plugins"


@pytest.mark.requirement("M15")
@pytest.mark.requirement("M44")
@pytest.mark.requirement("M45")
@pytest.mark.requirement("M185")
def test_a_job_runs_and_tells_its_result(org: Client, supervisor: Supervisor) -> None:
    done = completed(org, org.enqueue(plugins.quick.request("it")))
    assert (done["statuscode"], done["friendlymessage"], done["errorcode"]) == (30, "did it", None)
    assert done["createdon"] <= done["startedon"] <= done["completedon"]
    assert 0 <= done["executiontimespan"] < 5
    slept = completed(org, org.enqueue(plugins.sleepy_async.request(0.2)))
    assert (slept["friendlymessage"], slept["executiontimespan"] >= 0.2) == ("slept", True)


@pytest.mark.requirement("M43")
@pytest.mark.requirement("M47")
@pytest.mark.requirement("M186")
def test_a_handler_that_raises_fails_its_job_with_code_text_and_traceback(org: Client, supervisor: Supervisor) -> None:
    done = completed(org, org.enqueue(plugins.raises.request("no such luck")))
    assert (done["statuscode"], done["friendlymessage"], done["errorcode"]) == (31, "no such luck", -2147220956)
    assert "Traceback" in done["message"]
    assert "worker_plugins.py" in done["message"]


def test_arguments_are_checked_where_they_are_used_too(org: Client, store: Store, start: Start) -> None:
    """A job that was made by another version of the code, which had other parameters."""
    job = org.enqueue(plugins.sleepy.request(1))
    changed = """UPDATE asyncoperationtext SET data = '{"seconds": "long"}'"""
    store.write(lambda tx: tx.execute(changed))
    start()
    done = completed(org, job)
    assert done["statuscode"] == 31
    assert "seconds" in done["friendlymessage"]


def test_jobs_whose_data_are_too_long_together_are_sent_one_by_one(
    org: Client, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_FRAME_CHARACTERS_MAX", 10_000)
    monkeypatch.setattr(protocol, "FRAME_BYTES_MAX", 40_000)
    made = org.enqueue_many([plugins.quick.request("x" * 15_000)] * 4)
    start()
    assert [completed(org, job)["statuscode"] for job in made] == [30] * 4


def test_a_job_that_cannot_be_sent_fails_and_leaves_its_slot(
    org: Client, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "FRAME_BYTES_MAX", 100_000)
    made = org.enqueue_many([plugins.quick.request("x" * 150_000)] * 4)
    start()
    assert [completed(org, job)["statuscode"] for job in made] == [31] * 4
    assert completed(org, org.enqueue(plugins.quick.request("it")))["friendlymessage"] == "did it"


def test_a_handler_that_asks_for_too_much_is_told(org: Client, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "FRAME_BYTES_MAX", 40_000)
    for _ in range(30):
        org.create("contact", {"lastname": "x", "description": "y" * 2000})
    start()
    for _ in range(6):  # more than there are slots: none of them is lost
        done = completed(org, org.enqueue(plugins.reads_contacts.request()))
        assert done["statuscode"] == 31, done["friendlymessage"]
        assert "Ask for less" in done["friendlymessage"]


@pytest.mark.requirement("M63")
def test_a_retry_is_counted_and_ends_after_four_runs(org: Client, supervisor: Supervisor) -> None:
    done = completed(org, org.enqueue(plugins.retries.request(2)))
    assert (done["statuscode"], done["friendlymessage"], done["retrycount"]) == (30, "after 2", 2)
    failed = completed(org, org.enqueue(plugins.retries.request(9)))
    assert (failed["statuscode"], failed["retrycount"]) == (31, 3)


def test_handlers_call_the_organization_in_both_colours(org: Client, supervisor: Supervisor) -> None:
    for message in (plugins.creates, plugins.creates_async):
        done = completed(org, org.enqueue(message.request("Contoso")))
        assert (done["statuscode"], done["friendlymessage"]) == (30, "Contoso"), done["message"]


@pytest.mark.requirement("M17")
@pytest.mark.requirement("M42")
def test_a_job_s_own_writes_pass_the_pipeline_one_level_deeper(org: Client, supervisor: Supervisor) -> None:
    job = org.enqueue(plugins.creates.request("Contoso"))
    assert completed(org, job)["depth"] == 1
    (account,) = org.retrieve_multiple("accounts?$select=name")
    (first,) = org.retrieve_multiple(
        "asyncoperations?$filter=name eq 'First job'&$select=depth,correlationid,statecode"
    )
    assert first["depth"] == 2
    assert first["correlationid"] == org.retrieve("asyncoperation", job)["correlationid"]
    completed(org, first.id)
    assert org.retrieve("account", account.id, ["description"])["description"] == "seen"


@pytest.mark.requirement("M203")
def test_a_succeeded_job_of_an_auto_delete_step_is_gone_a_failed_one_stays(org: Client, supervisor: Supervisor) -> None:
    org.create("account", {"name": "works"})
    org.create("account", {"name": "fail"})
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        left = org.retrieve_multiple("asyncoperations?$filter=name eq 'Second job'&$select=statuscode,friendlymessage")
        if [job["statuscode"] for job in left] == [31]:
            break
        time.sleep(0.02)
    assert [(job["statuscode"], job["friendlymessage"]) for job in left] == [(31, "it failed on purpose")]


def test_an_executor_that_is_killed_gives_its_jobs_back_at_once(
    org: Client, supervisor: Supervisor, tmp_path: Path
) -> None:
    began = time.monotonic()
    other = org.enqueue(plugins.sleepy.request(0.5))
    until(org, other, lambda found: found["statecode"] == 2)
    killer = org.enqueue(plugins.suicidal.request(str(tmp_path / "marker")))
    assert completed(org, killer)["friendlymessage"] == "survived"
    assert completed(org, other)["statuscode"] == 30
    assert time.monotonic() - began < 10
    assert completed(org, org.enqueue(plugins.quick.request("after")))["statuscode"] == 30


def test_a_dead_executor_is_no_fault_of_the_jobs_ahead_of_its_slots(
    service: Service, org: Client, start: Start, tmp_path: Path
) -> None:
    """Nor does one of them get a process for itself afterwards, or fail with those that killed three."""
    supervisor = start(concurrency=1)
    completed(org, org.enqueue(plugins.quick.request()))
    (executor,) = supervisor.pool.executors()
    executor.seconds = 0.0  # as after a hundred short ones
    killer = plugins.suicidal.request(str(tmp_path / "marker"))
    jobs = org.enqueue_many([killer, *[plugins.quick.request()] * 3])
    assert [completed(org, job)["statuscode"] for job in jobs] == [30] * 4
    with service.store.read() as reader:
        rows = reader.rows("SELECT crashes FROM asyncoperation ORDER BY sequence")
        told = [[entry.detail for entry in explain.story(reader, job)] for job in jobs]
    assert rows == [(0,), (1,), (0,), (0,), (0,)]
    assert told[0] == ["its executor process died (killed by SIGKILL)"]
    assert told[1:] == [["the executor process that was to run it died (killed by SIGKILL)"]] * 3


def test_a_job_that_keeps_killing_its_executor_is_failed(org: Client, supervisor: Supervisor) -> None:
    done = completed(org, org.enqueue(plugins.poison.request()), seconds=40)
    assert done["statuscode"] == 31
    assert "died" in done["friendlymessage"]
    assert completed(org, org.enqueue(plugins.quick.request("after")))["statuscode"] == 30


def test_a_running_job_is_canceled_at_its_checkpoint_or_await(org: Client, supervisor: Supervisor) -> None:
    for request in (plugins.counts.request(until=1000, pause=0.05), plugins.sleepy_async.request(60)):
        job = org.enqueue(request)
        until(org, job, lambda found: found["statuscode"] == 20)
        org.update("asyncoperation", job, {"statecode": 3, "statuscode": 32})
        done = completed(org, job, seconds=10)
        assert (done["statuscode"], done["errorcode"] is not None) == (32, True)


def test_a_job_over_its_time_limit_is_failed_and_the_others_run_on(service: Service, org: Client, start: Start) -> None:
    # The job afterwards has as long, in a process that only starts.
    start(concurrency=2, job_seconds_max=2)
    stuck = org.enqueue(plugins.sleepy.request(60))
    done = completed(org, stuck, seconds=15)
    assert (done["statuscode"], "longer than" in done["friendlymessage"]) == (31, True)
    assert completed(org, org.enqueue(plugins.quick.request("after")))["statuscode"] == 30


def test_stopping_gives_jobs_back(service: Service, org: Client, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adjourn.worker.supervisor._STOP_SECONDS", 0.5)
    supervisor = start(concurrency=2)
    job = org.enqueue(plugins.sleepy.request(60))
    until(org, job, lambda found: found["statuscode"] == 20)
    supervisor.stop()
    found = org.retrieve("asyncoperation", job)
    assert (found["statecode"], found["statuscode"]) == (0, 0)


def test_a_worker_that_is_stopped_counts_for_no_death_of_its_jobs(
    org: Client, store: Store, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a job that knows no checkpoint would have failed with the third restart of its host."""
    monkeypatch.setattr("adjourn.worker.supervisor._STOP_SECONDS", 0.2)
    job = org.enqueue(plugins.sleepy.request(60))
    for times in range(1, config.CRASHES_MAX + 1):
        supervisor = start(concurrency=2)
        until(org, job, lambda found: found["statuscode"] == 20)
        supervisor.stop()
        found = org.retrieve("asyncoperation", job)
        assert (found["statecode"], found["statuscode"]) == (0, 0)
        with store.read() as reader:
            told = [entry.detail for entry in explain.story(reader, job)]
        # Where its process was still starting it says so; a death would be told otherwise, and counted.
        assert [detail in ("its worker was stopped", "its handler had not begun") for detail in told] == [True] * times


def test_an_idle_worker_stops_at_once(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its loops are woken; they do not sleep on until they would look again."""
    monkeypatch.setattr(config, "POLL_SECONDS", 20)
    supervisor = start()
    time.sleep(0.3)
    began = time.monotonic()
    supervisor.stop()
    assert time.monotonic() - began < 10


@pytest.mark.requirement("M16")
def test_never_more_jobs_run_than_their_class_may(
    service: Service, org: Client, monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    monkeypatch.setenv("ADJOURN_LIMIT_REQUESTS", "2")
    org.enqueue_many([plugins.sleepy.request(0.1)] * 10)
    start(concurrency=8)
    seen = set()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        seen.add(len(org.retrieve_multiple("asyncoperations?$filter=statecode eq 2&$select=name")))
        if not org.retrieve_multiple("asyncoperations?$filter=statecode lt 3&$select=name"):
            break
    assert max(seen) == 2


@pytest.mark.requirement("M25")
def test_jobs_without_a_token_fill_every_slot_at_the_same_time(service: Service, org: Client, store: Store) -> None:
    org.enqueue_many([plugins.sleepy.request(0.2)] * 100)
    supervisor = Supervisor(service, processes=1, concurrency=10)
    supervisor.start()
    seen = set()
    try:
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            with store.read() as reader:
                seen.add(reader.rows("SELECT count(*) FROM asyncoperation WHERE statecode = 2")[0][0])
                if reader.rows("SELECT count(*) FROM asyncoperation WHERE statecode < 3") == [(0,)]:
                    break
            time.sleep(0.005)
    finally:
        supervisor.stop()
    assert max(seen) == 10
    assert {job["statuscode"] for job in org.retrieve_multiple("asyncoperations?$select=statuscode")} == {30}


@pytest.mark.requirement("M04")
@pytest.mark.requirement("M19")
def test_one_slot_runs_jobs_in_the_order_of_the_queue(service: Service, org: Client, start: Start) -> None:
    org.enqueue_many([plugins.quick.request(str(index)) for index in range(200)])
    start(concurrency=1)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and org.retrieve_multiple(
        "asyncoperations?$filter=statecode lt 3&$select=name&$top=1"
    ):
        time.sleep(0.05)
    jobs = org.retrieve_multiple(
        "asyncoperations?$select=sequence,startedon,createdon,statuscode&$orderby=startedon,sequence"
    )
    assert [job["statuscode"] for job in jobs] == [30] * 200
    assert [job["sequence"] for job in jobs] == sorted(job["sequence"] for job in jobs)
    assert len({job["createdon"] for job in jobs}) == 1


def test_a_postponed_job_runs_at_its_moment(org: Client, supervisor: Supervisor) -> None:
    moment = runtime.now() + timedelta(seconds=0.6)
    job = org.enqueue(plugins.quick.request("later"), postpone_until=moment)
    waiting = org.retrieve("asyncoperation", job)
    assert (waiting["statecode"], waiting["statuscode"]) == (1, 10)
    assert completed(org, job)["startedon"] >= moment


def test_a_dead_supervisor_s_jobs_are_rescued(service: Service, org: Client, store: Store, start: Start) -> None:
    job = org.enqueue(plugins.quick.request("rescued"))
    nobody = str(runtime.new_id())
    store.write(lambda tx: queue.claim(tx, operation_types=[54], limit=1, worker=nobody))
    assert org.retrieve("asyncoperation", job)["statuscode"] == 20
    start(concurrency=2)
    assert completed(org, job, seconds=10)["friendlymessage"] == "did rescued"


def test_the_doctor_finds_nothing_after_all_that(
    service: Service, org: Client, supervisor: Supervisor, store: Store
) -> None:
    org.enqueue_many([plugins.quick.request("x")] * 50)
    job = org.enqueue(plugins.quick.request("last"))
    completed(org, job)
    with store.read() as reader:
        assert explain.examine(reader) == []


def test_a_stopped_executor_process_leaves_no_children(service: Service, org: Client, start: Start) -> None:
    supervisor = start(processes=2, concurrency=2)
    pids = [executor.pid for executor in supervisor.pool.executors()]
    completed(org, org.enqueue(plugins.quick.request("x")))
    supervisor.stop()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, signal.SIG_DFL)


def test_drain_runs_everything_inline(org: Client, service: Service) -> None:
    from adjourn.worker.inline import drain

    account = org.create("account", {"name": "Contoso"})
    later: Any = org.enqueue(plugins.quick.request("later"), postpone_until=runtime.now() + timedelta(days=1))
    assert drain(service) == 2
    assert org.retrieve("account", account)["description"] == "seen"
    assert org.retrieve("asyncoperation", later)["statecode"] == 1
    assert drain(service, runtime.now() + timedelta(days=2)) == 1
    assert org.retrieve("asyncoperation", later)["friendlymessage"] == "did later"


def test_a_step_on_a_table_of_a_callers_runs_with_typed_values(
    service: Service, org: Client, supervisor: Supervisor
) -> None:
    """The executor has been running since before the table was there."""
    completed(org, org.enqueue(plugins.quick.request("it")))

    def make(work: Customizing) -> None:
        columns = [
            {"schema": "new_Name", "type": "String"},
            {"schema": "new_Due", "type": "DateTime"},
            {"schema": "new_Budget", "type": "Decimal", "precision": 2},
        ]
        work.create_table({"schema": "new_Project"}, columns, "new_Name")

    customize(service.pipeline, Call(caller=service.administrator()), "make", make)
    service.register("tests.support.custom_plugins")
    values = {"new_name": "P", "new_due": datetime(2031, 5, 1, tzinfo=UTC), "new_budget": Decimal("12.50")}
    project = org.create("new_project", values)
    (row,) = org.retrieve_multiple(f"asyncoperations?$filter=_regardingobjectid_value eq {project}")
    assert row.id is not None
    done = completed(org, row.id)
    assert (done["statuscode"], done["friendlymessage"]) == (30, "datetime 2031, Decimal 12.50")
    assert done["regardingobjectid"] == ("new_project", project)
