"""Questions about more than a filter: links, related rows, orders, distinct rows, groups, aggregates, counts of children."""

from __future__ import annotations

from itertools import product

from tests.queries.asking import Question, c, whole
from tests.queries.world import ACCOUNTS, UNITS

A = "<link-entity name='account' from='accountid' to='new_accountid' alias='a'"
P = "<link-entity name='new_trip' from='new_tripid' to='new_parentid' alias='p'"
K = "<link-entity name='new_trip' from='new_parentid' to='new_tripid' alias='k'"
ID = "<attribute name='new_tripid'/>"
BY_ID = "<order attribute='new_tripid'/>"

LINKS = (
    whole(
        "new_trip",
        "$select=new_name&$expand=new_AccountId($select=name)&$filter=new_AccountId/name eq 'a'&$orderby=new_tripid",
        f"<attribute name='new_name'/>{A}><attribute name='name'/><filter>{c('name', 'eq', 'a')}</filter></link-entity>{BY_ID}",
        same=False,
    ),
    whole(
        "new_trip",
        "$select=new_tripid&$expand=new_AccountId($select=name)&$orderby=new_tripid",
        f"{ID}{A} link-type='outer'><attribute name='name'/></link-entity>{BY_ID}",
        same=False,
    ),
    whole("new_trip", None, f"{ID}{A} link-type='natural'/>{BY_ID}"),
    whole(
        "new_trip",
        "$select=new_tripid&$filter=_new_accountid_value eq null&$orderby=new_tripid",
        f"{ID}{A} link-type='outer'/><filter>{c('accountid', 'null', entityname='a')}</filter>{BY_ID}",
    ),
    whole(
        "new_trip", None,
        f"{ID}{A} link-type='outer'><filter>{c('revenue', 'gt', 0)}</filter></link-entity>"
        f"<filter>{c('accountid', 'null', entityname='a')}</filter>{BY_ID}",
    ),
    whole(
        "new_trip", None,
        f"{ID}{P} link-type='outer'/><filter>{c('new_seats', 'gt', valueof='p.new_seats')}</filter>{BY_ID}",
    ),
    whole(
        "new_trip", None,
        f"{ID}{P} link-type='outer'/><filter>{c('new_seats', 'ne', valueof='p.new_seats')}</filter>{BY_ID}",
    ),
    whole(
        "new_trip", None,
        f"{ID}{A}/><filter>{c('name', 'eq', entityname='a', valueof='new_name')}</filter>{BY_ID}",
    ),
    *(
        whole("new_trip", None, f"{ID}{K} link-type='{kind}'><filter>{c('new_seats', 'gt', 1)}</filter></link-entity>{BY_ID}")
        for kind in ("inner", "outer", "exists", "in", "matchfirstrowusingcrossapply")
    ),
    whole(
        "new_trip", None,
        f"{ID}{K} link-type='matchfirstrowusingcrossapply'><attribute name='new_seats'/>"
        f"<order attribute='new_seats' descending='true'/></link-entity>{BY_ID}",
    ),
    *(
        whole(
            "new_trip",
            odata and f"$select=new_tripid&$filter={odata}&$orderby=new_tripid",
            f"{ID}<filter>{K} link-type='{kind}'><filter>{c('new_seats', 'gt', 1)}</filter></link-entity></filter>{BY_ID}",
        )
        for kind, odata in (
            ("any", "new_trip_parent/any(k:k/new_seats gt 1)"),
            ("not any", "not new_trip_parent/any(k:k/new_seats gt 1)"),
            ("all", "new_trip_parent/any() and not new_trip_parent/any(k:k/new_seats gt 1)"),
            ("not all", "new_trip_parent/any(k:k/new_seats gt 1)"),
        )
    ),
    whole("new_trip", "$select=new_tripid&$filter=new_trip_parent/any()&$orderby=new_tripid",
          f"{ID}<filter>{K} link-type='any'/></filter>{BY_ID}"),
    whole("new_trip", "$select=new_tripid&$filter=new_trip_parent/all(k:k/new_seats gt 1)&$orderby=new_tripid", None),
    whole(
        "account",
        "$select=accountid&$filter=new_trip_account/any(t:t/new_open eq true and t/new_seats gt 0)&$orderby=accountid",
        "<attribute name='accountid'/><filter><link-entity name='new_trip' from='new_accountid' to='accountid' "
        f"link-type='any'><filter>{c('new_open', 'eq', 1)}{c('new_seats', 'gt', 0)}</filter></link-entity></filter>"
        "<order attribute='accountid'/>",
    ),
    whole(
        "account", None,
        "<attribute name='accountid'/><filter type='or'><link-entity name='new_trip' from='new_accountid' to='accountid' "
        f"link-type='all'><filter>{c('new_open', 'eq', 1)}</filter></link-entity>{c('name', 'null')}</filter>"
        "<order attribute='accountid'/>",
    ),
    whole(
        "new_trip", None,
        f"{ID}{A} link-type='outer'><link-entity name='contact' from='contactid' to='primarycontactid' alias='pc'>"
        f"<attribute name='fullname'/></link-entity></link-entity>{BY_ID}",
    ),
    whole(
        "systemuser",
        f"$select=fullname&$filter=businessunitid/parentbusinessunitid/businessunitid eq {UNITS[0]}&$orderby=fullname",
        "<attribute name='fullname'/><link-entity name='businessunit' from='businessunitid' to='businessunitid'>"
        f"<filter>{c('parentbusinessunitid', 'eq', UNITS[0])}</filter></link-entity><order attribute='fullname'/>",
    ),
)  # fmt: skip


