"""The program whose children are killed: `python -m tests.proof.crash`, driven by `CrashRoom`.

It has imported everything, owns no thread and no connection, and forks a child for each play: a fork costs a
thousandth of what a fresh interpreter does, and a child that opens its store itself is as real a process as any. A
child told to die does so by SIGKILL at the given visit of a fault point. Another one recovers what it left: it gives
back the jobs of the dead, runs what can run, sweeps, and lets the checker look.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from tests.proof import audit, crash_long_work, crash_plugins, points
from tests.proof import crash_scenarios as scenarios
from tests.proof.checker import violations
from tests.proof.crash_long_work import Asked, broken_promises
from tests.proof.violations import Act, Batch, Effect, Log, Success

from adjourn import Organization, config, runtime
from adjourn.jobs import explain, queue, schedules
from adjourn.jobs.states import Action
from adjourn.store import faults
from adjourn.store.contract import Transaction
from adjourn.worker.duties import duties

SCENARIOS: dict[str, Callable[[scenarios.Teller], None]] = {
    "verbs": scenarios.verbs,
    "workers": scenarios.workers,
    "recurring": crash_long_work.recurring,
    "bulk delete": crash_long_work.bulk_delete,
    "recurring bulk delete": crash_long_work.recurring_bulk_delete,
}
STAGES: dict[str, str] = {
    **dict.fromkeys(
        ("atomic", "enqueue", "offload", "change", "claim", "checkpoint", "pause", "settle", "resume", "promote", "cancel",
         "postpone", "delete", "rescue", "sweep", "run"), "verbs"),
    **dict.fromkeys(("schedule", "schedule due", "schedule run", "schedule ends"), "recurring"),
    **dict.fromkeys(("order", "chunks"), "bulk delete"),
    "chunks of runs": "recurring bulk delete",
}  # fmt: skip
"""Of each stage its scenario; that with executors has none."""
_LATER = datetime(2198, 1, 1, tzinfo=UTC)
_STALE_SECONDS = 0.05
"""There is nobody else; on PostgreSQL one who recovers must have beaten for as long himself."""
_RESCUE_SECONDS_MAX = 10.0
_PLAY_SECONDS_MAX = 60
_ROOT = Path(__file__).resolve().parents[2]


class Visit(NamedTuple):
    """The `count`th time (from 1) that a process came to a fault point in one stage of its scenario."""

    stage: str
    site: str
    count: int


@dataclass(frozen=True, slots=True)
class Play:
    """What a child is to do. scenario: a name, "prepare", "recover", or "executor NAME OF A POINT"."""

    scenario: str
    url: str
    folder: str
    """Where the journal is and the child's report goes."""
    die_at: Visit | None = None


@dataclass(slots=True)
class Report:
    """What became of it."""

    killed: bool = False
    """As it was told; False: it never came to that visit."""
    visits: list[Visit] = dataclasses.field(default_factory=list)
    violations: list[str] = dataclasses.field(default_factory=list)
    error: str | None = None


class CrashRoom:
    """The program, from outside."""

    def __init__(self) -> None:
        path = os.pathsep.join([str(_ROOT), *sys.path])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.proof.crash"],
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def play(self, play: Play) -> Report:
        """Have it played; raises AssertionError when the child failed, or was ended by anybody but itself."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(dataclasses.asdict(play)) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        report = Report(**answer)
        report.visits = [Visit(*visit) for visit in answer["visits"]]
        assert report.error is None, f"{play}: {report.error}"
        return report

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


def main() -> None:
    """Fork a child for each line."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what children log must not come between the answers
    for line in sys.stdin:
        given = json.loads(line)
        die_at = Visit(*given.pop("die_at")) if given["die_at"] else given.pop("die_at")
        report = _forked(Play(**given, die_at=die_at))
        print(json.dumps(dataclasses.asdict(report)), file=answers, flush=True)


def _forked(play: Play) -> Report:
    result = Path(play.folder) / "report.json"
    result.unlink(missing_ok=True)
    pid = os.fork()
    if not pid:
        signal.alarm(_PLAY_SECONDS_MAX)
        try:
            report = _child(play)
        except BaseException:
            report = Report(error=traceback.format_exc())
        result.write_text(json.dumps(dataclasses.asdict(report)))
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        died = os.WTERMSIG(status)
        if died == signal.SIGKILL and play.die_at is not None:
            return Report(killed=True)
        return Report(error=f"the child was ended by signal {died}")
    answer = json.loads(result.read_text())
    return Report(**answer)


