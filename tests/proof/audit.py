"""A diary that the database keeps for the proofs: one row for each change of a job's state, whoever makes it.

Triggers write it in the transaction of the change, so it holds what was committed, all of it and nothing else, also
when the process that did it was killed a moment later. `begin` belongs in front of the first process of a proof.
"""

from __future__ import annotations

from typing import NamedTuple

from adjourn.store.contract import Reader, Store

_COLUMNS = ("statuscode", "lease", "blocked", "completedon")
_SQLITE = (
    """CREATE TABLE proofaudit (number INTEGER PRIMARY KEY AUTOINCREMENT, jobid TEXT, sequence INTEGER, serialkey TEXT,
        was INTEGER, became INTEGER, waslease TEXT, lease TEXT)""",
    """CREATE TRIGGER proofaudit_insert AFTER INSERT ON asyncoperation BEGIN
        INSERT INTO proofaudit (jobid, sequence, serialkey, became, lease)
        VALUES (new.asyncoperationid, new.sequence, new.serialkey, new.statuscode, new.lease);
    END""",
    f"""CREATE TRIGGER proofaudit_update AFTER UPDATE OF {", ".join(_COLUMNS)} ON asyncoperation
    WHEN {" OR ".join(f"old.{name} IS NOT new.{name}" for name in _COLUMNS)} BEGIN
        INSERT INTO proofaudit (jobid, sequence, serialkey, was, became, waslease, lease) VALUES (new.asyncoperationid,
        new.sequence, new.serialkey, old.statuscode, new.statuscode, old.lease, new.lease);
    END""",
    """CREATE TRIGGER proofaudit_delete AFTER DELETE ON asyncoperation BEGIN
        INSERT INTO proofaudit (jobid, sequence, serialkey, was, waslease)
        VALUES (old.asyncoperationid, old.sequence, old.serialkey, old.statuscode, old.lease);
    END""",
)
_POSTGRES = (
    """CREATE TABLE proofaudit (number bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY, jobid uuid,
        sequence bigint, serialkey text, was integer, became integer, waslease text, lease text)""",
    """CREATE FUNCTION proofaudit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF TG_OP = 'INSERT' THEN
            INSERT INTO proofaudit (jobid, sequence, serialkey, became, lease)
            VALUES (new.asyncoperationid, new.sequence, new.serialkey, new.statuscode, new.lease);
        ELSIF TG_OP = 'UPDATE' THEN
            INSERT INTO proofaudit (jobid, sequence, serialkey, was, became, waslease, lease) VALUES (new.asyncoperationid,
            new.sequence, new.serialkey, old.statuscode, new.statuscode, old.lease, new.lease);
        ELSE
            INSERT INTO proofaudit (jobid, sequence, serialkey, was, waslease)
            VALUES (old.asyncoperationid, old.sequence, old.serialkey, old.statuscode, old.lease);
        END IF;
        RETURN NULL;
    END $$""",
    "CREATE TRIGGER proofaudit_row AFTER INSERT OR DELETE ON asyncoperation FOR EACH ROW EXECUTE FUNCTION proofaudit()",
    f"""CREATE TRIGGER proofaudit_update AFTER UPDATE ON asyncoperation FOR EACH ROW
    WHEN ({" OR ".join(f"old.{name} IS DISTINCT FROM new.{name}" for name in _COLUMNS)}) EXECUTE FUNCTION proofaudit()""",
)


class Entry(NamedTuple):
    """One change of one job. was: its statuscode before, None for a new one; became: None for one that was deleted."""

    number: int
    job: str
    sequence: int
    key: str | None
    was: int | None
    became: int | None
    was_lease: str | None
    lease: str | None

    @property
    def claims(self) -> bool:
        """Somebody began to hold the job."""
        return self.lease is not None and self.lease != self.was_lease

    @property
    def ends(self) -> bool:
        """A hold ended: settled, given back, or the job was deleted under its worker."""
        return self.was_lease is not None and self.lease != self.was_lease


def begin(store: Store) -> None:
    """Keep the diary from now on."""
    for statement in _POSTGRES if store.dialect == "postgres" else _SQLITE:
        store.write(lambda tx, statement=statement: tx.execute(statement))


def read(reader: Reader) -> list[Entry]:
    """Everything so far, in order: that of commits, as far as one change could have seen the other."""
    sql = "SELECT number, jobid, sequence, serialkey, was, became, waslease, lease FROM proofaudit ORDER BY number"
    return [Entry(*row) for row in reader.rows(sql)]
