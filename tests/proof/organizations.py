"""A real organization beside the reference model: the same operations, on the surface that is asked for.

Python is `Organization`'s methods, HTTP a real server on a socket, the command line its commands in this process. The
clock stands still unless the model's moves: on PostgreSQL, too, whose own clock is the one thing that is replaced.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from unittest import mock
from uuid import UUID

import httpx
from click.testing import CliRunner
from tests.proof import audit, reference_plugins
from tests.proof.reference import FAILED_CODE, Ended, Held, Job, Refused, Wanted

from adjourn import runtime
from adjourn.cli import adjourn as command
from adjourn.errors import AdjournError
from adjourn.jobs import postponed, queue
from adjourn.jobs.model import (
    Canceled,
    ClaimedJob,
    Continue,
    Failed,
    Outcome,
    Postpone,
    Released,
    Retry,
    Settlement,
    Succeeded,
)
from adjourn.pipeline.call import Call
from adjourn.runtime.threads import ThreadRuntime
from adjourn.service import Service
from adjourn.store.postgres_connections import Begun, Connections
from adjourn.webapi.app import create_app
from adjourn.webapi.server import run
from adjourn.worker import calls
from adjourn.worker.inline import drain

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
PYTHON, HTTP, COMMAND = "Python", "HTTP", "the command line"
SURFACES = (PYTHON, HTTP, COMMAND)
_TOKEN = "the administrator's token"
_CHANGES: Mapping[str, Mapping[str, Any]] = {
    "cancel": {"statecode": 3, "statuscode": 32},
    "resume": {"statecode": 0, "statuscode": 0},
    "pause": {"statecode": 1, "statuscode": 10},
}
_TABLES = ("jobhistory", "asyncoperationtext", "fileattachment", "asyncoperation", "account", "proofaudit")
_COLUMNS = (
    "CAST(j.asyncoperationid AS text), j.operationtype, j.dependencytoken, j.statuscode, j.postponeuntil, j.waitreason, "
    "j.blocked, j.retrycount, j.crashes, j.cursor, j.errorcode, j.startedon, j.completedon, j.progresstext, "
    "j.progresspercent, j.lease IS NOT NULL, j.modifiedon"
)


class Clock(ThreadRuntime):
    """Time as the model says; back-off without its spread, so that the model can tell when it ends."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self._even = _Even()

    def timestamp(self) -> float:
        return EPOCH.timestamp() + self.seconds

    def random(self) -> random.Random:
        return self._even


class _Even(random.Random):
    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


@contextmanager
def standing_still(clock: Clock) -> Iterator[None]:
    """Let the clock be that of everything in this process, and of PostgreSQL's transactions."""
    begin = Connections.begin

    def at_the_moment(connections: Connections, text: str, *, numbered: bool) -> Begun:
        return begin(connections, text, numbered=numbered)._replace(now=runtime.now())

    with runtime.use(clock), mock.patch.object(Connections, "begin", at_the_moment):
        yield


