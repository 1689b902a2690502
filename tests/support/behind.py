"""Very many jobs behind one of a token, faster than `enqueue` could put them there."""

from __future__ import annotations

from adjourn.store.contract import Store

_STATEMENT = """
    INSERT INTO asyncoperation (asyncoperationid, operationtype, name, createdon, modifiedon, statecode, statuscode, ownerid,
    owneridtype, owninguser, owningbusinessunit, dependencytoken, serialkey, blocked, waitreason)
    SELECT {id}, operationtype, name, createdon, modifiedon, 1, 10, ownerid, owneridtype, owninguser, owningbusinessunit,
    dependencytoken, serialkey, true, 'token' FROM asyncoperation, {numbers} WHERE asyncoperationid = :head"""


def put_behind(store: Store, head: str, count: int, *, batch: int = 0) -> None:
    """Put `count` jobs like `head` behind it. batch: a number below 65,536, another one for each call."""
    if store.dialect == "sqlite":
        numbers = "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count) SELECT i FROM n)"
        # Ids like those of `runtime.new_id`, rising; what they look like beyond that matters to nobody here.
        made = "printf('0ad20000-%04x-7000-8000-%012x', :batch, i)"
    else:
        numbers = "generate_series(1, :count) AS n(i)"
        made = (
            "('0ad20000-' || lpad(to_hex(:batch::integer), 4, '0') || '-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid"
        )
    sql = _STATEMENT.format(id=made, numbers=numbers)
    store.write(lambda tx: tx.execute(sql, {"head": head, "count": count, "batch": batch}))
    store.write(lambda tx: tx.execute("ANALYZE"))
