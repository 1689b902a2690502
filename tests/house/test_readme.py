"""README.md to the letter: its commands and its Python run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.support.serving import ROOT, Serving

README = (ROOT / "README.md").read_text()
BIN = Path(sys.executable).parent


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def shell(script: str, folder: Path, **environment: str) -> str:
    """Run a block as a person would paste it, with `.venv/bin` being where the tests' own Python lies."""
    link = folder / ".venv"
    if not link.exists():
        link.mkdir()
        (link / "bin").symlink_to(BIN)
    result = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "120", **environment},
    )
    assert result.returncode == 0, f"{script}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def test_every_document_is_in_the_table() -> None:
    listed = re.findall(r"^\| \[docs/([a-z-]+)\.md\]\(docs/\1\.md\) \|", README, re.MULTILINE)
    assert sorted(listed) == sorted(path.stem for path in (ROOT / "docs").glob("*.md"))


def test_what_a_document_describes_is_not_said_to_be_missing() -> None:
    _, _, missing = README.partition("## What is not there yet")
    assert missing
    said = [path.stem for path in (ROOT / "docs").glob("*.md") if path.stem.replace("-", " ") in missing.lower()]
    assert said == []


def test_the_python_sample_runs_in_an_empty_file_and_has_at_most_15_lines(tmp_path: Path) -> None:
    sample = blocks("python")[0]
    assert len(sample.splitlines()) <= 15
    (tmp_path / "sample.py").write_text(sample)
    result = subprocess.run(
        [sys.executable, "sample.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    # On a busy machine there may be lines before it: the log of a unit that took long.
    assert result.stdout.splitlines()[-1] == "Hello, Ada!"


def test_the_function_of_the_sample_moves_into_a_module_of_the_same_database(tmp_path: Path) -> None:
    sample = blocks("python")[0]
    (tmp_path / "first.py").write_text(sample)
    assert "Hello, Ada!" in shell(f"{sys.executable} first.py", tmp_path)
    (tmp_path / "yourmodule.py").write_text(sample.partition("with ")[0])
    (command,) = re.findall(r"^`(PYTHONPATH=\. \.venv/bin/adjourn serve .*)`$", README, re.MULTILINE)
    assert "--plugins yourmodule" in command
    database = re.search(r"--database \S+", command)
    assert database is not None
    out = shell(f"PYTHONPATH=. .venv/bin/adjourn register yourmodule {database[0]}", tmp_path)
    assert "1 message registered" in out


def test_the_step_sample_registers(tmp_path: Path) -> None:
    (tmp_path / "switchboard.py").write_text("import adjourn\n" + blocks("python")[1])
    out = shell(".venv/bin/adjourn register switchboard --database sqlite:///x.db", tmp_path, PYTHONPATH=".")
    assert "1 step, 0 messages registered" in out
    assert "advice" not in out


def test_the_first_job_with_curl(tmp_path: Path) -> None:
    before = os.getcwd()
    os.chdir(tmp_path)
    try:
        service = Serving("sqlite:///var/adjourn.db", "--demo", own_token=True)
    finally:
        os.chdir(before)
    try:
        script = blocks("sh")[1].replace("127.0.0.1:8080", f"127.0.0.1:{service.port}")
        # Between the two requests the README says "a moment later".
        names, _, _ = script.partition("\n\n")
        create, _, look = script.partition("# its job")
        out = shell(create, tmp_path)
        deadline = time.monotonic() + 60
        while "Succeeded" not in shell(".venv/bin/adjourn jobs list --limit 1", tmp_path):
            assert time.monotonic() < deadline
        out += shell(f"{names}\n# its job{look}", tmp_path)
        assert re.search(r"accounts\([0-9a-f-]{36}\)", out)
        assert '"statuscode@OData.Community.Display.V1.FormattedValue":"Succeeded"' in out
        assert '"friendlymessage":"A task was created."' in out
        out = shell(blocks("sh")[2], tmp_path)
        assert out.count("System Event") == 0, "numbers, not labels, without being asked"
        assert re.search(r"^3 +30 +10 +40$", out, re.MULTILINE), out
        listed = shell(".venv/bin/adjourn jobs list --limit 3", tmp_path)
        assert "3 rows" in listed
        assert "Succeeded" in listed
    finally:
        service.stop()