class Twin:
    """One organization on one store. ids: its jobs by their numbers in the model."""

    def __init__(self, url: str) -> None:
        self._stack = ExitStack()
        self.service = Service.open(url)
        self._stack.callback(self.service.close)
        self.store = self.service.store
        self.service.register(reference_plugins.__name__)
        audit.begin(self.store)
        self._org = self.service.client(Call(caller=self.service.administrator()))
        server = run(create_app(self.service, _TOKEN), "127.0.0.1", 0)
        self._stack.callback(server.stop)
        self._http = self._stack.enter_context(
            httpx.Client(
                base_url=f"http://127.0.0.1:{server.port}/api/data/v9.2/",
                headers={"Authorization": f"Bearer {_TOKEN}"},
                timeout=30,
            )
        )
        self.clear()

    def clear(self) -> None:
        """Be as new, but for the registrations."""
        for table in _TABLES:
            self.store.write(lambda tx, table=table: tx.execute(f"DELETE FROM {table}"))
        self.ids: dict[int, UUID] = {}
        self._claimed: dict[Held, ClaimedJob] = {}
        self.worker = runtime.new_id()
        self.store.hold_worker(self.worker, "host", 1)

    def close(self) -> None:
        self._stack.close()

    # The same operations as the model's

    def enqueue(self, surface: str, numbers: Sequence[int], wanted: Sequence[Wanted]) -> None:
        if surface == HTTP:
            (only,) = wanted
            body = {"MessageName": "ends", "InputParameters": {"how": only.does}}
            if only.token is not None:
                body["DependencyToken"] = only.token
            if only.wait is not None:
                body["PostponeUntil"] = _text(_whole(only.wait))
            ids = [UUID(self._asked("POST", "ExecuteAsync", body).json()["AsyncJobId"])]
        else:
            items = []
            for found in wanted:
                options: dict[str, Any] = {"dependency_token": found.token}
                if found.wait is not None:
                    options["postpone_until"] = _whole(found.wait)
                items.append((reference_plugins.ends.request(how=found.does), options))
            ids = self._org.enqueue_many(items)
        self.ids.update(zip(numbers, ids, strict=True))

    def create_account(self, surface: str, numbers: Sequence[int]) -> None:
        if surface == HTTP:
            self._asked("POST", "accounts", {"name": "Contoso"})
        else:
            self._org.create("account", {"name": "Contoso"})
        with self.store.read() as reader:
            sql = "SELECT CAST(asyncoperationid AS text) FROM asyncoperation ORDER BY sequence DESC"
            newest = [UUID(row[0]) for row in reader.rows(sql)][: len(numbers)]
        self.ids.update(zip(numbers, reversed(newest), strict=True))

    def claim(self, kinds: Sequence[int], limit: int, expected: Sequence[Held]) -> list[UUID]:
        take = partial(queue.claim, operation_types=kinds, limit=limit, worker=str(self.worker))
        claimed = self.store.write(take)
        self._claimed.update(zip(expected, claimed, strict=False))
        return [job.id for job in claimed]

    def checkpoint(self, held: Held, cursor: str, text: str | None, percent: int | None) -> int | None:
        with _refusals():
            return calls.checkpoint(self.service, self._claimed[held], cursor, text, percent)

    def settle(self, ended: Sequence[tuple[Held, Ended]]) -> list[UUID]:
        settlements = [Settlement(self._claimed[held], self._outcome(how), 1.5) for held, how in ended]
        return self.store.write(partial(queue.settle, settlements=settlements)).accepted

    def rescue(self) -> int:
        return self.store.write(partial(queue.rescue, dead=[str(self.worker)]))

    def promote_due(self) -> int:
        return self.store.write(postponed.promote)[0]

    def drain(self) -> int:
        return drain(self.service)

    def act(self, surface: str, action: str, job: UUID, seconds: float = 0.0) -> None:
        """cancel, resume, pause, postpone or delete. Raises Refused."""
        until = _whole(seconds)
        values = _CHANGES.get(action, {"postponeuntil": until})
        if surface == COMMAND:
            self._commanded(action, str(job), *([_text(until)] if action == "postpone" else []))
        elif surface == HTTP and action == "delete":
            self._asked("DELETE", f"asyncoperations({job})")
        elif surface == HTTP:
            body = {name: _text(value) if isinstance(value, datetime) else value for name, value in values.items()}
            self._asked("PATCH", f"asyncoperations({job})", body)
        else:
            with _refusals():
                if action == "delete":
                    self._org.delete("asyncoperation", job)
                else:
                    self._org.update("asyncoperation", job, values)

    # What there is to see

    def seen(self, surface: str, job: UUID) -> tuple[Any, ...]:
        """A job's state, status, moment and retries as a surface tells them; and its version, where it does. Raises Refused."""
        names = ("statecode", "statuscode", "postponeuntil", "retrycount")
        if surface == HTTP:
            found = self._asked("GET", f"asyncoperations({job})?$select={','.join(names)}").json()
            until = found["postponeuntil"]
            version = int(found["@odata.etag"].removeprefix('W/"').removesuffix('"'))
            moment = until and datetime.fromisoformat(until)
            return found["statecode"], found["statuscode"], moment, found["retrycount"], version
        if surface == COMMAND:
            lines = {line[:28].strip(): line[28:] for line in self._commanded("show", str(job)).splitlines()}
            until = lines.get("postponeuntil")
            moment = datetime.fromisoformat(until).replace(tzinfo=UTC) if until else None
            state, status = (int(lines[name].split()[0]) for name in ("statecode", "statuscode"))  # "1 Suspended"
            return state, status, moment, int(lines["retrycount"])
        with _refusals():
            record = self._org.retrieve("asyncoperation", job, names)
        return tuple(record[name] for name in names)

    def counts(self, surface: str) -> dict[tuple[int, int], int]:
        """How many jobs there are by state and status."""
        if surface == HTTP:
            path = "asyncoperations?$apply=groupby((statecode,statuscode),aggregate($count as n))"
            rows = self._asked("GET", path).json()["value"]
        else:
            rows = [
                record.values
                for record in self._org.retrieve_multiple(
                    "<fetch aggregate='true'><entity name='asyncoperation'><attribute name='statecode' alias='statecode' "
                    "groupby='true'/><attribute name='statuscode' alias='statuscode' groupby='true'/>"
                    "<attribute name='asyncoperationid' alias='n' aggregate='count'/></entity></fetch>"
                )
            ]
        return {(row["statecode"], row["statuscode"]): row["n"] for row in rows}

    def standing(self) -> list[tuple[Any, ...]]:
        """Everything that the model knows of each job, in the order of the queue."""
        with self.store.read() as reader:
            rows = reader.rows(f"SELECT j.sequence, {_COLUMNS} FROM asyncoperation j ORDER BY j.sequence")
            told: dict[int, list[tuple[Any, ...]]] = {}
            history = "SELECT jobsequence, event, fromstatus, tostatus FROM jobhistory ORDER BY jobsequence, number"
            for sequence, *entry in reader.rows(history):
                told.setdefault(sequence, []).append(tuple(entry))
        return [(*(_plain(value) for value in row[1:]), told.get(row[0], [])) for row in rows]

    def modelled(self, job: Job) -> tuple[Any, ...]:
        """What `standing` should have for a job of the model."""
        code = job.error - (1 << 32) if job.error is not None else None
        return (
            str(self.ids[job.number]), job.kind, job.token, job.status, _moment(job.until), job.reason, job.blocked,
            job.retries, job.crashes, job.cursor, code, _moment(job.started), _moment(job.completed), *job.progress,
            job.held is not None, _moment(job.modified), job.told,
        )  # fmt: skip

    # Inside

    def _outcome(self, how: Ended) -> Outcome:
        match how.kind:
            case "succeeded":
                return Succeeded()
            case "failed":
                return Failed(FAILED_CODE, "no", "no")
            case "retry":
                return Retry("again", how.seconds)
            case "postpone":
                return Postpone(runtime.now() + timedelta(seconds=how.seconds or 0.0))
            case "continue":
                return Continue(how.cursor)
            case "canceled":
                return Canceled()
        return Released(how.kind == "crashed", "as it was told")

    def _asked(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        answer = self._http.request(method, path, json=body)
        if answer.is_error:
            raise Refused(int(answer.json()["error"]["code"], 16))
        return answer

    def _commanded(self, *arguments: str) -> str:
        @contextmanager
        def opened(database: str) -> Iterator[Service]:
            yield self.service  # not anew for each command: that the commands open a database is tested elsewhere

        with mock.patch("adjourn.cli.jobs.opened", opened):
            answer = CliRunner().invoke(command, ["jobs", *arguments, "--database", self.store.url])
        if isinstance(answer.exception, AdjournError):
            raise Refused(answer.exception.code)
        assert answer.exit_code == 0, answer.output
        return answer.output


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except AdjournError as error:
        raise Refused(error.code) from error


def refused(action: Callable[[], Any]) -> int | None:
    """The code with which something was refused; None: it was done."""
    try:
        action()
    except Refused as error:
        return error.code
    return None


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else EPOCH + timedelta(seconds=seconds)


def _plain(value: Any) -> Any:
    if isinstance(value, str) and len(value) == 27 and value.endswith("Z"):
        return datetime.fromisoformat(value)
    return value


def _whole(seconds: float) -> datetime:
    """Some seconds from now, in whole ones, as the model's `moment`."""
    return (runtime.now() + timedelta(seconds=seconds)).replace(microsecond=0)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
