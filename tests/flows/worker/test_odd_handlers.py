"""Whatever a handler does, its job ends with a text that helps, and the jobs beside it end as ever. On both stores."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.support import odd_plugins as odd

import adjourn
from adjourn.pipeline.call import Call
from adjourn.service import Service
from adjourn.store.contract import Store
from adjourn.worker.supervisor import Supervisor

DIED = "executor process died in each of 3 runs"
EXPECTED = {
    odd.returns_a_lock: (30, "<unlocked _thread.lock object"),
    odd.returns_a_ring: (31, "maximum recursion depth"),
    odd.returns_half_a_pair: (30, "a?b\N{REPLACEMENT CHARACTER}c"),
    odd.raises_half_a_pair: (31, "a?b\N{REPLACEMENT CHARACTER}c"),
    odd.raises_what_cannot_be_told: (31, "Silent (its text cannot be had: RuntimeError)"),
    odd.raises_no_exception: (31, "odd"),
    odd.raises_cancellation: (32, "canceled"),
    odd.leaves: (31, "3"),
    odd.forks: (30, "parent"),
    odd.closes_everything: (31, DIED),
    odd.stops_the_loop: (31, DIED),
    odd.succeeds_with_a_number: (31, "Succeeded(message=5) is no outcome"),
    odd.retries_in_the_past: (31, "delay_seconds=-1"),
    odd.retries_never: (31, "delay_seconds=nan"),
    odd.retries_after_a_timedelta: (
        31,
        "takes a text and a number of seconds, found 'later', datetime.timedelta(seconds=5).",
    ),
    odd.postpones_without_a_zone: (31, "a datetime with a time zone, found datetime.datetime(2030, 1, 1, 0, 0)."),
    odd.postpones_to_a_text: (31, "a datetime with a time zone, found 'tomorrow'."),
    odd.checkpoints_a_number: (31, "A cursor is a text (str), found 5 (int)."),
    odd.goes_on_from_a_number: (31, "A cursor is a text (str), found 5 (int)"),
    odd.overdoes_progress: (31, "from 0 to 100, found 1000"),
}


def test_odd_handlers_end_their_jobs_and_no_others(store: Store) -> None:
    service = Service(store)
    service.register("tests.support.odd_plugins")
    service.register("tests.support.worker_plugins")
    org = service.client(Call(caller=service.administrator()))
    supervisor = Supervisor(service, processes=1, concurrency=8)
    supervisor.start()
    try:
        jobs = {org.enqueue(message.request()): wanted for message, wanted in EXPECTED.items()}
        beside = org.enqueue_many([adjourn.Request("quick", {"text": "it"})] * 20)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and org.retrieve_multiple("asyncoperations?$filter=statecode ne 3"):
            time.sleep(0.05)
        found = {job.id: job for job in org.retrieve_multiple("asyncoperations?$select=statuscode,friendlymessage")}
    finally:
        supervisor.stop()
    for job, (status, text) in jobs.items():
        assert found[job]["statuscode"] == status, found[job].values
        assert text in found[job]["friendlymessage"]
    assert {found[job]["statuscode"] for job in beside} == {30}


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (odd.raises_no_exception, "odd"),
        (odd.leaves, "3"),
        (odd.raises_cancellation, "CancelledError"),
        (odd.raises_what_cannot_be_told, "cannot be had"),
    ],
)
def test_what_a_message_raises_reaches_its_caller_as_a_documented_error(store: Store, message: Any, text: str) -> None:
    service = Service(store)
    service.register("tests.support.odd_plugins")
    org = service.client(Call(caller=service.administrator()))
    with pytest.raises(adjourn.StepFailed, match=text) as caught:
        org.execute(message.request())
    assert caught.value.status == 400


def test_a_message_that_asks_for_its_job_can_be_executed_at_once(store: Store) -> None:
    service = Service(store)
    service.register("tests.support.odd_plugins")
    org = service.client(Call(caller=service.administrator()))
    assert org.execute(odd.overdoes_progress.request()) is None
