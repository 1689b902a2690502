"""`make requirements`: rows of docs/requirements.md that a part owes and no passing test proves.

    python -m tools.requirements            rows of part A
    python -m tools.requirements A B        rows of parts A and B
    python -m tools.requirements --listed   does not run the tests: looks only which rows a test carries

The tests that carry a requirement are run, in this process; a row is proved when all of them pass.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest

TABLE = Path(__file__).resolve().parents[1] / "docs" / "requirements.md"
_ROW = re.compile(r"^\| (M\d+) \| (.+?) \| (.+) \| ([A-Za-z, ]+) \|$")


@dataclass(frozen=True)
class Requirement:
    """One row. parts: the letters of its last column."""

    number: str
    title: str
    act: str
    parts: tuple[str, ...]


def read(text: str) -> list[Requirement]:
    """The rows of the table."""
    found = []
    for line in text.splitlines():
        match = _ROW.match(line)
        if match:
            parts = tuple(part.strip() for part in match[4].split(","))
            found.append(Requirement(match[1], match[2], match[3], parts))
    return found


class Collector:
    """A pytest plug-in that notes, for each requirement, how its tests ended."""

    def __init__(self) -> None:
        self.numbers: dict[str, set[str]] = defaultdict(set)
        self.ended: dict[str, set[str]] = defaultdict(set)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            for mark in item.iter_markers("requirement"):
                self.numbers[item.nodeid].add(mark.args[0])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            for number in self.numbers.get(report.nodeid, ()):
                self.ended[number].add(report.outcome)

    def carried(self) -> set[str]:
        """All numbers that a test carries."""
        return {number for numbers in self.numbers.values() for number in numbers}

    def proved(self) -> set[str]:
        """The numbers whose tests were run and all passed."""
        return {number for number, outcomes in self.ended.items() if outcomes == {"passed"}}


def main(arguments: list[str]) -> int:
    """Print the rows that are owed; the number of them is the exit status, at most 100."""
    listed = "--listed" in arguments
    parts = {argument for argument in arguments if not argument.startswith("-")} or {"A"}
    collector = Collector()
    options = ["-q", "-m", "requirement and not long", *(["--collect-only"] if listed else [])]
    code = pytest.main([*options, str(TABLE.parents[1] / "tests")], plugins=[collector])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        return int(code)
    done = collector.carried() if listed else collector.proved()
    owed = [row for row in read(TABLE.read_text()) if parts & set(row.parts) and row.number not in done]
    unknown = collector.carried() - {row.number for row in read(TABLE.read_text())}
    for number in sorted(unknown):
        print(f"{number}: a test carries it, but there is no such row")
    for row in owed:
        print(f"{row.number} ({', '.join(row.parts)}): {row.title}")
    total = sum(1 for row in read(TABLE.read_text()) if parts & set(row.parts))
    print(
        f"{total - len(owed)} of {total} rows of {', '.join(sorted(parts))} are {'carried by' if listed else 'proved by'} tests."
    )
    return min(100, len(owed) + len(unknown))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
