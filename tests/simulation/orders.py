"""Who orders long work: schedules with their runs, bulk deletes of contacts and of jobs; and what they remember of it.

Everything is told apart by its *mark*, a name that is used once: a bulk delete has the name of the contacts that it is to
delete. Nobody else deletes those, nor the jobs that it is given, so that every deletion of one is its own.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tests.simulation import handlers, victims

from adjourn import runtime
from adjourn.errors import AdjournError, InvalidRequest, InvalidStateChange, NotFound, QueryError
from adjourn.jobs import schedules
from adjourn.metadata.values import moment_text
from adjourn.pipeline.call import Call, Request
from adjourn.pipeline.record import Record
from adjourn.service import Service

SOON = (
    "FREQ=SECONDLY;COUNT=2", "FREQ=SECONDLY;INTERVAL=2;COUNT=4;", "FREQ=SECONDLY;INTERVAL=3;COUNT=2",
    "FREQ=SECONDLY;BYSECOND=0,7,14,21,28,35,42,49,56;COUNT=3",
)  # fmt: skip
"""Those whose moments all come while the world is played; nobody else would ever see the end of a recurrence."""
LATER = (
    "FREQ=DAILY;INTERVAL=3;", "FREQ=WEEKLY;BYDAY=MO,WE,FR;WKST=SU", "FREQ=MONTHLY;BYDAY=-1FR",
    "FREQ=MONTHLY;BYMONTHDAY=1,-1;BYHOUR=5;BYMINUTE=30", "FREQ=YEARLY;BYMONTH=2,11;BYMONTHDAY=17",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "FREQ=HOURLY;INTERVAL=5;BYMINUTE=0,30",
    "FREQ=MINUTELY;INTERVAL=7;BYSECOND=13", "FREQ=DAILY;UNTIL=20310401T000000Z", "FREQ=YEARLY;BYDAY=20MO",
    "FREQ=YEARLY;INTERVAL=2;BYMONTH=3;BYDAY=1SU", "FREQ=DAILY;BYHOUR=9,18;BYDAY=TU,TH",
    "FREQ=YEARLY;BYMONTHDAY=17", "FREQ=HOURLY;INTERVAL=2;COUNT=2000", "FREQ=DAILY;COUNT=100;BYDAY=MO",
    "FREQ=YEARLY;BYWEEKNO=1,20,-1;BYDAY=MO", "FREQ=YEARLY;BYYEARDAY=1,100,-1", "FREQ=MONTHLY;BYMONTH=1,6;BYDAY=2TU,-1SU",
    "FREQ=HOURLY;BYMONTH=5;BYHOUR=3", "FREQ=MINUTELY;INTERVAL=20;BYMONTHDAY=31", "FREQ=WEEKLY;INTERVAL=2;COUNT=9",
)  # fmt: skip
"""Those that began some weeks ago: one run now, for all moments that were missed, and the next one at another time."""
NONSENSE = (
    "FREQ=SOMETIMES", "FREQ=DAILY;INTERVAL=0", "FREQ=DAILY;COUNT=2;UNTIL=20310101T000000Z", "FREQ=YEARLY;BYWEEKNO=20",
    "FREQ=MONTHLY;BYYEARDAY=3", "FREQ=DAILY;BYDAY=2MO", "FREQ=MONTHLY;BYDAY=6MO", "FREQ=DAILY;BYSETPOS=1",
    "FREQ=DAILY;BYHOUR=9;BYSETPOS=2", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=DAILY;BYHOUR=24", "INTERVAL=2",
    "FREQ=DAILY;FREQ=DAILY", "FREQ=DAILY;UNTIL=tomorrow", "FREQ=DAILY;BYDAY=XX", "FREQ=DAILY;COUNT=-1", "daily", "",
    "FREQ=YEARLY;BYWEEKNO=20;BYDAY=2MO", "FREQ=DAILY;WKST=1", "FREQ=DAILY;UNTIL=20010101T000000Z",
)  # fmt: skip
"""What nobody can follow, or what never comes."""
_BEGAN = timedelta(days=40)
_UPCOMING = 3
_KEPT_WAITING = (0.0, 0.0, 2.0)


@dataclass
class Order:
    """A bulk delete that somebody wants, and what became of the wish."""

    mark: str
    contacts: list[UUID]
    """There, as was acknowledged, before it was ordered."""
    jobs: list[UUID]
    fast: bool
    """Without the steps."""
    ended_only: bool
    """"Immediately": of jobs, those that have ended."""
    id: UUID | None = None
    sent: bool = False


@dataclass
class Ordered:
    """What people remember of it, whatever happens to the processes."""

    orders: list[Order] = field(default_factory=list)
    doomed: list[UUID] = field(default_factory=list)
    """Jobs that were made to be deleted by an order."""
    patterns: list[tuple[UUID, str]] = field(default_factory=list)
    """Of schedules: those that were given to them later, as was acknowledged."""
    done: Counter[str] = field(default_factory=Counter)
    """What was done to schedules besides, and how many bulk deletes were ordered."""


class Orders:
    """All who order. deletes: how many bulk deletes are still to be ordered."""

    def __init__(self, dice: random.Random, *, deletes: int) -> None:
        self.memory = Ordered()
        self.deletes = deletes
        self._dice = dice
        self._marks = 0

    def recurrence(self) -> dict[str, Any]:
        """Options that make a job a schedule."""
        if self._dice.random() < 0.7:
            return {"recurrence": self._dice.choice(SOON)}
        return {"recurrence": self._dice.choice(LATER), "recurrence_start": runtime.now() - _BEGAN}

    def bulk_delete(self, service: Service, call: Call) -> UUID | None:
        """Contacts and jobs, then the order to delete them, then perhaps contacts that are too late for it. Its id."""
        self.deletes -= 1
        dice = self._dice
        self._marks += 1
        order = Order(f"{victims.MARK} {self._marks}", [], [], fast=dice.random() < 0.15, ended_only=False)
        self.memory.orders.append(order)
        try:
            kind = dice.choice(("contacts", "contacts", "both", "jobs"))
            if kind != "jobs":
                order.contacts = self._contacts(service, call, order.mark, dice.randint(2, 14))
            if kind != "contacts":
                order.jobs = self._jobs(service, call)
                order.ended_only = kind == "jobs" and dice.random() < 0.4
            order.sent = True
            order.id = self.send(service, call, order, recurs=not order.ended_only and dice.random() < 0.3)
            self.memory.done["bulk delete"] += 1
            runtime.sleep(dice.uniform(0, 1.0))
            if kind != "jobs" and dice.random() < 0.6:
                self._contacts(service, call, order.mark, dice.randint(1, 3))
        except AdjournError as error:
            if error.status != 503:
                raise
        return order.id

    def send(self, service: Service, call: Call, order: Order, *, recurs: bool = False) -> UUID:
        """The order itself; the id of its job."""
        job: UUID = service.execute(Request("BulkDelete", self._parameters(order, recurs=recurs)), call)["JobId"]
        return job

    def act(self, service: Service, call: Call, job: UUID) -> None:
        """Give a schedule another pattern, or ask when it is due."""
        self.memory.done[f"recurrence, {self._act(service, call, job)}"] += 1

    def _act(self, service: Service, call: Call, job: UUID) -> str:
        dice = self._dice
        try:
            if dice.random() < 0.5:
                with service.store.read() as reader:
                    schedules.in_words(reader, job)
                    schedules.upcoming(reader, job, _UPCOMING)
                return "asked"
            pattern = dice.choice((*SOON, *SOON, *LATER, *NONSENSE))
            service.client(call).update("asyncoperation", job, {"recurrencepattern": pattern})
        except (InvalidRequest, InvalidStateChange, NotFound, QueryError) as error:
            return type(error).__name__
        except AdjournError as error:
            if error.status != 503:
                raise
            return "503"
        self.memory.patterns.append((job, pattern))
        return "changed"

    def _contacts(self, service: Service, call: Call, mark: str, count: int) -> list[UUID]:
        ids = [runtime.new_id() for _ in range(count)]
        names = self._dice.choices(("quick", victims.SLOW, victims.STAYS), (8, 3, 1), k=count)
        targets = [
            Record("contact", key, {"lastname": mark, "firstname": name}) for key, name in zip(ids, names, strict=True)
        ]
        service.execute(Request("CreateMultiple", {"Targets": targets}), call)
        return ids

    def _jobs(self, service: Service, call: Call) -> list[UUID]:
        dice = self._dice
        items = []
        for number in range(dice.randint(2, 6)):
            until: datetime | None = runtime.now() + timedelta(seconds=dice.uniform(0, 12))
            pad = "x" * 1_001 if dice.random() < 0.2 else ""
            request = handlers.work.request(
                mark=f"doomed {self._marks}/{number}", pad=pad, acts=["sleep 0.3"], ends="succeed"
            )
            token = "doomed" if dice.random() < 0.3 else None
            items.append(
                (request, {"postpone_until": until if dice.random() < 0.7 else None, "dependency_token": token})
            )
        ids = service.enqueue(items, call)
        self.memory.doomed += ids
        return ids

    def _parameters(self, order: Order, *, recurs: bool) -> dict[str, Any]:
        dice = self._dice
        queries = []
        if order.contacts:
            queries.append(_query("contact", "lastname", "Equal", order.mark))
        if order.jobs:
            queries.append(_query("asyncoperation", "asyncoperationid", "In", *map(str, order.jobs)))
        return {
            "QuerySet": queries,
            "JobName": order.mark,
            "SendEmailNotification": False,
            "ToRecipients": [],
            "CCRecipients": [],
            "RecurrencePattern": dice.choice(SOON) if recurs else "",
            "StartDateTime": moment_text(runtime.now() + timedelta(seconds=dice.choice(_KEPT_WAITING))),
            "RunNow": order.ended_only,
            "Options": {"RunJobForSandbox": order.fast},
        }


def _query(table: str, column: str, operator: str, *values: str) -> dict[str, Any]:
    condition = {"AttributeName": column, "Operator": operator, "Values": [{"Value": value} for value in values]}
    return {"EntityName": table, "Criteria": {"FilterOperator": "And", "Conditions": [condition]}}
