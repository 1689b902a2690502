"""Writes the table and the diagram of docs/lifecycle.md from `adjourn.jobs.states`: `python -m tools.lifecycle`."""

from __future__ import annotations

import re
from pathlib import Path

from adjourn.jobs.states import (
    CLAIMED,
    CREATED,
    ENDED,
    PLATFORM_REFUSES,
    SETTLED,
    STATE_OF,
    TRANSITIONS,
    WOKEN,
    Action,
    Result,
    State,
    Status,
)

PAGE = Path(__file__).resolve().parents[1] / "docs" / "lifecycle.md"
_COLUMNS = (Action.CANCEL, Action.RESUME, Action.PAUSE, Action.POSTPONE, Action.DELETE)
_NOTES = {
    (Action.RESUME, Status.WAITING): " (behind its token it stays 1/10 until its turn)",
    (Action.POSTPONE, Status.WAITING): ", the new moment holds",
    (Action.POSTPONE, Status.PAUSING): ", the new moment holds",
    (Action.DELETE, Status.IN_PROGRESS): "; the worker's settle changes nothing",
    (Action.DELETE, Status.PAUSING): "; the worker's settle changes nothing",
    (Action.DELETE, Status.CANCELING): "; the worker's settle changes nothing",
}
_LETS_GO = {Status.CANCELING: ", then 3/32", Status.PAUSING: ", then 1/10"}


def table() -> str:
    """Each action in each status: the pair that it leads to, or the code of its refusal."""
    lines = [f"| from | {' | '.join(action.capitalize() for action in _COLUMNS)} |", "|---" * (len(_COLUMNS) + 1) + "|"]
    for status in Status:
        cells = [_cell(action, status, TRANSITIONS[action][status]) for action in _COLUMNS]
        lines.append(f"| {_pair(status)} {_name(status)} | {' | '.join(cells)} |")
    platform = [
        f"0x{PLATFORM_REFUSES[action]:08x}" if action in PLATFORM_REFUSES else "as above" for action in _COLUMNS
    ]
    lines.append(f"| a platform job, in any | {' | '.join(platform)} |")
    return "\n".join(lines)


def diagram() -> str:
    """The ways between the statuses, as Mermaid draws them. What people do is written as a verb, the rest in brackets."""
    edges: dict[tuple[str, Status], list[str]] = {}

    def add(source: str, target: Status, label: str) -> None:
        edges.setdefault((source, target), []).append(label)

    for status in sorted(CREATED):
        add("[*]", status, "(created)")
    for action in _COLUMNS:
        for status, result in TRANSITIONS[action].items():
            if result.status is not None and result.status is not status:
                add(_node(status), result.status, action)
    add(_node(CLAIMED[0]), CLAIMED[1], "(claimed)")
    add(_node(WOKEN[0]), WOKEN[1], "(due, or its turn)")
    for status, ends in ENDED.items():
        for end in sorted(ends):
            add(_node(status), end, "(a schedule has ended)")
    for status, ends in SETTLED.items():
        for end in sorted(ends):
            add(_node(status), end, "(given back)" if end is Status.WAITING_FOR_RESOURCES else "(let go)")
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f"    {source} --> {_node(target)} : {', '.join(labels)}" for (source, target), labels in edges.items()]
    return "\n".join([*lines, "```"])


def renewed(page: str) -> str:
    """The page with its generated parts made anew."""
    for name, text in (("table", table()), ("diagram", diagram())):
        marks = re.compile(rf"(<!-- {name}: made by tools/lifecycle.py -->\n).*?(\n<!-- end -->)", re.DOTALL)
        page, count = marks.subn(lambda found, text=text: f"{found[1]}{text}{found[2]}", page)  # type: ignore[misc]
        assert count == 1, f"docs/lifecycle.md has {count} places for the {name}"
    return page


def _cell(action: Action, status: Status, result: Result) -> str:
    if result.code is not None:
        return f"0x{result.code:08x}"
    note = _NOTES.get((action, status), "")
    if result.gone:
        return f"gone{note}"
    if result.status is None:
        return "204, unchanged"
    return f"{_pair(result.status)}{_LETS_GO.get(result.status, '')}{note}"


def _pair(status: Status) -> str:
    return f"{int(STATE_OF[status])}/{int(status)}"


def _name(status: Status) -> str:
    state = STATE_OF[status].name.capitalize()
    return state if STATE_OF[status] in (State.READY, State.SUSPENDED) else status.name.replace("_", " ").title()


def _node(status: Status) -> str:
    return status.name.title().replace("_", "")


def main() -> None:
    PAGE.write_text(renewed(PAGE.read_text()))


if __name__ == "__main__":
    main()
