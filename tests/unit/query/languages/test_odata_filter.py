"""`$filter`: literals, operators, precedence, paths, lambdas, query functions."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from tests.unit.query.languages.asking import CATALOG, odata, one, where

from adjourn.query import odata_options
from adjourn.query.operators import ODATA_FUNCTIONS
from adjourn.query.tree import Condition, Filter, Link, Related

GUID = "0ad10000-0000-7000-8000-00000000000A"


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("1", 1),
        ("-7", -7),
        ("1.50", Decimal("1.50")),
        ("2e3", Decimal(2000)),
        ("true", True),
        ("false", False),
        ("'O''Brien'", "O'Brien"),
        ("''", ""),
        ("' and (statecode eq 1'", " and (statecode eq 1"),
        (GUID, UUID(GUID)),
        ("2023-03-25", date(2023, 3, 25)),
        ("2023-03-25T17:42:17Z", datetime(2023, 3, 25, 17, 42, 17, tzinfo=UTC)),
        ("2023-03-25T17:42:17.1234567Z", datetime(2023, 3, 25, 17, 42, 17, 123456, tzinfo=UTC)),
        ("2023-03-25T17:42+02:00", datetime(2023, 3, 25, 15, 42, tzinfo=UTC)),
    ],
)
def test_a_literal_has_its_own_type(literal: str, value: Any) -> None:
    found = one(f"name eq {literal}").values
    assert found == (value,)
    assert type(found[0]) is type(value)


@pytest.mark.parametrize("operator", ["eq", "ne", "gt", "ge", "lt", "le"])
def test_a_comparison_keeps_its_operator(operator: str) -> None:
    assert one(f"statecode {operator} 1") == Condition("statecode", operator, (1,))


def test_comparing_with_null_asks_whether_there_is_a_value() -> None:
    assert one("datablobid eq null") == Condition("datablobid", "null")
    assert one("_ownerid_value ne null") == Condition("ownerid", "not-null")


def test_a_literal_may_stand_first() -> None:
    assert one("5 lt retrycount") == Condition("retrycount", "gt", (5,))
    assert one("5 ge retrycount") == Condition("retrycount", "le", (5,))
    assert one("null ne name") == Condition("name", "not-null")


def test_a_yes_no_column_may_stand_alone() -> None:
    assert where("not iswaitingforevent").negated
    assert one("iswaitingforevent") == Condition("iswaitingforevent", "eq", (True,))


def test_one_of_a_list() -> None:
    assert one("statecode in (0, 1,3)") == Condition("statecode", "in", (0, 1, 3))


def test_a_column_is_compared_with_a_column() -> None:
    assert one("completedon gt startedon") == Condition("completedon", "gt", (), valueof=(None, "startedon"))


def test_the_text_functions_become_patterns() -> None:
    assert one("contains(name,'a%')") == Condition("name", "like", ("%a%%",))
    assert one("startswith( name , 'a' )") == Condition("name", "begins-with", ("a",))
    assert one("endswith(name,'a') eq true") == Condition("name", "ends-with", ("a",))
    assert where("contains(name,'a') eq false") == Filter("and", (Condition("name", "like", ("%a%",)),), negated=True)


def test_and_binds_closer_than_or_and_not_closer_than_and() -> None:
    a, b, c = (Condition("statecode", "eq", (n,)) for n in (1, 2, 3))
    assert where("statecode eq 1 or statecode eq 2 and statecode eq 3") == Filter("or", (a, Filter("and", (b, c))))
    assert where("(statecode eq 1 or statecode eq 2) and statecode eq 3") == Filter("and", (Filter("or", (a, b)), c))
    assert where("not (statecode eq 1) and statecode eq 2") == Filter("and", (Filter("and", (a,), negated=True), b))
    assert where("not(statecode eq 1 and statecode eq 2)") == Filter("and", (Filter("and", (a, b)),), negated=True)


def test_parentheses_may_be_doubled_and_blanks_may_be_anything() -> None:
    assert one("((\r\n\t( statecode\neq\t1 )))") == Condition("statecode", "eq", (1,))


def test_a_path_through_lookups_becomes_hidden_outer_links_once_each() -> None:
    found = odata(
        "asyncoperation",
        filter="createdby/businessunitid/name eq 'x' and createdby/fullname eq 'y'",
        orderby="createdby/fullname desc",
    )
    inner = Link("businessunit", "businessunitid", "businessunitid", "p2", "outer", hidden=True)
    assert found.links == (Link("systemuser", "systemuserid", "createdby", "p1", "outer", links=(inner,), hidden=True),)
    assert found.filter == Filter(
        "and", (Condition("name", "eq", ("x",), "p2"), Condition("fullname", "eq", ("y",), "p1"))
    )
    assert [(order.column, order.entity, order.descending) for order in found.orders] == [("fullname", "p1", True)]


def test_a_parameter_alias_stands_for_its_literal_and_an_unassigned_one_for_null() -> None:
    assert one("name eq @p1", at_p1="'x y'") == Condition("name", "eq", ("x y",))
    assert one("name eq @nothing") == Condition("name", "null")
    assert one("Microsoft.Dynamics.CRM.In(PropertyName='name',PropertyValues=@p)", at_p='["a","b"]').values == (
        "a",
        "b",
    )


def test_any_and_all_ask_for_related_rows() -> None:
    condition = Condition("statecode", "eq", (3,))
    link = Link("asyncoperation", "regardingobjectid", "accountid", "l1", "any", filter=Filter("and", (condition,)))
    assert where("Account_AsyncOperations/any(j:j/statecode eq 3)", "account").conditions == (Related(link),)
    (every,) = where("Account_AsyncOperations/all(j:j/statecode eq 3)", "account").conditions
    assert isinstance(every, Related)
    assert every.link.kind == "not any"
    assert every.link.filter == Filter("and", (Filter("and", (condition,)),), negated=True)
    (some,) = where("Account_AsyncOperations/any()", "account").conditions
    assert isinstance(some, Related)
    assert some.link.filter is None


def test_a_lambda_over_a_many_to_many_relationship_goes_through_the_intersect_table() -> None:
    (related,) = where("teammembership_association/any(u:u/fullname eq 'x')", "team").conditions
    assert isinstance(related, Related)
    assert (related.link.table, related.link.from_, related.link.to) == ("teammembership", "teamid", "teamid")
    (target,) = related.link.links
    assert (target.table, target.from_, target.to, target.kind) == (
        "systemuser",
        "systemuserid",
        "systemuserid",
        "inner",
    )


@pytest.mark.parametrize(("function", "operator"), ODATA_FUNCTIONS.items())
def test_every_query_function_becomes_its_operator(function: str, operator: str) -> None:
    call = f"Microsoft.Dynamics.CRM.{function}(PropertyName='createdon',PropertyValue=7)"
    assert one(call) == Condition("createdon", operator, (7,))


def test_query_functions_take_one_two_or_many_values() -> None:
    prefix = "Microsoft.Dynamics.CRM."
    assert one(f"{prefix}Today(PropertyName='createdon')") == Condition("createdon", "today")
    assert one(f"{prefix}EqualUserId(PropertyName='ownerid')") == Condition("ownerid", "eq-userid")
    assert one(f"{prefix}EqualUserId(PropertyName='_ownerid_value')") == Condition("ownerid", "eq-userid")
    between = f'{prefix}Between(PropertyName=\'retrycount\',PropertyValues=["1","5"])'
    assert one(between) == Condition("retrycount", "between", ("1", "5"))
    period = f"{prefix}InFiscalPeriodAndYear(PropertyName='createdon',PropertyValue1=2,PropertyValue2=2023)"
    assert one(period) == Condition("createdon", "in-fiscal-period-and-year", (2, 2023))


def test_a_query_function_inside_a_lambda_names_the_variable() -> None:
    text = "Account_AsyncOperations/any(j:Microsoft.Dynamics.CRM.Today(PropertyName='j/createdon'))"
    (related,) = where(text, "account").conditions
    assert isinstance(related, Related)
    assert related.link.filter == Filter("and", (Condition("createdon", "today"),))


def test_a_condition_knows_where_it_stands() -> None:
    text = "statecode eq 1 and  name eq 'x'"
    found = odata_options.parse(CATALOG.tables["asyncoperation"], CATALOG, {"$filter": text}).filter
    assert found is not None
    assert [part.position for part in found.conditions if isinstance(part, Condition)] == [0, text.index("name")]