def _ordered(odata: str | None, fetch: str, attributes: str = "") -> Question:
    return whole(
        "new_trip", odata and f"$select=new_tripid&$orderby={odata}", f"{attributes}|{ID}{fetch}" if attributes else f"{ID}{fetch}",
    )  # fmt: skip


ORDERS = (
    _ordered("new_name", "<order attribute='new_name'/>"),
    _ordered("new_name desc", "<order attribute='new_name' descending='true'/>"),
    _ordered("new_seats desc,new_name", "<order attribute='new_seats' descending='1'/><order attribute='new_name'/>"),
    _ordered("new_start", "<order attribute='new_start'/>"),
    _ordered("new_day desc", "<order attribute='new_day' descending='true'/>"),
    _ordered("new_price", "<order attribute='new_price'/>"),
    _ordered("new_open desc", "<order attribute='new_open' descending='true'/>", "useraworderby='true'"),
    _ordered("new_kind", "<order attribute='new_kind'/>", "useraworderby='1'"),
    _ordered(None, "<order attribute='new_kind'/>"),
    _ordered(None, "<order attribute='new_kind' descending='true'/><order attribute='new_open'/>"),
    _ordered("_new_accountid_value", "<order attribute='new_accountid'/>"),
    _ordered("_ownerid_value desc", "<order attribute='ownerid' descending='true'/>"),
    _ordered(
        "new_AccountId/revenue desc",
        f"{A} link-type='outer'><order attribute='revenue' descending='true'/></link-entity>",
    ),
    _ordered(None, f"{A} link-type='outer'/><order attribute='name' entityname='a'/><order attribute='new_seats'/>"),
    _ordered(None, f"<order attribute='new_seats'/>{A}><order attribute='name' descending='true'/></link-entity>"),
    _ordered("new_tags", "<order attribute='new_tags'/>"),
    _ordered("new_target desc", "<order attribute='new_target' descending='true'/>"),
)


def _top(number: int) -> Question:
    return whole(
        "new_trip", f"$select=new_tripid&$orderby=new_seats desc&$top={number}",
        f"top='{number}'|{ID}<order attribute='new_seats' descending='true'/>",
    )  # fmt: skip


DISTINCT = (
    *(_top(number) for number in (1, 7, 5000)),
    whole("new_trip", None, "distinct='true'|<attribute name='new_seats'/><order attribute='new_seats'/>"),
    whole(
        "new_trip",
        None,
        "distinct='1'|<attribute name='new_kind'/><attribute name='new_open'/><order attribute='new_kind'/>",
    ),
    whole(
        "new_trip",
        None,
        f"distinct='true'|<attribute name='new_name'/>{K}/><order attribute='new_name' descending='true'/>",
    ),
    whole("new_trip", None, "distinct='true'|<attribute name='new_tags'/>"),
    whole("new_trip", None, f"distinct='true'|<attribute name='ownerid'/>{A}><attribute name='name'/></link-entity>"),
)


def _grouped(inside: str, odata: str | None = None, *, dated: bool = False, attributes: str = "") -> Question:
    return whole("new_trip", odata and f"$apply={odata}", f"aggregate='true' {attributes}|{inside}", dated=dated)


def _group(name: str, alias: str = "", part: str = "", more: str = "") -> str:
    grouping = f" dategrouping='{part}'" if part else ""
    return f"<attribute name='{name}' alias='{alias or name}' groupby='true'{grouping}{more}/>"


def _sum(name: str, kind: str, alias: str, more: str = "") -> str:
    return f"<attribute name='{name}' alias='{alias}' aggregate='{kind}'{more}/>"


