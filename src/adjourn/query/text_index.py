"""The index of words behind `searchquery`: which records hold which words in their text columns.

One row of `textindexed` per record, with a digest of its words, so that a renewal writes only what has changed. Words are
made here, alike for both databases: runs of letters and digits, without marks and case. SQLite keeps them in an FTS5 table
that holds no text of its own, PostgreSQL as a tsvector of exactly these words.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from adjourn.store.contract import Reader, Transaction

WORDS_MAX = 10_000
"""Of one record: what a thousand pages hold in different words."""
_WORD_CHARACTERS_MAX = 64
_WORD = re.compile(r"[^\W_]+")


class Found(NamedTuple):
    """A record that matches. score: the higher the better."""

    table: str
    id: str
    score: float


def words_of(texts: Iterable[str]) -> tuple[str, ...]:
    """The different words of some texts, in their order of appearance."""
    found: dict[str, None] = {}
    for text in texts:
        for word in _WORD.findall(plain(text)):
            found.setdefault(word[:_WORD_CHARACTERS_MAX])
            if len(found) >= WORDS_MAX:
                return tuple(found)
    return tuple(found)


def plain(text: str) -> str:
    """A text without marks and case: "Café" is "cafe"."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def digest(words: Sequence[str]) -> str:
    """What tells whether a record's words have changed."""
    return hashlib.blake2b(" ".join(words).encode(), digest_size=12).hexdigest()


def indexed(reader: Reader, table: str, after: str | None, upto: str | None) -> dict[str, tuple[int, str]]:
    """The indexed records of a table between two ids (after is outside, upto inside): number and digest by id."""
    kind = "::uuid" if reader.dialect == "postgres" else ""
    bounds = ""
    values: dict[str, Any] = {"table": table}
    if after is not None:
        bounds, values["after"] = f" AND recordid > :after{kind}", after
    if upto is not None:
        bounds, values["upto"] = f"{bounds} AND recordid <= :upto{kind}", upto
    rows = reader.rows(f"SELECT recordid, number, digest FROM textindexed WHERE tablename = :table{bounds}", values)
    return {str(row[0]): (int(row[1]), row[2]) for row in rows}


def replace(tx: Transaction, table: str, gone: Sequence[int], fresh: Mapping[str, Sequence[str]]) -> None:
    """Forget records by their numbers, and take in others: words by id."""
    if gone:
        forget(tx, gone)
    for record_id, words in fresh.items():
        values = {"table": table, "id": record_id, "digest": digest(words)}
        if tx.dialect == "postgres":
            tx.execute(
                "INSERT INTO textindexed (tablename, recordid, digest, words) "
                "VALUES (:table, :id::uuid, :digest, array_to_tsvector(:words::text[]))",
                {**values, "words": list(words)},
            )
        else:
            ((number,),) = tx.rows(
                "INSERT INTO textindexed (tablename, recordid, digest) VALUES (:table, :id, :digest) RETURNING number",
                values,
            )
            tx.execute(
                "INSERT INTO textindex (rowid, words) VALUES (:number, :words)",
                {"number": number, "words": " ".join(words)},
            )


def forget(tx: Transaction, numbers: Sequence[int]) -> None:
    """Take records out of the index."""
    if tx.dialect == "postgres":
        tx.execute("DELETE FROM textindexed WHERE number = ANY(:numbers::bigint[])", {"numbers": list(numbers)})
        return
    values = {"numbers": json.dumps(list(numbers))}
    tx.execute("DELETE FROM textindex WHERE rowid IN (SELECT value FROM json_each(:numbers))", values)
    tx.execute("DELETE FROM textindexed WHERE number IN (SELECT value FROM json_each(:numbers))", values)


def strangers(reader: Reader, tables: Sequence[str], limit: int) -> list[int]:
    """Numbers of indexed records of tables that are not among these."""
    if reader.dialect == "postgres":
        sql = "SELECT number FROM textindexed WHERE tablename <> ALL(:tables::text[]) LIMIT :limit"
        return [row[0] for row in reader.rows(sql, {"tables": list(tables), "limit": limit})]
    sql = "SELECT number FROM textindexed WHERE tablename NOT IN (SELECT value FROM json_each(:tables)) LIMIT :limit"
    return [row[0] for row in reader.rows(sql, {"tables": json.dumps(list(tables)), "limit": limit})]


def search(reader: Reader, any_of: Sequence[Sequence[str]], tables: Sequence[str], limit: int) -> list[Found]:
    """Records of some tables that hold all words of one of the groups, the best first.

    A word that ends in "*" is the beginning of one. Words are as `words_of` makes them.
    """
    if reader.dialect == "postgres":
        asked = " | ".join("(" + " & ".join(_lexeme(word) for word in group) + ")" for group in any_of)
        sql = (
            "SELECT tablename, recordid, ts_rank(words, q) FROM textindexed, CAST(:asked AS tsquery) q "
            "WHERE words @@ q AND tablename = ANY(:tables::text[]) ORDER BY 3 DESC, tablename, recordid LIMIT :limit"
        )
        values: dict[str, Any] = {"asked": asked, "tables": list(tables), "limit": limit}
    else:
        asked = " OR ".join("(" + " AND ".join(_term(word) for word in group) + ")" for group in any_of)
        sql = (
            "SELECT i.tablename, i.recordid, -bm25(textindex) FROM textindex JOIN textindexed i ON i.number = textindex.rowid "
            "WHERE textindex MATCH :asked AND i.tablename IN (SELECT value FROM json_each(:tables)) "
            "ORDER BY 3 DESC, i.tablename, i.recordid LIMIT :limit"
        )
        values = {"asked": asked, "tables": json.dumps(list(tables)), "limit": limit}
    return [Found(row[0], str(row[1]), float(row[2])) for row in reader.rows(sql, values)]


def _lexeme(word: str) -> str:
    return f"'{word.rstrip('*')}'{':*' if word.endswith('*') else ''}"


def _term(word: str) -> str:
    quoted = '"' + word.rstrip("*") + '"'
    return f"{quoted} *" if word.endswith("*") else quoted
