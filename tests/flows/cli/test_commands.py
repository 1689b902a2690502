"""The commands, run in this process: what they print, and how they refuse."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import adjourn
from adjourn.cli import adjourn as command
from adjourn.cli.table import print_table
from adjourn.errors import InvalidRequest
from adjourn.pipeline.call import Request


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "120"}).invoke(command, arguments)


@pytest.fixture
def database(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/jobs.db"
    with adjourn.Organization(url) as org:
        org.create("account", {"name": "Contoso"})
    return url


@pytest.mark.parametrize(
    "arguments", [("jobs", "list"), ("doctor",), ("query", "accounts")], ids=["jobs", "doctor", "query"]
)
def test_a_misspelt_path_makes_no_database(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    missing = tmp_path / "no" / "jobs.db"
    result = run(*arguments, "--database", f"sqlite:///{missing}")
    assert result.exit_code != 0
    assert isinstance(result.exception, InvalidRequest)
    assert f"There is no database {missing}" in str(result.exception)
    assert not missing.parent.exists()


def test_a_question_is_answered_as_a_table_and_as_json(database: str) -> None:
    table = run("query", "accounts?$select=name", "--database", database)
    assert table.exit_code == 0
    assert "Contoso" in table.output
    lines = run("query", "accounts?$select=name", "--json", "--database", database)
    assert '"name":"Contoso"' in lines.output


@pytest.mark.parametrize("columns", ["40", "80", "120"])
def test_the_ids_of_a_table_are_whole_however_narrow_the_terminal(database: str, columns: str) -> None:
    """They are there to be copied into the next command."""
    with adjourn.Organization(database) as org:
        account = org.retrieve_multiple("accounts?$select=name")[0].id
        org.update("account", account, {"name": "A name that is much longer than the terminal is wide, " * 2})
    asked = ("query", "accounts?$select=name,description,createdon", "--database", database)
    assert str(account) in CliRunner(env={"COLUMNS": columns}).invoke(command, asked).output


@pytest.mark.parametrize("columns", ["80", "120"])
def test_a_listed_job_can_be_explained(database: str, columns: str) -> None:
    with adjourn.Organization(database) as org:
        org.enqueue(Request("WhoAmI"))
    listed = CliRunner(env={"COLUMNS": columns}).invoke(command, ("jobs", "list", "--database", database)).output
    job = listed.splitlines()[2].split()[0]
    assert run("jobs", "why", job, "--database", database).exit_code == 0, listed


@pytest.mark.parametrize(
    ("columns", "missing"), [("80", "completed, started, type"), ("100", "completed, started"), ("120", None)]
)
def test_a_narrow_list_of_jobs_leaves_out_columns_rather_than_half_of_a_status(
    database: str, columns: str, missing: str | None
) -> None:
    until = datetime(2031, 1, 2, 3, 4, 5, tzinfo=UTC)
    with adjourn.Organization(database) as org:
        org.enqueue(Request("WhoAmI"), postpone_until=until)
    listed = CliRunner(env={"COLUMNS": columns}).invoke(command, ("jobs", "list", "--database", database)).output
    lines = listed.splitlines()
    assert all(len(line) <= int(columns) for line in lines), listed
    assert "Waiting" in lines[2].split(), "a status is never cut"
    assert lines[-1] == ("1 row" if missing is None else f"1 row; a wider terminal shows {missing} too")
    assert "created" in lines[0]


@pytest.mark.parametrize(
    "until", ["2030-01-01T06:00:00Z", "2030-01-01 06:00:00", "2030-01-01 06:00", "2030-01-01T07:00+01:00"]
)
def test_a_job_is_postponed_to_a_moment_as_one_writes_it_or_as_it_was_printed(database: str, until: str) -> None:
    with adjourn.Organization(database) as org:
        job = org.enqueue(Request("WhoAmI"))
    result = run("jobs", "postpone", str(job), until, "--database", database)
    assert result.exit_code == 0, result.output
    assert "postponed until 2030-01-01 06:00:00" in result.output, result.output


def test_what_is_no_moment_is_refused_with_an_example(database: str) -> None:
    with adjourn.Organization(database) as org:
        job = org.enqueue(Request("WhoAmI"))
    result = run("jobs", "postpone", str(job), "tomorrow", "--database", database)
    assert result.exit_code == 2
    assert "'UNTIL' must be a moment such as 2030-01-31T13:45:00Z" in result.output


def test_a_module_that_python_does_not_find_is_refused_with_advice(database: str) -> None:
    result = run("register", "nowhere.to.be_found", "--database", database)
    assert "PYTHONPATH=. adds the current folder" in str(result.exception)


def test_doctor_finds_nothing_wrong(database: str) -> None:
    result = run("doctor", "--database", database)
    assert (result.exit_code, result.output) == (0, "Counts, dependency tokens, leases and files are consistent.\n")


def test_a_token_is_made_listed_and_revoked(database: str) -> None:
    made = run(
        "token", "create", "--user", "System Administrator", "--name", "ci", "--expires", "3", "--database", database
    )
    assert made.exit_code == 0, made.output
    secret = made.stdout.strip()
    assert len(secret) >= 43
    listed = run("token", "list", "--database", database).output
    assert secret not in listed
    assert "System Administrator" in listed
    token_id = next(word for word in listed.split() if word.count("-") == 4)
    assert run("token", "revoke", token_id, "--database", database).exit_code == 0
    assert "0 rows" in run("token", "list", "--database", database).output
    again = run("token", "revoke", token_id, "--database", database)
    assert "There is no token" in str(again.exception)


@pytest.mark.parametrize(
    ("user", "said"),
    [("adminstrator", "Did you mean 'administrator'"), ("Twin", "fits several users"), ("", "No systemuser")],
)
def test_a_token_for_nobody_in_particular_is_refused(database: str, user: str, said: str) -> None:
    with adjourn.Organization(database) as org:
        unit = org.retrieve_multiple("businessunits")[0].id
        for number in (1, 2):
            name = {"lastname": "Twin", "domainname": f"twin{number}"}
            org.create("systemuser", {**name, "businessunitid": ("businessunit", unit)})
    result = run("token", "create", "--user", user, "--database", database)
    assert said in str(result.exception)


@pytest.mark.parametrize("group", [(), ("jobs",), ("token",)], ids=["adjourn", "jobs", "token"])
def test_no_command_is_described_by_half_a_sentence(group: tuple[str, ...]) -> None:
    assert "..." not in run(*group, "--help").output.split("Commands:")[1]


@pytest.mark.parametrize("columns", ["80", "120"])
def test_a_history_tells_the_whole_why(database: str, columns: str) -> None:
    """It is what was asked for; the id in it is there to be copied."""
    with adjourn.Organization(database) as org:
        first = org.enqueue(Request("WhoAmI"), dependency_token="t")
        second = org.enqueue(Request("WhoAmI"), dependency_token="t")
        org.drain()
    asked = ("jobs", "history", str(second), "--database", database)
    told = CliRunner(env={"COLUMNS": columns}).invoke(command, asked).output
    lines = told.splitlines()
    assert "…" not in told
    assert str(first) in told
    assert "1/10 -> 0/0" in lines[2]
    why = lines[0].index("why")
    assert " ".join(line[why:].strip() for line in lines[2:-1]) == f"job {first} before it has ended"
    assert lines[-1] == "1 row"


def test_a_wrapped_table_fits_where_its_words_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    rows = [["retry", "the server was away for quite a while, again"], ["pause", None]]
    print_table(["event", "why"], rows, whole=("event",), wrapped=("why",))
    assert capsys.readouterr().out.splitlines() == [
        "event  why",
        "─────  ─────────────────────────────────",
        "retry  the server was away for quite a",
        "       while, again",
        "pause",
        "2 rows",
    ]


def test_what_is_no_job_id_is_told_what_one_looks_like() -> None:
    refused = run("jobs", "why", "123")
    assert "'123' is no job id: a guid such as 0190a3c2-7c1e-7b30-9d2a-5f6e7d8c9b0a" in " ".join(refused.output.split())
