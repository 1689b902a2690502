"""What the platform's jobs have in common: figures that go into `measurement` rows, kept for three months."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from adjourn.config import BATCH_REQUESTS_MAX
from adjourn.jobs.model import ClaimedJob
from adjourn.metadata.model import Catalog, Reference
from adjourn.pipeline.call import Call, Request
from adjourn.pipeline.read import ask
from adjourn.pipeline.record import Record
from adjourn.query.tree import Attribute, Condition, Filter, Query
from adjourn.service import Service
from adjourn.store.contract import Reader

TABLE = "measurement"
KEPT_DAYS = 90
_SUBJECT_CHARACTERS_MAX = 256


class Figure(NamedTuple):
    """One row: what was measured, how much it was, and of what (None: of the whole organization)."""

    name: str
    amount: int
    subject: str | None = None


class Work(NamedTuple):
    """What a platform job has at hand. Its calls are SYSTEM's, and are refused when the job's lease is gone."""

    service: Service
    job: ClaimedJob
    call: Call

    def keep(self, figures: Iterable[Figure]) -> int:
        """Write figures as the result of this run, and forget those that are too old; how many were written."""
        records = [
            Record(
                TABLE,
                None,
                {
                    "name": figure.name,
                    "subject": figure.subject[:_SUBJECT_CHARACTERS_MAX] if figure.subject is not None else None,
                    "operationtype": self.job.operation_type,
                    "amount": figure.amount,
                    "asyncoperationid": Reference("asyncoperation", self.job.id),
                },
            )
            for figure in figures
        ]
        for start in range(0, len(records), BATCH_REQUESTS_MAX):
            part = records[start : start + BATCH_REQUESTS_MAX]
            self.service.execute(Request("CreateMultiple", {"Targets": part}), self.call)
        self._forget()
        return len(records)

    def _forget(self) -> None:
        """At most a thousand rows a run: as many as one makes."""
        with self.service.store.read() as reader:
            before = reader.now - timedelta(days=KEPT_DAYS)
            conditions = (
                Condition("operationtype", "eq", (self.job.operation_type,)),
                Condition("createdon", "lt", (before,)),
            )
            old = Query(TABLE, (Attribute("measurementid"),), filter=Filter("and", conditions), top=BATCH_REQUESTS_MAX)
            found: list[UUID] = [row["measurementid"] for row in ask(reader, self.service.catalog, old)]
        for record_id in found:
            self.service.execute(Request("Delete", {"Target": Reference(TABLE, record_id)}), self.call)


def row_counts(reader: Reader, catalog: Catalog) -> Mapping[str, int]:
    """How many records each table has, all of the same moment."""
    counts: dict[str, int] = {}
    for table in catalog.tables.values():
        counted = Attribute(table.primary_id, alias="n", aggregate="count")
        (row,) = ask(reader, catalog, Query(table.logical, (counted,), aggregate=True))
        counts[table.logical] = row["n"]
    return counts
