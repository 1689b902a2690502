"""The list of broken variants: each a small patch to a copy of the source that takes one promise away.

The list was fixed before the checks were tuned. A variant names its text, not a line or a file, so it survives a
refactoring that leaves the rule alone; when the rule itself is written anew the patch no longer applies, which fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Detector = Literal["simulation", "postgres"]


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace a text that stands exactly once in the files of a pattern below `adjourn/`."""

    files: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to be wrong. seeds: within so many it must be found out."""

    name: str
    edits: tuple[Edit, ...]
    seeds: int
    by: Detector = "simulation"
    quick: bool = False
    """Part of the test run; the others belong to the long form."""


_QUEUE, _STATEMENTS, _OUTCOMES = "jobs/queue.py", "jobs/statements.py", "jobs/outcomes.py"
_CLAIM = "jobs/claim_statements.py"
_SCHEDULES, _CHUNKS = "jobs/schedules.py", "operations/chunks.py"
_TOKENS, _ACTIONS = "jobs/tokens.py", "jobs/actions.py"

VARIANTS = (
    Variant(
        "a settle is not fenced by its lease",
        (
            Edit(_QUEUE, "if found is None or found[1] != job.lease:", "if found is None:"),
            Edit(
                _STATEMENTS,
                '"WHERE sequence = :sequence AND lease = :lease AND',
                '"WHERE sequence = :sequence AND :lease IS NOT NULL AND',
            ),
            Edit(
                _STATEMENTS,
                "asyncoperation.sequence = v.sequence AND asyncoperation.lease = v.lease AND",
                "asyncoperation.sequence = v.sequence AND",
            ),
        ),
        20,
        by="postgres",
    ),
    Variant(
        "a handler's writes are not fenced by its lease",
        (
            Edit(
                "worker/calls.py",
                "if queue.fence(tx, job.id, job.lease) is None:\n            raise",
                "if False:\n            raise",
            ),
        ),
        300,
        quick=True,
    ),
    Variant(
        "a rescue does not look who is alive",
        (
            Edit(
                "store/lock_files.py",
                "if worker_id in self._held or self._locked(worker_id)}",
                "if worker_id in self._held}",
            ),
        ),
        20,
        quick=True,
    ),
    Variant(
        "a rescue asks no clock but its own impatience",
        (
            Edit(
                "store/postgres.py",
                '{**parameters, "stale": config.WORKER_STALE_SECONDS}',
                '{**parameters, "stale": 0.0}',
            ),
            Edit(
                "store/postgres.py",
                '"id": worker_id, "stale": config.WORKER_STALE_SECONDS',
                '"id": worker_id, "stale": 0.0',
            ),
        ),
        20,
        by="postgres",
    ),
    Variant(
        "a settle overwrites what people asked for meanwhile",
        (Edit(_QUEUE, "        status = Status(found[2])\n", "        status = Status.IN_PROGRESS\n"),),
        60,
        quick=True,
    ),
    Variant(
        "a promotion takes no mutex",
        (Edit(_TOKENS, 'if wanted and tx.dialect == "postgres":', "if False:"),),
        20,
        by="postgres",
    ),
    Variant(
        "the next job of a token is promoted before the end of its head is committed",
        (
            Edit(
                _QUEUE,
                "        claimed.extend(job_rows.claimed(row, lease, tx.now) for row in rows)\n",
                "        claimed.extend(job_rows.claimed(row, lease, tx.now) for row in rows)\n"
                "    tokens.promote(\n"
                "        tx, [tokens.Head(job.serial_key, job.sequence, job.id) for job in claimed if job.serial_key]\n"
                "    )\n",
            ),
            Edit(
                "store/migrations/sqlite/0002_jobs.sql", "CREATE UNIQUE INDEX job_one_head", "CREATE INDEX job_one_head"
            ),
        ),
        30,
        quick=True,
    ),
    Variant(
        "a canceled head promotes nobody",
        (Edit(_ACTIONS, "    if completed and key is not None and not blocked:\n", "    if False:\n"),),
        60,
    ),
    Variant(
        "a deleted head promotes nobody",
        (
            Edit(
                _QUEUE, "        tokens.promote(tx, [tokens.Head(row[2], row[1], UUID(row[0])) for row in left])\n", ""
            ),
        ),
        100,
    ),
    Variant(
        "a claim goes by createdon",
        (
            Edit(
                _CLAIM,
                'f"ORDER BY j.sequence LIMIT :limit{skip}) c)',
                'f"ORDER BY j.createdon LIMIT :limit{skip}) c)',
            ),
        ),
        200,
    ),
    Variant(
        "a cancel is lost while the job is pausing",
        (Edit("jobs/states.py", "        _S.PAUSING: Result(_S.CANCELING),\n", "        _S.PAUSING: _UNCHANGED,\n"),),
        200,
        quick=True,
    ),
    Variant(
        "a rescue forgets that the job was canceled",
        (
            Edit(
                _OUTCOMES,
                "    if status is Status.CANCELING:\n        match outcome:",
                "    if status is Status.CANCELING and not isinstance(outcome, Released):\n        match outcome:",
            ),
        ),
        300,
        quick=True,
    ),
    Variant(
        "the counts miss deletions",
        (
            Edit(
                "store/migrations/sqlite/0002_jobs.sql",
                "CREATE TRIGGER jobcount_delete AFTER DELETE ON asyncoperation BEGIN",
                "CREATE TRIGGER jobcount_delete AFTER DELETE ON asyncoperation WHEN old.statecode = 3 BEGIN",
            ),
        ),
        20,
        quick=True,
    ),
    Variant(
        "a file is deleted before the commit",
        (
            Edit(
                "store/sqlite_units.py",
                "        self._deleted.extend(file_ids)\n",
                "        self._files.remove(file_ids)\n",
            ),
        ),
        300,
    ),
    Variant(
        "a file is written after the commit",
        (
            Edit(
                "store/sqlite_units.py",
                "        self._files.write(file_id, content)\n",
                "        self.after_commit(lambda: self._files.write(file_id, content))\n",
            ),
        ),
        200,
    ),
    Variant(
        "forgotten files are swept without the turn",
        (
            Edit(
                "store/sqlite.py",
                "tx.delete_files([file_id for file_id in orphans if file_id not in mentioned])",
                "tx.delete_files(orphans)",
            ),
        ),
        1000,
    ),
    Variant(
        "writes are acknowledged before the commit",
        (
            Edit(
                "store/writer.py",
                "            entry.value = entry.run(tx)\n            tx.finish()\n",
                "            entry.value = entry.run(tx)\n            tx.finish()\n"
                "            entry.future.set_result(entry.value)\n",
            ),
            Edit(
                "store/writer.py",
                "        self._settle(entry.tx)\n        entry.future.set_result(entry.value)\n",
                "        self._settle(entry.tx)\n",
            ),
        ),
        100,
    ),
    Variant(
        "a lost group is taken for written",
        (
            Edit(
                "store/writer.py",
                "                self._run_alone(group[0])\n                group.pop(0)\n",
                "                break\n",
            ),
        ),
        60,
        quick=True,
    ),
    Variant(
        "an atomic handler's writes and its completion are two commits",
        (
            Edit(
                "worker/atomic.py",
                "            tx.after_commit(self._service.store.wake)\n            self._commit()\n        except calls.LeaseLost",
                "            self._commit()\n        except calls.LeaseLost",
            ),
            Edit(
                "worker/atomic.py",
                "            queue.settle(tx, [Settlement(self._job, outcome, seconds)])\n",
                "            self._commit()\n"
                "            self._service.store.write(\n"
                "                lambda tx: queue.settle(tx, [Settlement(self._job, outcome, seconds)])\n"
                "            )\n"
                "            return None\n",
            ),
        ),
        300,
    ),
    Variant(
        "a claim's hint is never lowered",
        (
            Edit(
                "worker/*.py", 'dialect == "sqlite" or now - self._swept > config.SWEEP_SECONDS', 'dialect == "never"'
            ),
            Edit(
                "worker/*.py",
                "        return min([after, *(sequence - 1 for _, sequence in self._lows)])",
                "        return after",
            ),
            Edit("worker/*.py", "        if self._after_hint and left.any:", "        if False:"),
            Edit("worker/*.py", "hints[:] = [(moment, min(found, sequence)) for moment, found in hints]", "pass"),
            Edit("worker/*.py", "(now, sequence if low is None else min(low, sequence))", "(now, sequence)"),
        ),
        100,
    ),
    Variant(
        "a job may ask for a retry for ever",
        (Edit(_OUTCOMES, "            if attempt >= RUNS_MAX:", "            if False:"),),
        20,
    ),
    Variant(
        "deaths of the executor are not counted",
        (Edit(_OUTCOMES, "            crashes = job.crashes + crashed\n", "            crashes = job.crashes\n"),),
        60,
    ),
    Variant(
        "a due job overtakes those before it",
        (
            Edit(
                _STATEMENTS,
                'due = "statecode = 1 AND postponeuntil IS NOT NULL AND NOT blocked AND recurrencepattern IS NULL"',
                'due = "statecode = 1 AND postponeuntil IS NOT NULL AND recurrencepattern IS NULL"',
            ),
        ),
        60,
    ),
    Variant(
        "the cursor of a chunk is committed before the chunk",
        (
            Edit(
                _CHUNKS,
                "        worked = 0\n",
                "        worked = 0\n"
                "        early = msgspec.structs.replace(self._progress, position=items[-1].position)\n"
                "        self._service.store.write(lambda tx: queue.checkpoint(tx, self._job, _cursor(early)))\n",
            ),
        ),
        300,
    ),
    Variant(
        "the cursor of a chunk is committed after the chunk",
        (
            Edit(_CHUNKS, '            self._keep(chunk, progress)\n            faults.point("chunk kept")\n', ""),
            Edit(
                _CHUNKS,
                '        faults.point("chunk committed")\n',
                '        faults.point("chunk committed")\n'
                "        self._service.store.write(lambda tx: queue.checkpoint(tx, self._job, _cursor(progress)))\n",
            ),
        ),
        300,
        quick=True,
    ),
    Variant(
        "a bulk delete takes what came after its start",
        (
            Edit(
                "pipeline/bulk_delete.py",
                'return (Condition("createdon", "le", (began.astimezone(UTC),)),) if "createdon" in table.columns else ()',
                "return ()",
            ),
        ),
        100,
    ),
    Variant(
        "a chunk does not look whether its job is still its own",
        (
            Edit(
                _CHUNKS,
                "        status = queue.fence(unit.tx, self._job.id, self._job.lease)\n",
                "        status = Status.IN_PROGRESS\n",
            ),
        ),
        300,
    ),
    Variant(
        "a schedule's run is made in another transaction than its move",
        (
            Edit(_SCHEDULES, "UPCOMING_MAX = 1_000\n", "UPCOMING_MAX = 1_000\nLATER: list[NewJob] = []\n"),
            Edit(_SCHEDULES, "    queue.insert(tx, runs)\n", "    LATER.extend(runs)\n"),
            Edit(
                "worker/due.py",
                "            found = store.write(lambda tx: schedules.promote_due(tx, postponed.BATCH))\n",
                "            found = store.write(lambda tx: schedules.promote_due(tx, postponed.BATCH))\n"
                "            from adjourn.jobs import queue\n"
                "            made, schedules.LATER[:] = schedules.LATER[:], []\n"
                "            store.write(lambda tx: queue.insert(tx, made))\n",
            ),
        ),
        40,
        quick=True,
    ),
    Variant(
        "a schedule does not wait for its last run",
        (
            Edit(
                "jobs/schedule_statements.py",
                'f"AND s.postponeuntil <= :moment{moment} AND NOT {OPEN_RUN}"',
                'f"AND s.postponeuntil <= :moment{moment}"',
            ),
            Edit(
                "store/migrations/sqlite/0023_schedules.sql",
                "CREATE UNIQUE INDEX job_one_run",
                "CREATE INDEX job_one_run",
            ),
        ),
        60,
        quick=True,
    ),
    Variant(
        "missed moments of a schedule are made up for one by one",
        (
            Edit(
                _SCHEDULES,
                "    following = timetable.following(pattern, anchor, moment)\n",
                "    due = tx.rows('SELECT postponeuntil FROM asyncoperation WHERE asyncoperationid = :id', {'id': schedule_id})\n"
                "    following = timetable.following(pattern, anchor, datetime.fromisoformat(due[0][0]))\n",
            ),
        ),
        100,
    ),
    Variant(
        "two workers may claim the same job",
        (
            Edit(
                _CLAIM,
                'f"ORDER BY j.sequence LIMIT :limit{skip}) c)',
                'f"ORDER BY j.sequence LIMIT :limit) c)',
            ),
        ),
        20,
        by="postgres",
    ),
)

HARMLESS = Variant(
    "claims begin at their hints on SQLite, too",
    (Edit("worker/*.py", 'dialect == "sqlite" or now - self._swept', 'dialect == "never" or now - self._swept'),),
    40,
)
"""Changes nothing that anybody was promised: what the checks must let through."""
UNTOUCHED = Variant("the service as it is, in a crowd", (), 3, by="postgres")
"""The simulation of the service as it is is a test of its own."""
