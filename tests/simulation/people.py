"""Who uses the service: producers that enqueue and create, operators that act on jobs; and what they were told.

They are threads of the process whose service they call, so they die with it, in the middle of a call if it comes so:
then nobody knows whether it was done. What was acknowledged outlives them.
"""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from tests.proof.violations import Act, Batch
from tests.simulation import handlers, isolated_handlers
from tests.simulation.customizers import Customizers
from tests.simulation.orders import Orders

from adjourn import runtime
from adjourn.errors import AdjournError, Busy, InvalidStateChange, NotFound
from adjourn.jobs import explain
from adjourn.jobs.states import Action
from adjourn.pipeline.call import Call
from adjourn.pipeline.enqueue import encode_arguments
from adjourn.service import Service

LARGE = 1_000
"""From here on a payload goes to a file, so that a crash of files needs no megabytes."""
_TOKENLESS = 0.5
_RECURS = 0.12
_WAITS = (0.0, 0.0, 0.0, 0.0, 0.4, 3.0, 9.0)
_MESSAGES = (
    handlers.work, handlers.work, handlers.awaited_work, handlers.atomic_work, handlers.atomic_work,
    isolated_handlers.isolated_work,
)  # fmt: skip
_ENDS = (
    "succeed", "succeed", "succeed", "succeed", "succeed", "succeed", "retry", "retries", "back off", "postpone", "continue",
    "fail", "cancel", "die",
)  # fmt: skip
_CHANGES: dict[Action, dict[str, Any]] = {
    Action.CANCEL: {"statecode": 3, "statuscode": 32},
    Action.RESUME: {"statecode": 0, "statuscode": 0},
    Action.PAUSE: {"statecode": 1, "statuscode": 10},
}
_ACTIONS = (*(3 * (Action.PAUSE, Action.RESUME, Action.POSTPONE)), Action.CANCEL, Action.CANCEL, Action.DELETE)
_ON_RUNNING = (*(3 * (Action.PAUSE,)), Action.POSTPONE, Action.CANCEL, Action.CANCEL, Action.DELETE)
_RUNNING = "asyncoperations?$select=asyncoperationid&$filter=statecode eq 2&$orderby=createdon desc&$top=3"


@dataclass
class Wish:
    """A batch of jobs that somebody wants, and what became of the wish."""

    texts: tuple[str, ...]
    tokens: tuple[str | None, ...]
    parts: int
    began: float
    ended: float = 0.0
    ids: tuple[UUID, ...] | None = None

    def batch(self) -> Batch:
        return Batch(
            texts=self.texts, tokens=self.tokens, ids=self.ids, began=self.began, ended=self.ended, parts=self.parts
        )


@dataclass
class Memory:
    """What people remember, whatever happens to the processes."""

    wishes: list[Wish] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    deletions_tried: set[UUID] = field(default_factory=set)
    known: list[UUID] = field(default_factory=list)
    """Jobs of which somebody was told."""
    accounts: list[UUID] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    why: Counter[str] = field(default_factory=Counter)


