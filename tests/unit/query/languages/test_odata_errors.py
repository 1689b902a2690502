"""What OData is refused, with which code, and where."""

from __future__ import annotations

import pytest
from tests.unit.query.languages.asking import odata

from adjourn import errors
from adjourn.errors import AdjournError, QueryError

FUNCTION = "Microsoft.Dynamics.CRM."
FILES = "asyncoperation_FileAttachments"
DEEP = "(" * 100 + "statecode eq 1" + ")" * 100
LONG = " or ".join(["statecode eq 1"] * 501)
PATH = "parentsystemuserid/" * 40 + "fullname eq 'x'"


@pytest.mark.parametrize(
    ("text", "code", "message", "position"),
    [
        ("statecode eq 'abc", 0, "There is an unterminated literal at position 13", None),
        ("statecode eq 'a''b", 0, "There is an unterminated literal at position 13", None),
        ("nme eq 'x'", 0, "Could not find a property named 'nme' on type 'Microsoft.Dynamics.CRM.asyncoperation'", 0),
        ("nme eq 'x'", 0, "Did you mean 'name'?", 0),
        ("ownerid eq null", 0, "Did you mean '_ownerid_value'?", 0),
        ("statecode eq 1 and nme eq 'x'", 0, "'nme'", 19),
        ("createdby/nme eq 'x'", 0, "'nme' on type 'Microsoft.Dynamics.CRM.systemuser'", 10),
        ("created/fullname eq 'x'", 0, "'created' on type", 0),
        ("statecode", 0, "expected one of eq, ne", 9),
        ("statecode eq", 0, "expected a value, found 'the end'", 12),
        ("statecode = 1", 0, "found '='", 10),
        ("statecode eq 1 statuscode eq 1", 0, "expected the end, found 'statuscode'", 15),
        ("(statecode eq 1", 0, "expected ')'", 15),
        ("statecode eq 1)", 0, "expected the end", 14),
        ("statecode gt null", 0, "by eq and ne only", 10),
        ("statecode eq #", 0, "character '#' is not valid", None),
        ("createdon eq 2023-13-45", 0, "no date", 13),
        ("retrycount eq 1e9999999999999999999", 0, "no number", 14),
        ("contains(name,5)", 0, "takes a text", 0),
        ("statecode in ()", 0, "expected a value", 14),
        (f"not {FUNCTION}Today(PropertyName='createdon')", errors.ODATA_UNSUPPORTED, "Not operator along with", 4),
        (f"{FUNCTION}Todey(PropertyName='createdon')", 0, "Did you mean 'Today'?", 0),
        (f"{FUNCTION}Today(Property='createdon')", 0, "no argument", 29),
        (f"{FUNCTION}Today()", 0, "needs PropertyName", 0),
        ("asyncoperation_FileAttachments/all()", 0, "needs a condition", 35),
        ("createdby/lk_x/any(x:x/name eq 'a')", errors.ODATA_UNSUPPORTED, "not a path through a lookup", 10),
        ("asyncoperation_FileAttachments/any(f:name eq 'x')", errors.ODATA_UNSUPPORTED, "its own variable only", 37),
        ("asyncoperation_FileAttachments/any(f:f/objectid_email/nme eq 'x')", 0, "'nme' on type", 54),
        (
            "asyncoperation_FileAttachments/any(f:f/objectid_email/lk_x/any(x:x/name eq 'a'))",
            errors.ODATA_UNSUPPORTED,
            "not a path through a lookup",
            54,
        ),
        (
            "asyncoperation_FileAttachments/any(f:f/objectid_email/subject eq f/filename)",
            errors.ODATA_UNSUPPORTED,
            "another property of the same record",
            37,
        ),
        ("asyncoperation_FileAttachments/any(f:f/x/any(g:f/filename eq 'x'))", 0, "'x' on type", 39),
        ("name eq @p/x", 0, "expected the end, found '/'", 10),
        ("@p in (1)", 0, "expected one of eq", 3),
        (DEEP, 0, "nested deeper than 64", 64),
        (LONG, 0x8004430C, "500 conditions", 9000),
    ],
)
def test_a_filter_is_refused_where_it_is_wrong(text: str, code: int, message: str, position: int | None) -> None:
    with pytest.raises(QueryError) as caught:
        odata(filter=text)
    assert message in caught.value.message
    assert (caught.value.code, caught.value.status, caught.value.position) == (code, 400, position)


def test_a_long_path_is_refused_instead_of_followed() -> None:
    with pytest.raises(QueryError, match="15 links") as caught:
        odata("systemuser", filter=PATH)
    assert caught.value.code == 0x8004430D


