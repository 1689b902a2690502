"""Rules of the house that no linter knows: where SQL may stand, what documents may say, which files a decision has."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest
from tools import requirements

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src" / "adjourn").rglob("*.py"))
_SQL = re.compile(r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE (TABLE|INDEX)|WITH \w+ AS)\s", re.DOTALL)
_SQL_HOMES = ("query", "jobs", "store")
_ELSEWHERE = re.compile(
    "|".join(("/" + "root/", "/" + "home/", "/" + "work/", "pypi" + r"\.org", "npm" + "js", "registry" + r"\.npm", "files" + r"\.python"))
)  # fmt: skip


def texts(path: Path) -> list[str]:
    """The string literals of a module, docstrings left out."""
    tree = ast.parse(path.read_text())
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_sql_text_stands_in_the_query_the_queue_and_the_store_only(path: Path) -> None:
    if path.relative_to(ROOT / "src" / "adjourn").parts[0] not in _SQL_HOMES:
        assert [text for text in texts(path) if _SQL.match(text)] == []


def tracked() -> list[Path]:
    if not (ROOT / ".git").exists():
        return [path for path in ROOT.rglob("*") if path.is_file() and ".venv" not in path.parts]
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).exists()]


def test_nothing_speaks_of_a_particular_machine_or_registry() -> None:
    found = []
    for path in tracked():
        if path.suffix in (".py", ".md", ".toml", ".sql", ".json", "") and path.stat().st_size < 2_000_000:
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                if _ELSEWHERE.search(line):
                    found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert found == []


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
            if not (path.parent / target).exists():
                broken.append(f"{path.relative_to(ROOT)} -> {target}")
    assert broken == []


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "decisions").glob("*.md")), ids=lambda path: path.name)
def test_a_decision_fits_on_a_page_and_says_why(path: Path) -> None:
    text = path.read_text()
    number = path.name[:4]
    assert re.match(rf"# 0*{int(number)}[.:]? ", text), "its title begins with its number"
    for heading in ("Context", "Decision", "Consequences"):
        assert re.search(rf"^## {heading}", text, re.MULTILINE), f"no '{heading}'"
    assert len(text.splitlines()) <= 90


def test_the_table_of_requirements_is_read_whole() -> None:
    rows = requirements.read((ROOT / "docs" / "requirements.md").read_text())
    assert [row.number for row in rows] == [f"M{number:02}" for number in range(1, 225)]
    assert {part for row in rows for part in row.parts} == {"A", "B", "C", "D", "E", "F", "later"}


def test_every_setting_is_described() -> None:
    """What a person can set in the environment stands in the documents."""
    documents = "".join(path.read_text() for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    named = {name for path in SOURCES for text in texts(path) for name in re.findall(r"ADJOURN_[A-Z_]+[A-Z]", text)}
    assert {name for name in named if name not in documents} == set()
