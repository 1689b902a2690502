"""Jobs on their way into the queue."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from adjourn import config, runtime
from adjourn.errors import Duplicate, TooLarge
from adjourn.jobs import queue
from adjourn.metadata.model import Reference

FILES = "SELECT fileattachmentid, objectid, objectidtypecode, regardingfieldname, filesizeinbytes, iscommitted FROM fileattachment"


@pytest.mark.requirement("M180")
def test_a_new_job_is_ready(jobs: Any) -> None:
    (job,) = jobs.add()
    row = jobs.row(job)
    assert (row["statecode"], row["statuscode"], row["waitreason"], row["postponeuntil"]) == (0, 0, None, None)
    assert (row["startedon"], row["completedon"], row["lease"], row["blocked"]) == (None, None, None, False)


@pytest.mark.requirement("M64")
def test_sequence_rises_with_submission_and_is_never_given_again(jobs: Any) -> None:
    first = jobs.add(5)
    last = jobs.add(2)[1]
    sequences = [jobs.row(job)["sequence"] for job in [*first, last]]
    assert sequences == sorted(set(sequences))
    jobs.delete(last)
    assert jobs.row(jobs.add()[0])["sequence"] > sequences[-1]


def test_a_batch_keeps_its_order_also_with_tokens_and_files_in_it(jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "DATA_INLINE_BYTES_MAX", 10)
    batch = [
        jobs.new(0), jobs.new(1, dependency_token="t"), jobs.new(2, data="x" * 11), jobs.new(3, data="y"),
        jobs.new(4, dependency_token="t", data="z" * 11), jobs.new(5),
    ]  # fmt: skip
    jobs.unit(lambda tx: queue.insert(tx, batch))
    assert jobs.rows("SELECT name FROM asyncoperation ORDER BY sequence") == [(f"job {n}",) for n in range(6)]


def test_a_job_postponed_from_the_start_waits(jobs: Any) -> None:
    (later,) = jobs.add(postpone_until=jobs.now + timedelta(hours=1))
    (past,) = jobs.add(postpone_until=jobs.now - timedelta(hours=1))
    assert jobs.stands(later, past) == [(1, 10), (0, 0)]
    assert jobs.row(later)["postponeuntil"] == "2030-01-01T13:00:00.000000Z"
    assert jobs.row(past)["postponeuntil"] is None


def test_a_schedule_waits_and_never_runs_itself(jobs: Any) -> None:
    (schedule,) = jobs.add(recurrence_pattern="FREQ=DAILY;", postpone_until=jobs.now + timedelta(seconds=1))
    jobs.tick(10)
    assert jobs.due() == (0, None)
    assert jobs.stands(schedule) == [(1, 10)]
    assert jobs.claim() == []


def test_an_owner_is_in_the_column_of_his_kind(jobs: Any) -> None:
    team = Reference("team", UUID(int=5))
    (of_user,) = jobs.add()
    (of_team,) = jobs.add(owner=team)
    assert [jobs.row(of_user)[name] for name in ("ownerid", "owninguser", "owningteam")] == [
        config.ADMIN_USER_ID,
        config.ADMIN_USER_ID,
        None,
    ]
    assert [jobs.row(of_team)[name] for name in ("ownerid", "owninguser", "owningteam")] == [
        str(team.id),
        None,
        str(team.id),
    ]
    assert jobs.claim(1, after=jobs.row(of_user)["sequence"])[0].owner == team


def test_an_id_is_taken_once(jobs: Any) -> None:
    job = jobs.new()
    jobs.unit(lambda tx: queue.insert(tx, [job]))
    with pytest.raises(Duplicate):
        jobs.unit(lambda tx: queue.insert(tx, [jobs.new(), job]))
    assert jobs.rows("SELECT count(*) FROM asyncoperation") == [(1,)]


@pytest.mark.requirement("M152")
@pytest.mark.requirement("M153")
@pytest.mark.parametrize("character", ["x", "€"], ids=["one byte", "three bytes"])
def test_data_over_four_megabytes_lies_in_a_file(jobs: Any, character: str) -> None:
    """The limit counts bytes of UTF-8, and is itself still inside."""
    size = len(character.encode())
    fits = character * (config.DATA_INLINE_BYTES_MAX // size) + "x" * (config.DATA_INLINE_BYTES_MAX % size)
    assert len(fits.encode()) == 4_194_304
    (inside,) = jobs.add(data=fits)
    (outside,) = jobs.add(data=fits + "x")
    assert jobs.row(inside)["datablobid"] is None
    blob = jobs.row(outside)["datablobid"]
    assert jobs.rows(FILES) == [(blob, str(outside), "asyncoperation", "data", 4_194_305, True)]
    with jobs.store.read() as reader:
        assert reader.read_file(UUID(blob)) == (fits + "x").encode()
    held, filed = jobs.claim()
    assert (held.data == fits, held.data_file) == (True, None)
    assert (filed.data, str(filed.data_file)) == (None, blob)


def test_a_file_does_not_outlive_a_unit_that_failed(jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "DATA_INLINE_BYTES_MAX", 10)

    def fails(tx: Any) -> None:
        queue.insert(tx, [jobs.new(data="x" * 11)])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        jobs.unit(fails)
    assert jobs.rows(FILES) == []
    assert jobs.rows("SELECT count(*) FROM asyncoperation") == [(0,)]


def test_data_that_no_file_may_hold_is_refused(jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "DATA_INLINE_BYTES_MAX", 10)
    monkeypatch.setattr(config, "DATA_BYTES_MAX", 20)
    jobs.add(data="x" * 20)
    with pytest.raises(TooLarge, match="'job 0' is 21 bytes; a file holds at most 20"):
        jobs.add(data="x" * 21)


def test_history_comes_in_as_it_was_and_is_counted(jobs: Any) -> None:
    moment = "2029-05-05T00:00:00.000000Z"
    rows = [
        {
            "asyncoperationid": str(runtime.new_id()), "operationtype": kind, "name": f"old {kind}", "ownerid": config.ADMIN_USER_ID,
            "statecode": state, "statuscode": status, "createdon": moment, "modifiedon": moment,
            "completedon": moment if state == 3 else None, "lease": "l" if state == 2 else None,
        }
        for kind in (1, 10)
        for state, status in [(0, 0), (1, 10), (2, 20), (2, 21), (2, 22), (3, 30), (3, 31), (3, 32)]
    ]  # fmt: skip
    texts = [{"id": rows[0]["asyncoperationid"], "data": "{}", "message": "long"}]
    jobs.unit(lambda tx: queue.load_history(tx, rows, texts))
    assert jobs.rows("SELECT sum(n) FROM jobcount") == [(16,)]
    assert jobs.rows("SELECT DISTINCT imported FROM asyncoperation") == [(True,)]
    assert jobs.rows("SELECT data, message FROM asyncoperationtext") == [("{}", "long")]
