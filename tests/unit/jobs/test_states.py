"""Every action in every state: the table of docs/lifecycle.md, cell by cell."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from adjourn.errors import InvalidStateChange
from adjourn.jobs.states import STATE_OF, TRANSITIONS, Action, State, Status, transition

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
    assert {action: set(row) for action, row in TRANSITIONS.items()} == {action: set(Status) for action in ACTIONS}


def test_no_action_leads_out_of_completed() -> None:
    completed = [status for status in Status if STATE_OF[status] is State.COMPLETED]
    assert [TRANSITIONS[action][status].code is None for action in ACTIONS for status in completed] == [False] * 12


def test_the_published_table_has_the_same_cells() -> None:
    """docs/lifecycle.md: a row per status, a column per action."""
    rows = re.findall(r"^\| ((?:\d/\d\d?[ ,\w]*)+) \|(.+)\|$", LIFECYCLE, re.MULTILINE)
    seen = set()
    for head, cells in rows:
        for status in (int(found) for found in re.findall(r"\d/(\d+)", head)):
            seen.add(status)
            for cell, expected in zip(cells.split("|"), EXPECTED[status], strict=False):
                if expected is None:
                    assert "204, unchanged" in cell
                elif expected > 100:
                    assert f"0x{expected:08x}" in cell.lower()
                else:
                    assert f"/{expected}" in cell
    assert seen == set(EXPECTED)