GROUPS = (
    _grouped(_sum("new_tripid", "count", "n"), "aggregate($count as n)"),
    _grouped(_sum("new_seats", "count", "n") + _sum("new_seats", "countcolumn", "m")),
    _grouped(_sum("new_seats", "countcolumn", "m", " distinct='true'")),
    *(
        _grouped(_sum(column, kind, "x"), method and f"aggregate({column} with {method} as x)")
        for (kind, method), column in product(
            (("sum", "sum"), ("avg", "average"), ("min", "min"), ("max", "max")), ("new_price", "new_rate", "new_seats")
        )
    ),
    *(_grouped(_sum(column, kind, "x")) for kind in ("min", "max") for column in ("new_start", "new_day")),
    _grouped(_group("new_kind") + _sum("new_tripid", "count", "n") + "<order alias='new_kind'/>"),
    _grouped(_group("new_kind", "k") + _sum("new_tripid", "count", "n") + "<order alias='n' descending='true'/>"),
    _grouped(_group("new_kind") + _sum("new_tripid", "count", "n"), "groupby((new_kind),aggregate($count as n))"),
    _grouped(
        _group("new_kind") + _group("new_open") + _sum("new_price", "sum", "p"),
        "groupby((new_kind,new_open),aggregate(new_price with sum as p))",
    ),
    _grouped(_group("new_name", "City") + _sum("new_name", "count", "Count") + _sum("new_seats", "sum", "Total")
             + "<order alias='City'/>"),
    _grouped(_group("new_accountid", "a") + _sum("new_seats", "max", "m") + "<order alias='a'/>"),
    _grouped(_group("ownerid", "o") + _sum("new_tripid", "count", "n") + "<order alias='o' descending='true'/>"),
    _grouped(_group("new_tags") + _sum("new_tripid", "count", "n")),
    _grouped(
        f"{_sum('new_tripid', 'count', 'n')}{A}>{_group('statecode', 's')}<order alias='s'/></link-entity>"
    ),
    _grouped(
        f"{_group('new_kind')}{A} link-type='outer'>{_sum('revenue', 'sum', 'TotalSize')}"
        "<order alias='TotalSize' descending='true'/></link-entity>"
    ),
    _grouped(_group("new_kind") + _sum("new_seats", "sum", "s") + f"<filter>{c('new_seats', 'null')}</filter>"),
    _grouped(
        _sum("new_tripid", "count", "n") + f"<filter>{c('new_kind', 'eq', 2)}</filter>",
        "filter(new_kind eq 2)/aggregate($count as n)",
    ),
    _grouped(_sum("new_tripid", "count", "n"), attributes="aggregatelimit='5000'"),
)  # fmt: skip
_UTC = " usertimezone='false'"
PARTS = (
    *(
        _grouped(f"{_group(column, 'x', part)}{_sum('new_tripid', 'count', 'n')}<order alias='x'/>", dated=True)
        for part in ("day", "week", "month", "quarter", "year", "fiscal-period", "fiscal-year")
        for column in ("new_start", "new_day")
    ),
    *(
        _grouped(f"{_group('new_start', 'x', part, _UTC)}"
                 f"{_sum('new_seats', 'sum', 'n')}<order alias='x' descending='true'/>", dated=True)
        for part in ("day", "week", "fiscal-period", "fiscal-year")
    ),
    _grouped(
        _group("new_start", "y", "year") + _group("new_start", "m", "month") + _sum("new_price", "avg", "p")
        + "<order alias='y'/><order alias='m' descending='true'/>",
        dated=True,
    ),
)  # fmt: skip
CHILDREN = (
    whole("new_trip", None, f"{ID}<attribute name='new_tripid' alias='Children' rowaggregate='CountChildren'/>{BY_ID}"),
    whole(
        "account", None,
        "top='5'|<attribute name='name'/><attribute name='accountid' alias='CountChildren' rowaggregate='CountChildren'/>"
        "<order attribute='accountid' descending='true'/>",
    ),
    whole(
        "account", None,
        "<attribute name='accountid'/><attribute name='accountid' rowaggregate='CountChildren' alias='AccountChildren'/>"
        f"<filter>{c('accountid', 'under', ACCOUNTS[0])}</filter><order attribute='accountid'/>",
    ),
    whole(
        "new_trip", None,
        f"{ID}{A} link-type='outer'><attribute name='accountid' alias='n' rowaggregate='CountChildren'/></link-entity>{BY_ID}",
    ),
)  # fmt: skip
QUESTIONS = (*LINKS, *ORDERS, *DISTINCT, *GROUPS, *PARTS, *CHILDREN)
