"""Many seeds, one after the other, in processes of their own; `python -m tests.simulation` for people.

What was killed in a simulated world stays in memory for ever, so a process plays a few seeds and ends.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.simulation.census import Census

_ROOT = Path(__file__).resolve().parents[2]
_MEMORY = Path("/dev/shm")
SEEDS_OF_A_PROCESS = 40


def simulate(
    seeds: range,
    *,
    seconds_max: float,
    first_only: bool = False,
    coverage: int = 0,
    processes: int = 1,
    source: Path = _ROOT / "src",
    environment: Mapping[str, str] | None = None,
) -> Census:
    """Play seeds in a new interpreter, until the time is up. first_only: until the first violation.

    coverage: of so many seeds, the first ones, see which lines are executed. processes: so many play at a time.
    source: the folder in which `adjourn` is. environment: more variables for that interpreter.
    """
    command = [sys.executable, "-m", "tests.simulation", "--seeds", f"{seeds.start}:{seeds.stop}", "--json"]
    command += [
        "--source",
        str(source),
        "--seconds",
        str(seconds_max),
        "--processes",
        str(processes),
        *(["--first-only"] * first_only),
        *(["--coverage", str(coverage)] if coverage else []),
    ]
    done = subprocess.run(
        command,
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": f"{source}:{_ROOT}", **(environment or {})},
        capture_output=True,
        text=True,
        timeout=seconds_max + 300,
    )
    census = Census()
    for line in done.stdout.splitlines():
        _take(census, json.loads(line))
    if done.returncode or not census.seeds:
        raise RuntimeError(f"the simulation ended with {done.returncode}: {done.stderr[-4000:]}")
    return census


def play_all(
    seeds: range, seconds_max: float, *, first_only: bool = False, coverage: int = 0, processes: int = 1
) -> Iterator[dict[str, Any]]:
    """The same here, by forks, so many at a time: one report after the other, each as JSON has it; with `coverage` lines, too."""
    until = time.monotonic() + seconds_max
    folder = Path(tempfile.mkdtemp(prefix="adjourn-simulation-", dir=_MEMORY if _MEMORY.is_dir() else None))
    try:
        from tests.simulation import coverage as lines
        from tests.simulation.world import make_template

        if coverage:
            lines.watch()
        make_template(folder / "template.db")
        sys.settrace(None)
        if coverage:
            yield {"lines": lines.executed()}
        starts = iter(range(seeds.start, seeds.stop, SEEDS_OF_A_PROCESS))
        playing: dict[int, Path] = {}
        over = False
        while True:
            while len(playing) < processes and not over and time.monotonic() <= until:
                if (start := next(starts, None)) is None:
                    break
                some = range(start, min(start + SEEDS_OF_A_PROCESS, seeds.stop))
                told = folder / f"{start}.told"
                playing[_forked(some, folder, until, first_only, start < seeds.start + coverage, told)] = told
            if not playing:
                return
            child, status = os.wait()
            told = playing.pop(child)
            if status:
                raise RuntimeError(f"the process that wrote {told.name} ended with status {status}")
            for line in told.read_text().splitlines():
                report = json.loads(line)
                yield report
                over = over or bool(first_only and report.get("violations"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _forked(seeds: range, folder: Path, until: float, first_only: bool, coverage: bool, told: Path) -> int:
    """The process that plays them and writes its reports to a file."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with told.open("w") as out:
                _play_some(seeds, folder, until, first_only, coverage, out)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return child


def _play_some(seeds: range, folder: Path, until: float, first_only: bool, coverage: bool, out: Any) -> None:
    from tests.simulation import coverage as lines

    if coverage:
        lines.watch()
    for seed in seeds:
        if time.monotonic() > until:
            break
        report = play(seed, folder)
        out.write(json.dumps(report) + "\n")
        if first_only and report["violations"]:
            break
    sys.settrace(None)
    if coverage:
        out.write(json.dumps({"lines": lines.executed()}) + "\n")


def play(seed: int, folder: Path, *, trace: Path | None = None) -> dict[str, Any]:
    """One seed, here. folder: with the template in it. What a thread of it raised is a violation."""
    from tests.simulation.world import Report, World

    place = folder / str(seed)
    place.mkdir()
    world = World(seed, place, folder / "template.db", keep_trace=trace is not None)
    try:
        report = world.play()
    except BaseException as error:
        report = Report(seed, steps=world.scheduler.steps, seconds=world.scheduler.time)
        report.violations = ["".join(traceback.format_exception(error))[-3000:]]
    if trace is not None:
        trace.write_text("\n".join(world.scheduler.trace or []))
    shutil.rmtree(place, ignore_errors=True)
    return dict(vars(report))


def _take(census: Census, found: dict[str, Any]) -> None:
    if "lines" in found:
        census.lines |= set(found["lines"])
    else:
        census.add(found)
