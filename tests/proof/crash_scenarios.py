"""What a process does until it is killed: every verb of the queue once or more, each under the name of its stage.

Each step is written into a journal before it is done and again when it has been acknowledged, so that whoever comes
after the kill knows what was promised. Nothing here is random: a scenario meets the same fault points in the same order.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.proof import crash_plugins as plugins

from adjourn import Organization, config, runtime
from adjourn.jobs import postponed, queue
from adjourn.jobs.model import REQUEST, ClaimedJob, Continue, Failed, Outcome, Postpone, Retry, Settlement, Succeeded
from adjourn.jobs.states import Action
from adjourn.pipeline.declare import Message
from adjourn.pipeline.enqueue import encode_arguments
from adjourn.worker import calls
from adjourn.worker.supervisor import Supervisor

ADMIN = UUID(config.ADMIN_USER_ID)
LARGE = 1_000
"""From here on a payload goes to a file, so that a crash of files needs no megabytes."""
_CHANGES: dict[Action, dict[str, Any]] = {
    Action.CANCEL: {"statecode": 3, "statuscode": 32},
    Action.RESUME: {"statecode": 0, "statuscode": 0},
    Action.PAUSE: {"statecode": 1, "statuscode": 10},
}
_DUE_SECONDS = 0.03
_WAIT_SECONDS_MAX = 30.0


class Teller:
    """A process that does things and keeps the journal. stage: told whenever another part of the scenario begins."""

    def __init__(self, org: Organization, journal: Path, stage: Callable[[str], None]) -> None:
        self.org = org
        self.store = org.service.store
        self.stage = stage
        self._journal = open(journal, "a", buffering=1)  # noqa: SIM115 - the process's own, until it is killed
        self.key = f"{runtime.new_id()}"
        """Of this process, in every text and token: one database lives through many of them."""
        self._number = 0
        self.worker = runtime.new_id()

    def enqueue(self, *given: tuple[Message[..., Any], str, dict[str, Any]]) -> list[UUID]:
        """Messages with their marks and options; a token and a mark are this process's own."""
        wanted = [(message.request(mark=f"{mark} {self.key}"), self._own(options)) for message, mark, options in given]
        texts = [encode_arguments(request) for request, _ in wanted]
        tokens = [options.get("dependency_token") for _, options in wanted]
        parts = plugins.PARTS if wanted[0][0].message == "writes" else 0
        number = self.tried(kind="batch", texts=texts, tokens=tokens, parts=parts)
        ids = self.org.enqueue_many(wanted)
        self.done(number, ids=[str(job) for job in ids])
        return ids

    def _own(self, options: dict[str, Any]) -> dict[str, Any]:
        token = options.get("dependency_token")
        return options | ({"dependency_token": f"{token} {self.key}"} if token else {})

    def act(self, action: Action, job: UUID, **more: Any) -> None:
        number = self.tried(kind="act", action=action, job=str(job))
        if action is Action.DELETE:
            self.org.delete("asyncoperation", job)
        else:
            self.org.update("asyncoperation", job, _CHANGES.get(action, {}) | more)
        self.done(number)

    def create(self, name: str) -> UUID:
        name = f"{name} {self.key}"
        number = self.tried(kind="change", name=name)
        record = self.org.create("account", {"name": name})
        self.done(number, id=str(record))
        return record

    def claim(self, limit: int) -> list[ClaimedJob]:
        take = partial(queue.claim, operation_types=[REQUEST], limit=limit, worker=str(self.worker))
        return self.store.write(take)

    def settle(self, *ended: tuple[ClaimedJob, Outcome]) -> None:
        successes = [(str(job.id), job.lease) for job, outcome in ended if isinstance(outcome, Succeeded)]
        number = self.tried(kind="settle", successes=successes)
        settlements = [Settlement(job, outcome, 0.1) for job, outcome in ended]
        settled = self.store.write(partial(queue.settle, settlements=settlements))
        assert settled.refused == []
        self.done(number)

    def tried(self, **what: Any) -> str:
        """Something is about to be done; its number, for `done`."""
        self._number += 1
        number = f"{self.key} {self._number}"
        self._write({"tried": number, **what})
        return number

    def done(self, number: str, **answer: Any) -> None:
        """It was acknowledged."""
        self._write({"done": number, **answer})

    def _write(self, line: dict[str, Any]) -> None:
        self._journal.write(json.dumps({"moment": runtime.monotonic(), **line}) + "\n")


