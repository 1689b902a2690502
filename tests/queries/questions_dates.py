"""Questions about dates: every operator, of a column with a time of day and of one without."""

from __future__ import annotations

from itertools import product

from tests.queries.asking import Question, c, f, many, where

MOMENT, DAY = "new_start", "new_day"
_WORDS = {
    "yesterday": "Yesterday", "today": "Today", "tomorrow": "Tomorrow",
    "last-seven-days": "Last7Days", "next-seven-days": "Next7Days",
    **{
        f"{word}-{unit}": f"{word.capitalize()}{unit.capitalize()}"
        for word, unit in product(("last", "this", "next"), ("week", "month", "year"))
    },
    **{
        f"{word}-fiscal-{unit}": f"{word.capitalize()}Fiscal{unit.capitalize()}"
        for word, unit in product(("last", "this", "next"), ("year", "period"))
    },
}  # fmt: skip
_COUNTED = {
    **{
        f"{word}-x-{unit}": f"{word.capitalize()}X{unit.capitalize()}"
        for word, unit in product(("last", "next"), ("days", "weeks", "months", "years"))
    },
    **{
        f"{word}-x-fiscal-{unit}": f"{word.capitalize()}XFiscal{unit.capitalize()}"
        for word, unit in product(("last", "next"), ("years", "periods"))
    },
    **{f"olderthan-x-{unit}": f"OlderThanX{unit.capitalize()}" for unit in ("days", "weeks", "months", "years")},
}
_CLOCKED = {
    "last-x-hours": "LastXHours", "next-x-hours": "NextXHours", "olderthan-x-hours": "OlderThanXHours",
    "olderthan-x-minutes": "OlderThanXMinutes",
}  # fmt: skip
_DAYS = {"on": "On", "on-or-before": "OnOrBefore", "on-or-after": "OnOrAfter"}
_PERIODS = {
    "in-fiscal-period-and-year": "InFiscalPeriodAndYear",
    "in-or-before-fiscal-period-and-year": "InOrBeforeFiscalPeriodAndYear",
    "in-or-after-fiscal-period-and-year": "InOrAfterFiscalPeriodAndYear",
}


def _dated(odata: str | None, *conditions: str, kind: str = "and") -> Question:
    return where(odata, *conditions, kind=kind, dated=True)


QUESTIONS = (
    *(_dated(f(name, column), c(column, operator)) for operator, name in _WORDS.items() for column in (MOMENT, DAY)),
    *(
        _dated(f"{f(name, MOMENT)} and new_seats ne null", c(MOMENT, operator), c("new_seats", "not-null"))
        for operator, name in _WORDS.items()
    ),
    *(
        _dated(f(name, column, x), c(column, operator, x))
        for operator, name in _COUNTED.items()
        for column, x in ((MOMENT, 1), (DAY, 1), (MOMENT, 13))
    ),
    *(_dated(f(name, MOMENT, x), c(MOMENT, operator, x)) for operator, name in _CLOCKED.items() for x in (1, 5, 49)),
    *(
        _dated(f(name, column, day), c(column, operator, day))
        for operator, name in _DAYS.items()
        for column, day in (
            (MOMENT, "2026-03-29"), (DAY, "2026-03-29"), (MOMENT, "2026-03-08T07:00:00Z"), (MOMENT, "2024-04-26"),
        )
    ),
    *(
        _dated(f("InFiscalYear", column, year), c(column, "in-fiscal-year", year))
        for column, year in ((MOMENT, 2026), (DAY, 2026), (MOMENT, 2024), (MOMENT, 9999))
    ),
    *(_dated(f("InFiscalPeriod", column, 1), c(column, "in-fiscal-period", 1)) for column in (MOMENT, DAY)),
    _dated(
        f"not ({MOMENT} eq null) and {f('InFiscalPeriod', MOMENT, 1)}", c(MOMENT, "not-null"), c(MOMENT, "in-fiscal-period", 1),
    ),
    *(
        _dated(f(name, column, 1, year), c(column, operator, 1, year))
        for operator, name in _PERIODS.items()
        for column, year in ((MOMENT, 2026), (DAY, 2026), (MOMENT, 2024))
    ),
    _dated(f"{MOMENT} ge 2026-03-29T01:00:00Z", c(MOMENT, "ge", "2026-03-29T01:00:00Z")),
    _dated(f"{MOMENT} lt 2026-03-29T01:00:00Z", c(MOMENT, "lt", "2026-03-29T01:00:00Z")),
    _dated(f"{MOMENT} gt 2026-03-29T01:00:00Z", c(MOMENT, "gt", "2026-03-29T02:00:00+01:00")),
    _dated(f"{MOMENT} le 2026-03-08T07:00:00Z", c(MOMENT, "le", "2026-03-08T07:00:00Z")),
    _dated(f"{MOMENT} eq 2026-03-08T07:00:00Z", c(MOMENT, "eq", "2026-03-08T02:00:00-05:00")),
    _dated(f"{MOMENT} ne 2026-03-08T07:00:00Z", c(MOMENT, "ne", "2026-03-08T07:00:00Z")),
    _dated(f"{MOMENT} ge 2026-03-29", c(MOMENT, "ge", "2026-03-29T00:00:00Z")),
    # Without an offset a moment of FetchXML is the caller's; OData has no such literal.
    _dated(None, c(MOMENT, "ge", "2026-03-29")),
    _dated(None, c(MOMENT, "lt", "2026-10-25T01:30:00")),
    _dated(None, c(MOMENT, "between", "2024-04-26", "2024-04-27")),
    _dated(None, c(MOMENT, "in", "2026-03-29", "2026-03-29T00:00:00Z")),
    _dated(f"{DAY} eq 2026-03-29", c(DAY, "eq", "2026-03-29")),
    _dated(f"{DAY} ge 2024-02-29", c(DAY, "ge", "2024-02-29")),
    _dated(f"{DAY} ne 2026-01-01", c(DAY, "ne", "2026-01-01")),
    _dated(many("Between", DAY, "2026-01-01", "2026-03-31"), c(DAY, "between", "2026-01-01", "2026-03-31")),
    _dated(many("NotBetween", DAY, "2026-01-01", "2026-03-31"), c(DAY, "not-between", "2026-01-01", "2026-03-31")),
    _dated(f"{MOMENT} eq null", c(MOMENT, "null")),
)  # fmt: skip