def _child(play: Play) -> Report:
    report = Report()
    counted: Counter[tuple[str, str]] = Counter()
    stage = play.scenario

    def enter(name: str) -> None:
        nonlocal stage
        stage = name

    def listener(name: str) -> None:
        site = points.here()
        counted[stage, site] += 1
        visit = Visit(stage, site, counted[stage, site])
        if visit == play.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        report.visits.append(visit)

    config.DATA_INLINE_BYTES_MAX = scenarios.LARGE
    with Organization(play.url) as org, faults.listening(listener):
        journal = Path(play.folder) / "journal"
        if play.scenario == "prepare":
            org.register(crash_plugins.__name__)
            audit.begin(org.service.store)
        elif play.scenario == "recover":
            _recover(org)
            report.violations = _examined(org, journal)
        elif play.scenario.startswith("executor "):
            point = play.scenario.removeprefix("executor ")
            marker = Path(play.folder) / f"died at {point}"
            scenarios.executors(scenarios.Teller(org, journal, enter), point, marker)
        else:
            SCENARIOS[play.scenario](scenarios.Teller(org, journal, enter))
    return report


def _recover(org: Organization) -> None:
    """What the next process does: rescue, run, sweep. Its clock is far ahead, so that nothing waits for a moment."""
    store = org.service.store
    stale, config.WORKER_STALE_SECONDS = config.WORKER_STALE_SECONDS, _STALE_SECONDS
    table = duties(org.service, runtime.new_id(), lambda: None, lambda: None)
    until = runtime.monotonic() + _RESCUE_SECONDS_MAX
    while _held(org) or store.dead_workers(runtime.now()):
        assert runtime.monotonic() < until, "the jobs of the dead are not given back"
        table["beat"](runtime.now())
        table["rescue"](runtime.now())
        runtime.sleep(0.01)
    config.WORKER_STALE_SECONDS = stale
    # What is made then bears that moment, so that it can be told from what was made before the death.
    store.write(_serve_later)
    while org.drain():
        store.write(_serve_later)
    table["sweep_files"](runtime.now())
    table["fold"](runtime.now())


def _serve_later(tx: Transaction) -> None:
    tx.now = _LATER
    schedules.promote_due(tx)


def _held(org: Organization) -> bool:
    with org.service.store.read() as reader:
        return bool(queue.workers(reader))


def _examined(org: Organization, journal: Path) -> list[str]:
    store = org.service.store
    log, changes, asked = read_journal(journal)
    with store.read() as reader:
        found = explain.examine(reader)
        made = reader.rows(
            "SELECT accountid, name, (SELECT count(*) FROM asyncoperation j WHERE "
            "j.regardingobjectid = a.accountid AND j.operationtype = 1) FROM account a"
        )
        written = reader.rows("SELECT description FROM contact WHERE lastname = :name", {"name": crash_plugins.EFFECT})
        found += broken_promises(reader, asked)
    log.effects = [Effect(UUID(text.partition("/")[0]), int(text.partition("/")[2])) for (text,) in written]
    # Of its two jobs one is removed when it has succeeded.
    found += [f"account {record} '{name}' has {jobs} jobs" for record, name, jobs in made if jobs != 1]
    lost = {record for record in changes.values() if record is not None} - {row[0] for row in made}
    found += [f"account {record} was acknowledged and is gone" for record in sorted(lost)]
    times = Counter(name for _, name, _ in made)
    found += [f"account '{name}' is there {count} times" for name, count in times.items() if count > 1]
    return found + [str(violation) for violation in violations(store, log)]


def read_journal(journal: Path) -> tuple[Log, dict[str, str | None], Asked]:
    """What was tried and what acknowledged; of each changed record its name and its acknowledged id; and the long work."""
    log, asked = Log(), Asked()
    changes: dict[str, str | None] = {}
    lines = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
    answers = {line["done"]: line for line in lines if "done" in line}
    for line in lines:
        if "tried" not in line:
            continue
        answer: dict[str, Any] | None = answers.get(line["tried"])
        asked.take(line, answer)
        match line["kind"]:
            case "batch":
                log.batches.append(_batch(line, answer))
            case "change":
                changes[line["name"]] = answer["id"] if answer else None
            case "act" if answer:
                log.acts.append(Act(Action(line["action"]), UUID(line["job"])))
            case "act" if line["action"] == Action.DELETE:
                log.deletions_tried.add(UUID(line["job"]))
            case "bulk delete" if answer:
                log.acts += [Act(Action.DELETE, UUID(job)) for job in line["jobs"]]
            case "bulk delete":
                log.deletions_tried |= {UUID(job) for job in line["jobs"]}
            case "settle" if answer:
                log.successes += [Success(UUID(job), lease) for job, lease in line["successes"]]
    return log, changes, asked


def _batch(line: dict[str, Any], answer: dict[str, Any] | None) -> Batch:
    return Batch(
        texts=tuple(line["texts"]),
        tokens=tuple(line["tokens"]),
        parts=line["parts"],
        ids=tuple(UUID(job) for job in answer["ids"]) if answer else None,
        began=line["moment"],
        ended=answer["moment"] if answer else 0.0,
    )


if __name__ == "__main__":
    main()
