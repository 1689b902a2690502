"""docs/webapi.md and docs/queries.md to the letter: their commands run as they stand there and answer what is printed.

A line `#> …` is what the command before it prints; `…` in it stands for anything. The Python of webapi.md registers and is called,
that of lifecycle.md runs as jobs.
"""

from __future__ import annotations

import importlib
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.serving import ROOT, Serving

import adjourn

DOCUMENTS = {name: (ROOT / "docs" / f"{name}.md").read_text() for name in ("webapi", "queries")}
IMPORTS = "import adjourn\nfrom adjourn import Client, Record, Reference\n"


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENTS[name], re.MULTILINE | re.DOTALL)


def steps(block: str) -> list[tuple[str, str]]:
    """Commands and what each is to print."""
    found = []
    commands: list[str] = []
    for line in block.splitlines():
        if line.startswith("#> "):
            found.append(("\n".join(commands), line[3:]))
            commands = []
        else:
            commands.append(line)
    assert not "".join(commands).strip(), "every command says what it prints"
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, Path]]:
    folder = tmp_path_factory.mktemp("by-hand")
    (folder / "by_hand.py").write_text(IMPORTS + "\n".join(blocks("webapi", "python")))
    before, path = os.getcwd(), os.environ.get("PYTHONPATH")
    os.chdir(folder)
    try:
        service = Serving("sqlite:///var/adjourn.db", "--demo", "--plugins", "by_hand", own_token=True)
    finally:
        os.chdir(before)
    assert path == os.environ.get("PYTHONPATH")
    yield service, folder
    service.stop()


def test_commands_print_what_stands_below_them(place: tuple[Serving, Path]) -> None:
    service, folder = place
    given = "\n".join(blocks("webapi", "sh")[0].splitlines()[:2])
    asked = [step for name in DOCUMENTS for block in blocks(name, "sh") for step in steps(block)]
    assert len(asked) >= 7
    for command, expected in asked:
        script = f"{given}\n{command}".replace("127.0.0.1:8080", f"127.0.0.1:{service.port}")
        ran = subprocess.run(
            ["bash", "-e", "-c", script], cwd=folder, capture_output=True, text=True, timeout=60, check=False
        )
        assert ran.returncode == 0, f"{command}\n{ran.stderr}"
        wanted = expected.replace("127.0.0.1:8080", f"127.0.0.1:{service.port}")
        pattern = ".*?".join(re.escape(part) for part in wanted.split("…"))
        assert re.fullmatch(pattern, ran.stdout.strip()), f"{command}\nprinted {ran.stdout!r}"


def test_the_python_of_the_document_registers(place: tuple[Serving, Path]) -> None:
    service, _ = place
    assert "registered by_hand: 0 steps, 2 messages" in service.printed


def test_the_handlers_of_lifecycle_run_as_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "lifecycle.md").read_text()
    (sample,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "of_lifecycle.py").write_text(sample)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("of_lifecycle")
    said = (
        "asyncoperations?$select=messagename,statuscode,friendlymessage&$filter=operationtype eq 54&$orderby=sequence"
    )
    with adjourn.Organization(f"sqlite:///{tmp_path}/jobs.db") as org:
        module.enqueue_all(org)
        org.drain()
        org.drain(now=datetime.now(UTC) + timedelta(hours=2))
        org.drain(now=datetime.now(UTC) + timedelta(hours=3))
        found = [(job["messagename"], job["statuscode"], job["friendlymessage"]) for job in org.retrieve_multiple(said)]
        names = [account["name"] for account in org.retrieve_multiple("accounts?$select=name&$orderby=createdon")]
    assert found == [
        ("print_pages", 30, "3 pages"),
        ("move_in", 30, None),
        ("call_back", 30, "they answered"),
    ]
    assert sorted(names) == ["Contoso", "Fabrikam"]
