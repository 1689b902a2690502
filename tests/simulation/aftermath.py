"""When a world has been examined: a hand in its database leaves something of each kind, and the scan for orphans mends it.

Whatever the world looks like, nothing else is mended, and a second scan finds nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from tests.simulation.people import LARGE

from adjourn import runtime
from adjourn.jobs import explain, orphans
from adjourn.jobs.orphans import LOST_BYTES, OVERSIZED
from adjourn.metadata.values import moment_text
from adjourn.store.contract import Store, Transaction

_SEQUENCE = 1_000_000
"""Beyond that of any job of a world."""


def examine(store: Store) -> Iterator[str]:
    """What the scan did not do. Afterwards the data of some jobs is lost, so this comes last."""
    planted = store.write(_plant)
    mended = {kind: len(keys) for kind, keys in orphans.scan(store).items()}
    if mended != planted:
        yield f"of planted orphans {planted} the scan mended {mended}"
    if again := orphans.scan(store):
        yield f"a second scan mended {again}"
    with store.read() as reader:
        yield from explain.examine(reader)


def _plant(tx: Transaction) -> dict[str, int]:
    """How many of each kind."""
    nobody = str(runtime.new_id())
    values = {"n": _SEQUENCE, "id": str(runtime.new_id()), "job": nobody, "now": moment_text(tx.now)}
    planted = {
        "long text without its job": "INSERT INTO asyncoperationtext (asyncoperationsequence, data) VALUES (:n, 'left')",
        "history without its job": "INSERT INTO jobhistory (jobsequence, number, happenedon, event, fromstatus, tostatus, actorid) "
        "VALUES (:n, 1, :now, 'pause', 20, 21, :job)",
        "bulkdeletefailure without its job": "INSERT INTO bulkdeletefailure (bulkdeletefailureid, asyncoperationid) VALUES (:id, :job)",
        "fileattachment that no job names": "INSERT INTO fileattachment (fileattachmentid, objectid, objectidtypecode) "
        "VALUES (:id, :job, 'asyncoperation')",
    }
    counts = {kind: tx.execute(sql, values) for kind, sql in planted.items()}
    files = tx.rows("SELECT datablobid FROM asyncoperation WHERE datablobid IS NOT NULL ORDER BY sequence LIMIT 1")
    if files:
        tx.delete_files([UUID(files[0][0])])
        counts[LOST_BYTES] = 1
    last = "SELECT max(t.asyncoperationsequence) FROM asyncoperationtext t JOIN asyncoperation j "
    last += "ON j.sequence = t.asyncoperationsequence WHERE t.data IS NOT NULL"
    grown = tx.execute(
        f"UPDATE asyncoperationtext SET data = :data WHERE asyncoperationsequence = ({last})",
        {"data": "x" * (LARGE + 1)},
    )
    return {**counts, **({OVERSIZED: grown} if grown else {})}