@pytest.mark.parametrize(
    ("option", "text", "code", "message", "position"),
    [
        ("select", "ownerid", 0, "Did you mean '_ownerid_value'?", 0),
        ("select", "name,nme", 0, "Could not find a property named 'nme'", 5),
        ("select", "name,,data", 0, "expected a name", 5),
        ("select", "", 0, "expected a name", 0),
        ("expand", "createdby($select=fullname,nme)", 0, "'nme' on type 'Microsoft.Dynamics.CRM.systemuser'", 27),
        ("expand", "createdby($select=fullname;$expand=businessunitid($select=nme))", 0, "'nme'", 58),
        ("expand", "created", 0, "Did you mean 'createdby'?", 0),
        ("expand", "createdby,createdby", 0, "expanded twice", 10),
        ("expand", "createdby($levels=2)", errors.ODATA_UNSUPPORTED, "$levels has no meaning", 10),
        ("expand", "createdby($filter=fullname eq 'x')", errors.ODATA_UNSUPPORTED, "$filter has no meaning", 10),
        ("expand", "createdby($slect=fullname)", 0, "Did you mean '$select'?", 10),
        ("expand", "createdby($select=fullname", 0, "expected ';'", 26),
        ("expand", "createdby/$count", errors.ODATA_UNSUPPORTED, "'/$count'", 10),
        ("expand", "createdby/$ref($select=fullname)", errors.ODATA_UNSUPPORTED, "takes no options", 14),
        ("expand", f"{FILES}/$ref", errors.ODATA_UNSUPPORTED, "only supported on lookup type navigation property", 0),
        ("expand", f"{FILES}/$count", errors.ODATA_UNSUPPORTED, "'/$count'", 31),
        ("expand", f"{FILES},{FILES}", 0, "expanded twice", 31),
        ("expand", f"{FILES}($select=nme)", 0, "'nme' on type 'Microsoft.Dynamics.CRM.fileattachment'", 39),
        ("expand", f"{FILES}($filter=nme eq 1)", 0, "'nme' on type 'Microsoft.Dynamics.CRM.fileattachment'", 39),
        ("expand", f"{FILES}($filter=filename eq @p)", errors.ODATA_UNSUPPORTED, "'@p' cannot be used inside", 51),
        ("expand", f"{FILES}($orderby=@p)", errors.ODATA_UNSUPPORTED, "'@p' cannot be used inside", 40),
        ("expand", f"{FILES}($count=true)", errors.ODATA_UNSUPPORTED, "$count has no meaning", 31),
        ("expand", f"{FILES}($levels=2)", errors.ODATA_UNSUPPORTED, "$levels has no meaning", 31),
        ("expand", f"{FILES}($skip=2)", errors.ODATA_UNSUPPORTED, "$skip has no meaning", 31),
        ("expand", f"{FILES}($search=x)", errors.ODATA_UNSUPPORTED, "$search has no meaning", 31),
        ("expand", f"{FILES}($top=1;$top=2)", 0, "$top is given twice", 38),
        ("expand", f"{FILES}($top=-1)", 0, "requires a non-negative", 36),
        ("expand", f"{FILES}($top=x)", 0, "requires a non-negative", 36),
        ("expand", f"{FILES}($oderby=filename)", 0, "Did you mean '$orderby'?", 31),
        (
            "expand",
            f"{FILES}($top=1;$expand=objectid_email)",
            errors.ODATA_UNSUPPORTED,
            "Only $select and $filter clause",
            31,
        ),
        (
            "expand",
            f"{FILES}($orderby=filename),createdby($expand=businessunitid)",
            errors.ODATA_UNSUPPORTED,
            "Only $select and $filter clause",
            31,
        ),
        ("expand", "*", errors.ODATA_UNSUPPORTED, "$expand=* is not supported", 0),
        ("orderby", "name up", 0, "expected the end, found 'up'", 5),
        ("orderby", "nme", 0, "'nme'", 0),
        ("top", "-1", 0, "requires a non-negative", None),
        ("top", "ten", 0, "Invalid value 'ten' for $top", None),
        ("count", "yes", 0, "$count must be true or false", None),
        ("apply", "groupby((statecode),aggregate($count as n)", 0, "expected ')'", 42),
        ("apply", "groupby((createdon))", errors.ODATA_UNSUPPORTED, "groupby with datetime values is not supported", 9),
        ("apply", "group((statecode))", errors.ODATA_UNSUPPORTED, "Did you mean 'groupby'?", 0),
        ("apply", "aggregate(retrycount with total as n)", errors.ODATA_UNSUPPORTED, "'total'", 26),
        ("apply", "aggregate(retrycount with countdistinct as n)", errors.ODATA_UNSUPPORTED, "'countdistinct'", 26),
    ],
)
def test_an_option_is_refused_where_it_is_wrong(
    option: str, text: str, code: int, message: str, position: int | None
) -> None:
    with pytest.raises(QueryError) as caught:
        odata(**{option: text})
    assert message in caught.value.message
    assert (caught.value.code, caught.value.status, caught.value.position) == (code, 400, position)


@pytest.mark.parametrize("option", ["skip", "search", "format", "compute"])
def test_options_that_the_web_api_does_not_have_are_refused_by_name(option: str) -> None:
    with pytest.raises(QueryError, match=rf"'\${option}' is not supported"):
        odata(**{option: "1"})


def test_an_unknown_option_is_answered_with_the_nearest() -> None:
    with pytest.raises(AdjournError, match=r"'\$fliter' does not exist. Did you mean '\$filter'\?") as caught:
        odata(fliter="statecode eq 1")
    assert caught.value.status == 400


@pytest.mark.requirement("M118")
def test_an_order_by_an_aggregate_is_refused_with_the_way_that_works() -> None:
    with pytest.raises(QueryError, match=r"SingleValueOpenPropertyAccess is not supported.*FetchXML") as caught:
        odata(apply="groupby((statecode),aggregate($count as count))", orderby="count desc")
    assert caught.value.code == errors.ODATA_UNSUPPORTED


def test_sixteen_expands_are_one_too_many() -> None:
    targets = "account appointment businessunit contact email fax import importfile importlog letter organization"
    names = [f"regardingobjectid_{name}" for name in (*targets.split(), "phonecall", "systemuser", "task", "team")]
    assert len(odata(expand=",".join(names)).links) == 15
    with pytest.raises(QueryError) as caught:
        odata(expand=",".join([*names, "createdby"]))
    assert caught.value.code == 0x8004430D
