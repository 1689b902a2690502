"""Type 9, SQM Data Collection: how much the organization is used. Kept in `measurement`, sent nowhere.

requests: messages that this process has executed since it started, by name. jobs: system jobs by their operation type.
rows: records by table.
"""

from __future__ import annotations

from adjourn.metadata.model import Catalog
from adjourn.operations.measuring import Figure, Work, row_counts
from adjourn.pipeline.read import ask
from adjourn.query.tree import Attribute, Query
from adjourn.store.contract import Reader


def run(work: Work) -> str:
    """Count, and keep the counts."""
    requests = work.service.executed()
    with work.service.store.read() as reader:
        jobs = jobs_by_type(reader, work.service.catalog)
        rows = row_counts(reader, work.service.catalog)
    work.keep(
        [
            *(Figure("requests", count, message) for message, count in sorted(requests.items())),
            *(Figure("jobs", count, label) for label, count in jobs.items()),
            *(Figure("rows", count, table) for table, count in rows.items()),
        ]
    )
    return (
        f"{sum(requests.values()):,} requests, {sum(jobs.values()):,} system jobs and {sum(rows.values()):,} records "
        "were counted; nothing is sent anywhere."
    )


def jobs_by_type(reader: Reader, catalog: Catalog) -> dict[str, int]:
    """System jobs by the label of their operation type."""
    table = catalog.table("asyncoperation")
    choice = table.columns["operationtype"].choice
    columns = (
        Attribute("operationtype", alias="type", groupby=True),
        Attribute(table.primary_id, alias="n", aggregate="count"),
    )
    found = ask(reader, catalog, Query(table.logical, columns, aggregate=True))
    return {(choice and choice.label(row["type"])) or str(row["type"]): row["n"] for row in found}
