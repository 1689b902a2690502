"""Type 27, Update Contract States: contracts become active and expire by their dates.

An invoiced contract whose `activeon` has come becomes Active; an active one whose `expireson` has passed Expired. Through
the pipeline, so that steps see it; a contract that somebody's step holds back stays as it is and is tried again.
"""

from __future__ import annotations

from uuid import UUID

import structlog

from adjourn.errors import AdjournError
from adjourn.jobs.model import Released
from adjourn.metadata.model import Reference
from adjourn.operations.measuring import Figure, Work
from adjourn.pipeline.call import Request
from adjourn.pipeline.read import ask
from adjourn.query.tree import Attribute, Condition, Filter, Order, Page, Query

log = structlog.get_logger("adjourn.contracts")
_PAGE_ROWS = 500
_CHANGES = (
    # from which state, whose date has come, to which state and status
    ("activated", 1, "activeon", 2, 3),
    ("expired", 2, "expireson", 5, 6),
)


def run(work: Work) -> str | Released:
    """Move what is due."""
    counts = {"activated": 0, "expired": 0, "refused": 0}
    for done, before, date, state, status in _CHANGES:
        after: UUID | None = None
        while found := _due(work, before, date, after):
            for contract in found:
                if work.call.leaving():
                    return Released(reason="its worker was stopped")
                counts[done if _move(work, contract, state, status) else "refused"] += 1
            after = found[-1]
    work.keep(Figure("contracts", count, what) for what, count in counts.items())
    return f"{counts['activated']:,} contracts became active, {counts['expired']:,} expired, {counts['refused']:,} were refused."


def _due(work: Work, state: int, date: str, after: UUID | None) -> list[UUID]:
    with work.service.store.read() as reader:
        conditions = (Condition("statecode", "eq", (state,)), Condition(date, "le", (reader.now,)))
        asked = Query(
            "contract",
            (Attribute("contractid"),),
            filter=Filter("and", conditions),
            orders=(Order("contractid"),),
            page=Page(size=_PAGE_ROWS, after=(str(after),) if after is not None else None),
        )
        return [row["contractid"] for row in ask(reader, work.service.catalog, asked)]


def _move(work: Work, contract: UUID, state: int, status: int) -> bool:
    parameters = {"EntityMoniker": Reference("contract", contract), "State": state, "Status": status}
    try:
        work.service.execute(Request("SetState", parameters), work.call)
    except AdjournError as error:
        if error.status >= 409 and error.status != 412:
            raise  # not the contract's fault: the lease is gone, the writer is busy
        log.warning("a contract could not change its state", contract=str(contract), error=error.message)
        return False
    return True
