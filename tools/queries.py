"""The table of operators in docs/queries.md, made from `query.operators`.

python -m tools.queries          writes it into the document
"""

from __future__ import annotations

from pathlib import Path

from adjourn.query.operators import OPERATORS, Operator

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "queries.md"
BEGIN, END = "<!-- operators -->", "<!-- end of operators -->"
_FAMILIES = {
    "S": "text", "E": "table name", "N": "number", "D": "date", "C": "choice, yes/no", "M": "choices", "O": "lookup", "U": "guid",
}  # fmt: skip
_NATIVE = {
    "eq": "`eq`", "ne": "`ne`", "neq": "`ne`", "gt": "`gt`", "ge": "`ge`", "lt": "`lt`", "le": "`le`", "like": "`contains()`",
    "not-like": "`not contains()`", "begins-with": "`startswith()`", "not-begin-with": "`not startswith()`",
    "ends-with": "`endswith()`", "not-end-with": "`not endswith()`", "null": "`eq null`", "not-null": "`ne null`",
}  # fmt: skip


def table() -> str:
    """The rows, one an operator."""
    lines = ["| FetchXML | Web API | values | columns |", "|---|---|---|---|", *map(_row, OPERATORS.values())]
    return "\n".join(lines)


def _row(operator: Operator) -> str:
    said = f"`{operator.function}`" if operator.function else _NATIVE[operator.name]
    families = "any" if len(operator.families) == len(_FAMILIES) else ", ".join(_FAMILIES[f] for f in operator.families)
    values = "1 or more" if operator.arity is None else str(operator.arity)
    return f"| `{operator.name}` | {said} | {values} | {families} |"


def written(document: str) -> str:
    """The document with the table as it should be."""
    head, _, rest = document.partition(BEGIN)
    return f"{head}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text()))
