"""`dynamics-web-api` from npm, unmodified, in Node.js: each test of javascript/dynamics_web_api.test.mjs is one here."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.clients.conftest import Organization
from tests.support.serving import TOKEN

FOLDER = Path(__file__).parent / "javascript"
FILE = FOLDER / "dynamics_web_api.test.mjs"
NAMES = re.findall(r'^test\("(.+?)", ', FILE.read_text(), re.MULTILINE)
_SECONDS_MAX = 120


def node(place: Organization, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Node.js in the folder of the JavaScript clients, as it is told where the service is."""
    path = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)])
    found = shutil.which("node", path=path)
    assert found, "Node.js is missing: `make test` installs it from the package index where the machine has none"
    assert (FOLDER / "node_modules").is_dir(), "the clients for JavaScript are missing: `make test` installs them"
    return subprocess.run(
        [found, *arguments],
        cwd=FOLDER,
        env={
            "PATH": path,
            "ADJOURN_URL": place.url,
            "ADJOURN_TOKEN": TOKEN,
            "NODE_EXTRA_CA_CERTS": str(place.certificate),
        },
        capture_output=True,
        text=True,
        timeout=_SECONDS_MAX,
        check=False,
    )


@pytest.fixture(scope="module")
def reports(shared: Organization) -> Mapping[str, str]:
    """What Node.js's runner says of each test: nothing if it passed, else what went wrong."""
    ran = node(shared, "--test", "--test-reporter=./reporter.mjs", FILE.name)
    found = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    assert found, ran.stdout + ran.stderr
    return {report["name"]: report["error"] for report in found}


@pytest.mark.parametrize("name", NAMES)
def test_dynamics_web_api(reports: Mapping[str, str], name: str) -> None:
    assert reports[name] == ""


def test_no_test_of_theirs_is_left_out(reports: Mapping[str, str]) -> None:
    assert set(NAMES) == set(reports)
    assert len(NAMES) >= 10
