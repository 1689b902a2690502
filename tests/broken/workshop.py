"""Where variants are made and tried: a copy of the source in a temporary folder, never the source itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.broken.variants import Variant
from tests.simulation.run import simulate
from tests.support import postgres

SOURCE = Path(__file__).resolve().parents[2] / "src"
SECONDS_MAX = 1200.0
_ROUND_SECONDS = 75


class DoesNotApply(Exception):
    """The text that a variant changes is not there, or not once: the variant must be written anew."""


@dataclass(frozen=True, slots=True)
class Found:
    """How a variant was found out. seeds: how many were played until then."""

    seeds: int
    violation: str


@contextmanager
def patched(variant: Variant) -> Iterator[Path]:
    """A copy of the source that has the variant's edits. Raises DoesNotApply."""
    with TemporaryDirectory(prefix="adjourn-broken-") as folder:
        copy = Path(folder) / "src"
        shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        for edit in variant.edits:
            places = [path for path in sorted((copy / "adjourn").glob(edit.files)) if edit.old in path.read_text()]
            count = sum(path.read_text().count(edit.old) for path in places)
            if count != 1:
                raise DoesNotApply(f"'{variant.name}': found {count} times in {edit.files}: {edit.old!r}")
            (place,) = places
            place.write_text(place.read_text().replace(edit.old, edit.new))
        yield copy


def find_out(variant: Variant, source: Path) -> Found | None:
    """Let its detector look at a copy of the source; None when it sees nothing within the variant's seeds."""
    if variant.by == "simulation":
        census = simulate(range(variant.seeds), seconds_max=SECONDS_MAX, first_only=True, source=source)
        return Found(census.seeds, census.violations[0][1]) if census.violations else None
    environment = {
        **os.environ,
        "PYTHONPATH": f"{source}:{SOURCE.parent}",
        "DATABASE_URL": postgres.cluster().url,
    }
    for seed in range(variant.seeds):
        command = [sys.executable, "-m", "tests.broken.crowd", str(seed), "--source", str(source)]
        done = subprocess.run(
            command, cwd=SOURCE.parent, env=environment, capture_output=True, text=True, timeout=_ROUND_SECONDS * 4
        )
        if done.returncode not in (0, 1):
            raise RuntimeError(f"the crowd ended with {done.returncode}: {done.stderr[-2000:]}")
        if done.returncode == 1:
            return Found(seed + 1, done.stdout)
    return None