class People:
    """All of them. batches, acts: how many are still to be done. pace: how much slower or faster than usual they are.

    large: how many characters of a payload go to a file; large_share: of how many jobs. orders: who orders long work;
    customizers: who changes the metadata.
    """

    def __init__(
        self,
        dice: random.Random,
        *,
        batches: int,
        acts: int,
        pace: float = 1.0,
        large: int = LARGE,
        large_share: float = 0.2,
        tokens: Sequence[str] = ("red", "green"),
        orders: Orders | None = None,
        customizers: Customizers | None = None,
    ) -> None:
        self.memory = Memory()
        self.batches = batches
        self.acts = acts
        self._dice = dice
        self._pace = pace
        self._large = large
        self._large_share = large_share
        self._tokens = tokens
        self._orders = orders
        self._customizers = customizers
        self._marks = 0

    @property
    def done(self) -> bool:
        return self.batches <= 0 and (self.acts <= 0 or not self.memory.known)

    def produce(self, service: Service) -> None:
        """One producer."""
        while self.batches > 0:
            self.batches -= 1
            self.enqueue(service)
            if self._dice.random() < 0.4:
                self._create(service)
            if self._orders is not None and self._orders.deletes > 0 and self._dice.random() < 0.5:
                job = self._orders.bulk_delete(service, self._call(service))
                self.memory.known += [job] if job is not None else []
            if self._customizers is not None and self._customizers.changes > 0:
                self._customizers.change(service, self._call(service))
            runtime.sleep(self._dice.uniform(0, 1.5) * self._pace)

    def operate(self, service: Service) -> None:
        """One operator."""
        while self.acts > 0:
            runtime.sleep(self._dice.uniform(0, 0.8) * self._pace)
            if self.memory.known:
                self.acts -= 1
                self.act(service)
            elif self.batches <= 0:
                return

    def read_slowly(self, service: Service) -> None:
        """Somebody whose view of the data is old before he goes on; it may be taken from him, then he asks again."""
        while not self.done:
            runtime.sleep(self._dice.uniform(0, 4))
            with contextlib.suppress(Busy), service.store.read() as reader:
                for row in reader.stream("SELECT statecode FROM asyncoperation ORDER BY sequence"):
                    assert row[0] in (0, 1, 2, 3)
                    runtime.sleep(self._dice.choice((0.0, 0.0, 7.0)))

    def enqueue(self, service: Service) -> None:
        """One batch, in one transaction; once more when the service is busy."""
        dice = self._dice
        message = dice.choice(_MESSAGES)
        writes = dice.randint(0, 3)
        items = []
        for _ in range(dice.randint(1, 4)):
            self._marks += 1
            acts = self._script(writes, isolated=message is isolated_handlers.isolated_work)
            pad = "x" * (self._large + 1 if dice.random() < self._large_share else 0)
            request = message.request(mark=f"mark {self._marks}", pad=pad, acts=acts, ends=dice.choice(_ENDS))
            wait = dice.choice(_WAITS) * self._pace
            until = runtime.now() + timedelta(seconds=wait) if wait else None
            token = None if dice.random() < _TOKENLESS else dice.choice(self._tokens)
            options = {"dependency_token": token, "postpone_until": until}
            if self._orders is not None and dice.random() < _RECURS:
                options |= self._orders.recurrence()
            items.append((request, options))
        wish = Wish(
            texts=tuple(encode_arguments(request) for request, _ in items),
            tokens=tuple(options["dependency_token"] for _, options in items),
            parts=writes if message is handlers.atomic_work else 0,
            began=runtime.monotonic(),
        )
        self.memory.wishes.append(wish)
        try:
            wish.ids = tuple(service.enqueue(items, self._call(service)))
        except AdjournError as error:
            if error.status != 503:
                raise
            self.memory.refused["enqueue"] += 1
            return  # not there, or there unknown to us: never enqueued again, because texts are unique
        wish.ended = runtime.monotonic()
        self.memory.known.extend(wish.ids)

    def act(self, service: Service) -> None:
        """Something done to a job that somebody was told of; a question among it."""
        dice, memory = self._dice, self.memory
        client = service.client(self._call(service))
        job = dice.choice(memory.known[-8:] if dice.random() < 0.8 else memory.known)
        action = dice.choice(_ACTIONS)
        if dice.random() < 0.5:
            known = {*memory.known}
            running = [found.id for found in client.retrieve_multiple(_RUNNING) if found.id in known]
            if running and running[0] is not None:
                job, action = running[0], dice.choice(_ON_RUNNING)
        if dice.random() < 0.15:
            self._ask(service, job)
            return
        if self._orders is not None and dice.random() < 0.3:
            schedule = self._schedule(service)
            if schedule is not None and dice.random() < 0.5:
                self._orders.act(service, self._call(service), schedule)
                return
            job = schedule or job
        self._do(service, action, job)
        if dice.random() < 0.3:  # somebody else, or the same one again, before anything has come of it
            self._do(service, dice.choice(_ON_RUNNING), job)

    def _do(self, service: Service, action: Action, job: UUID) -> None:
        dice, memory = self._dice, self.memory
        client = service.client(self._call(service))
        try:
            if action is Action.DELETE:
                memory.deletions_tried.add(job)
                client.delete("asyncoperation", job)
                memory.deletions_tried.discard(job)
            elif action is Action.POSTPONE:
                until = runtime.now() + timedelta(seconds=dice.choice((-1.0, 0.5, 2.0, 12.0)) * self._pace)
                client.update("asyncoperation", job, {"postponeuntil": until})
            else:
                client.update("asyncoperation", job, _CHANGES[action])
        except (InvalidStateChange, NotFound, Busy) as error:
            memory.refused[f"{action}: {type(error).__name__}"] += 1
            return
        except AdjournError as error:
            if error.status != 503:
                raise
            memory.refused[f"{action}: 503"] += 1
            return
        memory.acts.append(Act(action, job))

    def _schedule(self, service: Service) -> UUID | None:
        """One that somebody was told of and that goes on; from now on people know the open runs of all, too."""
        sql = "SELECT asyncoperationid, scheduleid FROM asyncoperation WHERE {} IS NOT NULL AND statecode < 3 ORDER BY sequence"
        with service.store.read() as reader:
            known = {*map(str, self.memory.known)}
            schedules = [row[0] for row in reader.rows(sql.format("recurrencepattern")) if row[0] in known]
            runs = [row[0] for row in reader.rows(sql.format("scheduleid")) if row[0] not in known]
        self.memory.known += map(UUID, runs)
        return UUID(self._dice.choice(schedules)) if schedules else None

    def _create(self, service: Service) -> None:
        client = service.client(self._call(service))
        try:
            account = client.create("account", {"name": "an account"})
        except AdjournError as error:
            if error.status != 503:
                raise
            self.memory.refused["create"] += 1
            return
        self.memory.accounts.append(account)
        jobs = client.retrieve_multiple(
            f"asyncoperations?$select=asyncoperationid&$filter=_regardingobjectid_value eq {account}"
        )
        self.memory.known.extend(found.id for found in jobs if found.id is not None)

    def _ask(self, service: Service, job: UUID) -> None:
        try:
            with service.store.read() as reader:
                sentence = explain.why(reader, job, service.store)
                explain.story(reader, job)
                explain.progress(reader, job)
        except NotFound:
            return
        self.memory.why[" ".join(sentence.split()[:3])] += 1

    def _script(self, writes: int, *, isolated: bool) -> list[str]:
        dice = self._dice
        acts = ["write"] * writes
        for act in ("checkpoint", "checkpoint", "progress", "look", "sleep", "sleep", "enqueue"):
            if dice.random() < 0.3:
                seconds = dice.choice((0.01, 0.2, 1.0, 1.0, 9.0 if isolated or dice.random() < 0.2 else 0.5))
                acts.append(f"sleep {seconds}" if act == "sleep" else act)
        dice.shuffle(acts)
        return acts

    @staticmethod
    def _call(service: Service) -> Call:
        return Call(caller=service.administrator())
