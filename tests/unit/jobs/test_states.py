"""Every action in every state: the table of docs/lifecycle.md, cell by cell."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tools import lifecycle

from adjourn.errors import InvalidStateChange
from adjourn.jobs.states import STATE_OF, TRANSITIONS, Action, Result, State, Status, transition

LIFECYCLE = (Path(__file__).resolve().parents[3] / "docs" / "lifecycle.md").read_text()
NO, TO_COMPLETED, TO_READY, TO_SUSPENDED = None, 0x80044165, 0x80044166, 0x80044167
# statuscode before: (Cancel, Resume, Pause, Postpone); a small number is the new status, NO is 204 and unchanged
EXPECTED: dict[int, tuple[int | None, int | None, int | None, int | None]] = {
    0: (32, TO_READY, TO_SUSPENDED, 10),
    10: (32, 0, TO_SUSPENDED, 10),
    20: (22, TO_READY, 21, 21),
    21: (22, TO_READY, NO, 21),
    22: (NO, TO_READY, TO_SUSPENDED, TO_SUSPENDED),
    30: (TO_COMPLETED, TO_READY, TO_SUSPENDED, TO_SUSPENDED),
    31: (TO_COMPLETED, TO_READY, TO_SUSPENDED, TO_SUSPENDED),
    32: (TO_COMPLETED, TO_READY, TO_SUSPENDED, TO_SUSPENDED),
}
ACTIONS = (Action.CANCEL, Action.RESUME, Action.PAUSE, Action.POSTPONE)
CELLS = [(action, before, EXPECTED[before][column]) for before in EXPECTED for column, action in enumerate(ACTIONS)]


@pytest.mark.parametrize(("action", "before", "expected"), CELLS)
def test_an_action_does_what_the_table_says(action: Action, before: int, expected: int | None) -> None:
    if expected is None or expected < 100:
        assert transition(action, Status(before)).status == expected
        return
    with pytest.raises(InvalidStateChange) as refused:
        transition(action, Status(before))
    assert (refused.value.code, refused.value.status) == (expected, 400)
    assert action in refused.value.message


def test_every_action_knows_every_status() -> None:
    assert {action: set(row) for action, row in TRANSITIONS.items()} == {action: set(Status) for action in Action}


@pytest.mark.requirement("M189")
def test_delete_is_possible_everywhere() -> None:
    assert {transition(Action.DELETE, status) for status in Status} == {Result(gone=True)}


def test_no_action_leads_out_of_completed() -> None:
    completed = [status for status in Status if STATE_OF[status] is State.COMPLETED]
    assert [TRANSITIONS[action][status].code is None for action in ACTIONS for status in completed] == [False] * 12


@pytest.mark.parametrize("status", Status, ids=lambda status: status.name.lower())
def test_nobody_cancels_pauses_or_resumes_a_job_of_the_platform(status: Status) -> None:
    for action, code in ((Action.CANCEL, 0x80044F00), (Action.PAUSE, 0x80044F01), (Action.RESUME, TO_READY)):
        with pytest.raises(InvalidStateChange, match="of the platform") as refused:
            transition(action, status, platform=True)
        assert refused.value.code == code
    assert transition(Action.DELETE, status, platform=True).gone
    if TRANSITIONS[Action.POSTPONE][status].code is None:
        assert transition(Action.POSTPONE, status, platform=True) == TRANSITIONS[Action.POSTPONE][status]


def test_a_refusal_says_what_would_be_possible() -> None:
    for action, before, expected in CELLS:
        if expected is not None and expected > 100:
            with pytest.raises(InvalidStateChange) as refused:
                transition(action, Status(before))
            assert re.fullmatch(
                r"The system job is [^;]+; \w+ is possible when it is [^.]+\. [A-Z][^.]+\.", refused.value.message
            )


def test_the_published_page_is_made_of_the_table() -> None:
    """docs/lifecycle.md; `python -m tools.lifecycle` writes it anew."""
    assert lifecycle.renewed(LIFECYCLE) == LIFECYCLE


def test_the_published_table_has_a_row_for_each_status_and_platform_jobs() -> None:
    table = lifecycle.table()
    assert len(table.splitlines()) == 2 + len(Status) + 1
    for status in Status:
        assert f"| {STATE_OF[status]}/{int(status)} " in table


def test_the_diagram_leads_everywhere_and_never_out_of_completed() -> None:
    edges = re.findall(r"^    (\S+) --> (\S+) : ", lifecycle.diagram(), re.MULTILINE)
    names = {status.name.title().replace("_", "") for status in Status}
    assert {target for _, target in edges} == names
    assert not {source for source, _ in edges} & {"Succeeded", "Failed", "Canceled"}
