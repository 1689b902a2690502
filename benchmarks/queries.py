"""Reading: a page of 5,000 jobs over HTTP's renderer against its bare statement, and the specification's counting queries."""

from __future__ import annotations

import random
import statistics
import time
from typing import Any

from adjourn import config, runtime
from adjourn.jobs import queue
from adjourn.metadata.values import moment_text
from adjourn.pipeline.call import Call
from adjourn.query import fetchxml, odata_options
from adjourn.query.compile import compile
from adjourn.query.tree import Query
from adjourn.runtime import memory
from adjourn.service import Service
from benchmarks.measure import Figure, folder

JOBS = 1_000_000
_PAIRS = ((0, 0), (1, 10), (3, 30), (3, 30), (3, 30), (3, 31), (3, 32))
_TYPES = (1, 1, 1, 10, 13, 54, 54)
COLUMNS = (
    "asyncoperationid,completedon,createdon,data,dependencytoken,depth,errorcode,executiontimespan,friendlymessage,"
    "iswaitingforevent,message,messagename,modifiedon,name,operationtype,_ownerid_value,postponeuntil,primaryentitytype,"
    "recurrencepattern,recurrencestarttime,_regardingobjectid_value,retrycount,sequence,startedon,statecode,"
    "utcconversiontimezonecode,workflowstagename"
)
GROUPS = "groupby((statecode,statuscode,operationtype),aggregate($count as count))"
COUNTING = {
    "02 by state, status and type": GROUPS,
    "03 suspended": f"filter((statecode eq 1))/{GROUPS}",
    "04 workflows": f"filter((operationtype eq 10))/{GROUPS}",
    "05 waiting for resources": f"filter((statecode eq 0 and statuscode eq 0))/{GROUPS}",
    "06 in file storage": "filter((datablobid ne null))/aggregate($count as FileStorageCount)",
    "07 not in file storage": "filter((datablobid eq null))/aggregate($count as DBCount)",
}
FETCH_09 = (
    "<fetch aggregate='true'><entity name='asyncoperation'><attribute name='owningextensionid' alias='owningextension' groupby='true'/>"
    "<attribute name='statecode' alias='statecode' groupby='true'/><attribute name='statuscode' alias='statuscode' groupby='true'/>"
    "<attribute name='operationtype' alias='operationtype' groupby='true'/><link-entity name='fileattachment' to='datablobid' "
    "from='fileattachmentid' alias='fileattachment' link-type='inner'><attribute name='filesizeinbytes' alias='TotalSize' "
    "aggregate='sum'/><attribute name='filesizeinbytes' alias='RecordCount' aggregate='count'/><filter><condition "
    "attribute='objectidtypecode' operator='eq' value='4700'/></filter><order alias='TotalSize' descending='true'/></link-entity>"
    "</entity></fetch>"
)
NAMES_08 = "filter((datablobid ne null))/groupby((operationtype,name,friendlymessage),aggregate($count as jobs))"


def history(service: Service, jobs: int) -> None:
    """Jobs in many states, as brought in from elsewhere."""
    chance = random.Random(1)
    user, unit = config.ADMIN_USER_ID, config.ROOT_BUSINESS_UNIT_ID
    moment = moment_text(runtime.now())
    for start in range(0, jobs, 10_000):
        rows: list[dict[str, Any]] = []
        texts = []
        for index in range(start, min(jobs, start + 10_000)):
            state, status = chance.choice(_PAIRS)
            record_id = str(runtime.new_id())
            rows.append(
                {
                    "asyncoperationid": record_id,
                    "operationtype": chance.choice(_TYPES),
                    "name": f"job {index % 50}",
                    "messagename": "Update",
                    "ownerid": user,
                    "owneridtype": "systemuser",
                    "owninguser": user,
                    "owningbusinessunit": unit,
                    "createdby": user,
                    "modifiedby": user,
                    "createdon": moment,
                    "modifiedon": moment,
                    "startedon": moment if state == 3 else None,
                    "completedon": moment if state == 3 else None,
                    "executiontimespan": 0.5,
                    "statecode": state,
                    "statuscode": status,
                    "datablobid": str(runtime.new_id()) if index % 1000 == 0 else None,
                }
            )
            texts.append({"id": record_id, "data": '{"name":"x"}' * 10, "message": None})
        service.store.write(lambda tx, rows=rows, texts=texts: queue.load_history(tx, rows, texts))  # type: ignore[misc]


def milliseconds(action: Any, rounds: int = 7) -> float:
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        action()
        found.append((time.perf_counter() - start) * 1000)
    return statistics.median(found)


def page(service: Service, call: Call) -> Figure:
    """The whole answer's bytes against the same statement with its rows fetched and dropped."""
    from benchmarks import http

    table = service.catalog.table("asyncoperation")
    query = odata_options.parse(table, service.catalog, {"$select": COLUMNS, "$top": "5000"})
    with service.store.read() as reader:
        plan = compile(query, service.catalog, call.caller, reader.dialect, reader.now)

    def bare() -> None:
        with service.store.read() as reader:
            reader.rows(plan.sql, plan.parameters)

    memory.keep_freed()  # as `adjourn serve` does
    ask = http.asker(service, f"asyncoperations?$select={COLUMNS}&$top=5000")
    ours, theirs = [], []
    for _ in range(5):
        ours.append(ask(5))
        theirs.append(milliseconds(bare, 5))
    mine, yardstick = statistics.median(ours), statistics.median(theirs)
    return Figure(
        "a page of 5,000 jobs × 27 columns, as JSON", mine, "ms", "the same statement, rows dropped", yardstick,
        "ratio ≤ 1.7", mine <= 1.7 * yardstick,
    )  # fmt: skip


def figures() -> list[Figure]:
    found = []
    with folder() as scratch:
        service = Service.open(f"sqlite:///{scratch}/queries.db")
        call = Call(caller=service.administrator())
        history(service, JOBS)
        table = service.catalog.table("asyncoperation")

        def ask(query: Query) -> float:
            return milliseconds(lambda: service.retrieve_multiple(query, call, names=True))

        for name, text in COUNTING.items():
            took = ask(odata_options.parse(table, service.catalog, {"$apply": text}))
            found.append(Figure(f"query {name}, {JOBS:,} jobs", took, "ms", "", None, "< 20 ms", took < 20))
        took = ask(odata_options.parse(table, service.catalog, {"$apply": NAMES_08}))
        found.append(Figure(f"query 08 names in file storage, {JOBS:,} jobs", took, "ms", "", None, "", None))
        took = ask(fetchxml.parse(FETCH_09, service.catalog))
        found.append(Figure(f"query 09 file sizes, {JOBS:,} jobs", took, "ms", "", None, "", None))
        found.append(page(service, call))
        service.close()
    return found