def verbs(tell: Teller) -> None:
    """In one thread, and handlers inline: each verb by itself, then whole runs."""
    plain, writes, again = plugins.plain, plugins.writes, plugins.again
    tell.stage("atomic")
    tell.enqueue((writes, "first", {}))
    tell.org.drain()
    tell.stage("enqueue")
    red = {"dependency_token": "red"}
    first = tell.enqueue((plain, "a", red), (plain, "b", red), (plain, "c", {}), (plain, "d", red))
    tell.enqueue((plain, "e", red))
    soon = {"postpone_until": runtime.now() + timedelta(seconds=_DUE_SECONDS)}
    tell.enqueue((plain, "due", soon), (plain, "due after its token", {**soon, **red}))
    tell.stage("offload")
    large = tell.enqueue((plain, "f" * 2 * LARGE, {}), (plain, "g" * 2 * LARGE, {"dependency_token": "blue"}))
    tell.stage("change")
    tell.create("caused one")
    tell.stage("claim")
    tell.store.hold_worker(tell.worker, "host", 1)
    claimed = tell.claim(4)
    tell.stage("checkpoint")
    for job in claimed[:2]:
        calls.checkpoint(tell.org.service, job, "half", "half way", 50)
    tell.stage("pause")
    tell.act(Action.PAUSE, claimed[1].id)
    tell.stage("settle")
    tell.settle((claimed[0], Succeeded()), (claimed[1], Continue("half")))
    rest = tell.claim(4)
    tell.settle(
        (claimed[2], Retry("again", 0.0)), (claimed[3], Postpone(runtime.now())), (rest[0], Failed(1, "no", "no"))
    )
    tell.stage("resume")
    tell.act(Action.RESUME, claimed[1].id)
    tell.stage("promote")
    runtime.sleep(_DUE_SECONDS)
    tell.store.write(postponed.promote)
    tell.stage("cancel")
    tell.act(Action.CANCEL, first[3])
    running = tell.claim(1)[0]
    tell.act(Action.CANCEL, running.id)
    tell.settle((running, Continue("")))
    tell.stage("postpone")
    later = tell.enqueue(
        (plain, "later", {"dependency_token": "green"}), (plain, "behind it", {"dependency_token": "green"})
    )
    tell.act(Action.POSTPONE, later[0], postponeuntil=runtime.now() + timedelta(seconds=_DUE_SECONDS))
    tell.stage("delete")
    tell.act(Action.DELETE, large[0])
    tell.act(Action.DELETE, later[0])
    tell.stage("rescue")
    tell.enqueue((plain, "rescued", {}))
    tell.claim(1)
    tell.store.write(partial(queue.rescue, dead=[str(tell.worker)]))
    tell.stage("sweep")
    forget_file(tell)
    tell.store.sweep_files(runtime.now())
    tell.stage("run")
    tell.enqueue((writes, "h", red), (writes, "i", red))
    tell.enqueue((again, "j", red), (again, "k", {}))
    tell.org.drain()
    tell.store.release_worker(tell.worker)


def workers(tell: Teller) -> None:
    """With a supervisor and a real executor process."""
    plain, writes, again = plugins.plain, plugins.writes, plugins.again
    red = {"dependency_token": "red"}
    tell.stage("workers")
    supervisor = Supervisor(tell.org.service, processes=1, concurrency=2)
    supervisor.start()
    tell.enqueue((plain, "a", red), (plain, "b", red), (plain, "c", {}))
    tell.enqueue((writes, "d", red), (writes, "e", {}))
    tell.enqueue((again, "f", red), (plain, "g" * 2 * LARGE, {}))
    tell.create("caused by workers")
    until_completed(tell)
    supervisor.stop()


def executors(tell: Teller, point: str, marker: Path) -> None:
    """An executor that dies by itself at one of its own fault points, and a service that lives on."""
    os.environ[plugins.DIE_AT] = f"{point}|{marker}"
    supervisor = Supervisor(tell.org.service, processes=1, concurrency=1)
    supervisor.start()
    red = {"dependency_token": "red"}
    tell.enqueue((plugins.dies_later, "a", red), (plugins.plain, "b", red))
    tell.enqueue((plugins.writes, "c", red))
    until_completed(tell)
    assert marker.exists(), f"no executor came to {point}"
    supervisor.stop()


def until_completed(tell: Teller) -> None:
    """Wait until none of this process's own jobs is open; an earlier one may have left a paused one."""
    until = runtime.monotonic() + _WAIT_SECONDS_MAX
    while _open_jobs(tell):
        assert runtime.monotonic() < until, "the jobs do not come to an end"
        runtime.sleep(0.02)


def _open_jobs(tell: Teller) -> int:
    with tell.store.read() as reader:
        sql = "SELECT count(*) FROM asyncoperation WHERE statecode IN (0, 2) OR statecode = 1 AND waitreason <> 'paused' AND NOT blocked"
        return int(reader.rows(sql)[0][0])


def forget_file(tell: Teller) -> None:
    """A content that nothing mentions, as a crash leaves it."""
    with tell.store.transaction("forget") as tx:
        tx.write_file(runtime.new_id(), b"forgotten")
