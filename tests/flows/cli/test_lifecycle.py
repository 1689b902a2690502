"""Each cell of docs/lifecycle.md by `adjourn jobs …` and by Python. On both stores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from click.testing import CliRunner
from tests.support import lifecycle
from tests.support.lifecycle import CELLS, MOMENT, standing_in

import adjourn
from adjourn.cli import adjourn as command
from adjourn.errors import InvalidStateChange
from adjourn.jobs.states import Action, Result, Status
from adjourn.organization import Organization
from adjourn.store.contract import Store


@pytest.fixture
def org(database_url: str) -> Iterator[Organization]:
    with adjourn.Organization(database_url) as found:
        yield found


@pytest.fixture
def store(org: Organization) -> Store:
    return org.service.store


@pytest.mark.requirement("M188")
@pytest.mark.parametrize("action", Action, ids=str)
def test_each_action_by_the_command_line(database_url: str, store: Store, action: Action) -> None:
    for _, status, kind in [cell for cell in CELLS if cell[0] is action]:
        job = standing_in(store, status, kind)
        before = lifecycle.row(store, job)
        more = [MOMENT] if action is Action.POSTPONE else []
        answer = CliRunner().invoke(command, ["jobs", action, str(job), *more, "--database", database_url])
        wanted = lifecycle.expected(action, status, kind)
        if wanted.code is not None:
            assert isinstance(answer.exception, InvalidStateChange), (status, answer.output)
            assert answer.exception.code == wanted.code
            assert lifecycle.row(store, job) == before
        else:
            assert answer.exit_code == 0, (status, answer.output)
            assert answer.output.count("\n") == 1, "one sentence on how the job stands now"
            assert_done(store, job, before, wanted)


@pytest.mark.requirement("M188")
@pytest.mark.parametrize("action", Action, ids=str)
def test_each_action_in_python(org: Organization, store: Store, action: Action) -> None:
    for _, status, kind in [cell for cell in CELLS if cell[0] is action]:
        job = standing_in(store, status, kind)
        before = lifecycle.row(store, job)
        wanted = lifecycle.expected(action, status, kind)
        if wanted.code is not None:
            with pytest.raises(adjourn.InvalidStateChange) as refused:
                act(org, action, job)
            assert refused.value.code == wanted.code
            assert lifecycle.row(store, job) == before
        else:
            act(org, action, job)
            assert_done(store, job, before, wanted)


def test_a_state_or_status_alone_stands_for_its_pair_and_no_other_is_taken(org: Organization, store: Store) -> None:
    for change in ({"statecode": 3}, {"statuscode": 32}):
        job = standing_in(store, Status.WAITING_FOR_RESOURCES)
        org.update("asyncoperation", str(job), change)
        assert lifecycle.row(store, job)[1] == Status.CANCELED  # type: ignore[index]
    job = standing_in(store, Status.WAITING_FOR_RESOURCES)
    for change, said in (
        ({"statuscode": 20}, "set status 20 on"),
        ({"statecode": 2}, "set state 2 on"),
        ({"statecode": 3, "statuscode": 30}, "set state 3 with status 30 on"),
    ):
        with pytest.raises(
            adjourn.InvalidRequest, match=f"A caller cannot {said} a system job. Accepted: 3/32 cancels"
        ):
            org.update("asyncoperation", str(job), change)


def act(org: Organization, action: Action, job: object) -> None:
    if action is Action.DELETE:
        org.delete("asyncoperation", str(job))
    else:
        org.update("asyncoperation", str(job), lifecycle.CHANGES[action])


def assert_done(store: Store, job: object, before: object, wanted: Result) -> None:
    after = lifecycle.row(store, job)  # type: ignore[arg-type]
    if wanted.gone:
        assert after is None
    elif wanted.status is None:
        assert after == before
    else:
        assert after is not None
        assert after[1] == wanted.status


def test_a_job_s_history_is_shown(
    database_url: str, org: Organization, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    job = str(standing_in(store, Status.WAITING_FOR_RESOURCES))
    org.update("asyncoperation", job, lifecycle.CHANGES[Action.POSTPONE])
    org.update("asyncoperation", job, lifecycle.CHANGES[Action.CANCEL])
    told = CliRunner().invoke(command, ["jobs", "history", job, "--database", database_url]).output
    first, second = told.splitlines()[2:4]
    assert "postpone" in first
    assert "0/0 -> 1/10" in first
    assert "System Admin" in first
    assert "cancel" in second
    assert "1/10 -> 3/32" in second
    shown = CliRunner().invoke(command, ["jobs", "show", job, "--database", database_url]).output
    assert shown.count("System Administrator") >= 2
    assert "history " in shown
    found = {line.partition(" ")[0]: line[28:] for line in shown.splitlines()}
    assert (found["statecode"], found["statuscode"]) == ("3 Completed", "32 Canceled")
    assert found["errorcode"] == "-2147204751 (0x80044171)"
    assert found["retainjobhistory"] == "False"


def test_a_history_is_wrapped_where_the_terminal_is_narrow_and_a_plain_run_has_none(
    database_url: str, org: Organization, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = str(standing_in(store, Status.WAITING_FOR_RESOURCES))
    none = CliRunner().invoke(command, ["jobs", "history", job, "--database", database_url]).output
    assert none.startswith("Nobody and nothing has touched it")
    org.update("asyncoperation", job, lifecycle.CHANGES[Action.POSTPONE])
    monkeypatch.setenv("COLUMNS", "80")
    lines = CliRunner().invoke(command, ["jobs", "history", job, "--database", database_url]).output.splitlines()
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    words = " ".join(lines[2:-1]).split()
    assert {"System", "Administrator", "UTC"} <= set(words), "no word of them is lost"
    assert lines[-1] == "1 row"


def test_a_list_says_that_there_are_older_ones(database_url: str, org: Organization, store: Store) -> None:
    for _ in range(2):
        standing_in(store, Status.WAITING_FOR_RESOURCES)
    told = [
        CliRunner().invoke(command, ["jobs", "list", *limit, "--database", database_url]).output.splitlines()[-1]
        for limit in (["--limit", "1"], ["--limit", "5000"])
    ]
    assert told[0].startswith("1 row;")
    assert told[0].endswith("; --limit shows older ones")
    assert "--limit" not in told[1]
