"""What row security costs: pages of 100,000 rows at each depth, on both databases. `python -m benchmarks.security` writes the
table in docs/security.md."""

from __future__ import annotations

import random
import re
import statistics
import sys
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.support import postgres, roles

from adjourn import runtime
from adjourn.jobs import queue
from adjourn.metadata.values import moment_text
from adjourn.pipeline.call import Call
from adjourn.query.compile import compile
from adjourn.query.security import Caller
from adjourn.service import Service, parse_query
from adjourn.store.contract import Transaction
from benchmarks.measure import folder

ROWS = 100_000
OWNERS, UNITS, ROUNDS = 100, 10, 9
QUESTIONS = {
    "first page of accounts": "accounts?$select=name&$top=50",
    "… by name": "accounts?$select=name&$orderby=name&$top=50",
    "number of accounts": "accounts?$apply=aggregate($count as n)",
    "newest jobs": "asyncoperations?$select=name&$orderby=createdon desc&$top=50",
    "… of one state": "asyncoperations?$select=name&$filter=statecode eq 3&$orderby=createdon desc&$top=50",
}
DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "security.md"
START, END = "<!-- cost -->", "<!-- /cost -->"


def fill(service: Service) -> list[UUID]:
    """Accounts and finished jobs of a hundred users in ten units; the first four are those who will ask."""
    org = service.client(Call(caller=service.administrator()))
    units = [roles.unit(org, f"unit {number}") for number in range(UNITS)]
    owners = [(roles.user(org, f"user{n}", units[n % UNITS], roles=()), units[n % UNITS]) for n in range(OWNERS)]
    roles.team(org, "a team", [owners[1][0]], units[1])
    for (user, _), depth in zip(owners, (roles.BASIC, roles.BASIC, roles.LOCAL, roles.DEEP), strict=False):
        held = roles.everything("Account", depth) | roles.everything("AsyncOperation", depth)
        role = roles.role(org, f"role of {user}", held)
        org.associate("systemuser", user, "systemuserroles_association", [("role", role)])
    chance = random.Random(1)
    moment = moment_text(runtime.now())
    for start in range(0, ROWS, 5_000):
        accounts: list[dict[str, Any]] = []
        jobs: list[dict[str, Any]] = []
        for number in range(start, start + 5_000):
            user, unit = chance.choice(owners)
            owned = {"ownerid": str(user), "owneridtype": "systemuser", "owningbusinessunit": str(unit)}
            accounts.append({"accountid": str(runtime.new_id()), "name": f"account {number}", **owned})
            jobs.append({
                "asyncoperationid": str(runtime.new_id()), "operationtype": 1, "name": "job", "messagename": "Update",
                "createdby": str(user), "modifiedby": str(user), "createdon": moment_text(runtime.now()), "modifiedon": moment,
                "startedon": moment, "completedon": moment, "executiontimespan": 0.5, "statecode": 3, "statuscode": 30,
                "owninguser": str(user), "datablobid": None, **owned,
            })  # fmt: skip
        texts = [{"id": job["asyncoperationid"], "data": "{}", "message": None} for job in jobs]
        names = list(accounts[0])
        into = f"INSERT INTO account ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)})"

        def unit_of_work(
            tx: Transaction, accounts: Any = accounts, jobs: Any = jobs, texts: Any = texts, into: str = into
        ) -> None:
            for row in accounts:
                tx.execute(into, row)
            queue.load_history(tx, jobs, texts)

        service.store.write(unit_of_work)
    if service.store.dialect == "postgres":
        for table in ("account", "asyncoperation"):
            service.store.write(lambda tx, table=table: tx.execute(f"ANALYZE {table}"))  # type: ignore[misc]
    return [user for user, _ in owners[:4]]


def measured(service: Service, caller: Caller, question: str) -> str:
    """Milliseconds in the middle of several rounds, and the order in which rows were looked at."""
    query, took = parse_query(question, service.catalog), []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        service.retrieve_multiple(query, Call(caller=caller))
        took.append((time.perf_counter() - start) * 1000)
    with service.store.read() as reader:
        plan = compile(query, service.catalog, caller, reader.dialect, reader.now)
        explain = "EXPLAIN" if reader.dialect == "postgres" else "EXPLAIN QUERY PLAN"
        text = "\n".join(str(row[-1]) for row in reader.rows(f"{explain} {plan.sql}", plan.parameters))
    sorts = "TEMP B-TREE FOR ORDER BY" in text or "Sort  (" in text
    index = re.search(r"\b(owner_account|job_owner|job_created)\b", text)
    way = index[1] if index else "every row" if sorts or "$apply" in question else "key"
    return f"{statistics.median(took):.2f} ms, {way}"


def table(name: str, service: Service) -> list[str]:
    first = fill(service)
    callers = dict(zip(("Basic", "Basic, in a team", "Local", "Deep"), map(service.caller, first), strict=True))
    callers["administrator"] = service.administrator()
    lines = [f"| {name} | {' | '.join(callers)} |", f"|---|{'---|' * len(callers)}"]
    for what, question in QUESTIONS.items():
        cells = [measured(service, caller, question) for caller in callers.values()]
        lines.append(f"| {what} | {' | '.join(cells)} |")
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


def main() -> None:
    with folder() as scratch:
        service = Service.open(f"sqlite:///{scratch}/security.db")
        lines = table("SQLite", service)
        service.close()
    cluster = postgres.cluster()
    name = cluster.create()
    service = Service.open(cluster.url_of(name))
    try:
        lines += ["", *table("PostgreSQL", service)]
    finally:
        service.close()
        cluster.drop(name)
    text = DOCUMENT.read_text()
    before, after = text[: text.index(START) + len(START)], text[text.index(END) :]
    DOCUMENT.write_text("\n".join([before, *lines, after]))


if __name__ == "__main__":
    main()
