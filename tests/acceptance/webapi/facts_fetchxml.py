"""Facts of FetchXML's reference, asked over HTTP; operators and windows have tests of their own (tests/queries)."""

from __future__ import annotations

from urllib.parse import quote

from tests.acceptance.webapi.facts import ALL, CRM, FORMATTED, Fact


def fact(
    says: str, inside: str, status: int, holds: tuple[str, ...] = (), lacks: tuple[str, ...] = (), **more: str
) -> Fact:
    """inside: of the entity `account`. fetch: the root's attributes."""
    text = f"<fetch {more.get('fetch', '')}><entity name='account'>{inside}</entity></fetch>"
    # The names of records stay as they are: the test fills them in.
    return Fact(says, f"GET accounts?fetchXml={quote(text, safe='{}')}", status, holds, lacks, ALL)


NAME = "<attribute name='name'/>"


CONTACT = "<link-entity name='contact' from='contactid' to='primarycontactid'"
TASK = "<link-entity name='task' from='regardingobjectid' to='accountid'"
COUNT = "<attribute name='accountid' alias='N' aggregate='count'/>"
BY_DATE = "<attribute name='createdon' alias='D' groupby='true' dategrouping="


def condition(text: str) -> str:
    return f"{NAME}<filter><condition {text}/></filter>"


def link(kind: str, inside: str = "<condition attribute='subject' operator='eq' value='Call'/>") -> str:
    return (
        f"{NAME}<filter><link-entity name='task' from='regardingobjectid' to='accountid' link-type='{kind}'>"
        f"<filter>{inside}</filter></link-entity></filter>"
    )


ELEMENTS = (
    fact("names are lower case", "<Attribute name='name'/>", 400, ("0x8004111c|0x8004111C",)),
    fact("an unknown element", "<nothing/>", 400, ("0x8004111c|0x8004111C", "nothing")),
    fact("booleans are true false 1 0", NAME, 400, ("yes",), fetch="distinct='yes'"),
    fact(
        "siblings of filters are both to hold",
        condition("attribute='name' operator='eq' value='Contoso'")
        + "<filter><condition attribute='statecode' operator='eq' value='1'/></filter>",
        200,
        ('"value":\\[\\]',),
    ),
)
ROOT = (
    fact("top beside count", NAME, 400, fetch="top='1' count='1'"),
    fact("top beside page", NAME, 400, fetch="top='1' page='1'"),
    fact("top beside a total", NAME, 400, fetch="top='1' returntotalrecordcount='true'"),
    fact("a total", NAME, 200, (f'"@{CRM}.totalrecordcount":[1-9]',), fetch="returntotalrecordcount='true'"),
    fact("no total unasked", NAME, 200, (f'"@{CRM}.totalrecordcount":-1',)),
    fact("distinct adds no key", NAME, 200, ('"name":"Contoso"',), ("accountid",), fetch="distinct='true'"),
    fact(
        "hints mean nothing",
        NAME,
        200,
        ("Contoso",),
        fetch="options='ForceOrder,HashJoin' no-lock='true' latematerialize='true'"
        " version='1.0' mapping='logical' output-format='xml-platform'",
    ),
    fact("a count of 0", NAME, 400, ("0x8004110c|0x8004110C",), fetch="count='0'"),
    fact("a page of 0", NAME, 400, ("0x8004110c|0x8004110C",), fetch="count='1' page='0'"),
)
COLUMNS = (
    fact("no attribute: the key alone", "", 200, ('"accountid"',), ('"name"',)),
    fact("all columns", "<all-attributes/>", 200, ('"name":"Contoso"', '"createdon"')),
    fact(
        "no such column",
        "<attribute name='nam'/>",
        400,
        ("0x80041103", "'account' entity doesn't contain attribute with Name = 'nam' and NameMapping = 'Logical'."),
    ),
    fact("columns are case-sensitive", "<attribute name='Name'/>", 400, ("0x80041103",)),
    fact("an alias is a name", "<attribute name='name' alias='1a'/>", 400, ("0x80041109",)),
    fact(
        "an alias stands once",
        "<attribute name='name' alias='a'/><attribute name='telephone1' alias='a'/>",
        400,
        ("0x80041130",),
    ),
    fact(
        "a linked column is named by its link",
        CONTACT + " alias='c'><attribute name='fullname'/></link-entity>",
        200,
        ('"c.fullname@OData.Community.Display.V1.AttributeName":"fullname","c.fullname":"Joe O\'Brien"',),
    ),
    fact(
        "links without alias are numbered",
        CONTACT + "><attribute name='fullname'/></link-entity>",
        200,
        ('"contact1.fullname":',),
    ),
    fact("an order by alias in a plain query", f"{NAME}<order alias='name'/>", 400, ("0x8004113[1-4]",)),
    fact(
        "an order by attribute in an aggregate",
        "<attribute name='name' alias='n' groupby='true'/><order attribute='name'/>",
        400,
        ("0x8004113[1-4]",),
        fetch="aggregate='true'",
    ),
)
FILTERS = (
    fact("ne keeps null", condition("attribute='telephone1' operator='ne' value='1'"), 200, ("Contoso",)),
    fact("not-like keeps null", condition("attribute='telephone1' operator='not-like' value='1%'"), 200, ("Contoso",)),
    fact(
        "text ignores case and knows wildcards",
        condition("attribute='name' operator='like' value='c_NT%'"),
        200,
        ("Contoso",),
        ("Fabrikam",),
    ),
    fact(
        "a column with a column",
        condition("attribute='createdon' operator='le' valueof='modifiedon'"),
        200,
        ("Contoso",),
    ),
    fact("valueof only compares", condition("attribute='name' operator='like' valueof='telephone1'"), 400),
    fact("a filter is and or or", f"{NAME}<filter type='xor'/>", 400, ("0x80041122|0x800410[fF][eE]",)),
    fact("no such operator", condition("attribute='name' operator='equals' value='x'"), 400, ("0x80041120",)),
    fact(
        "no related row: outer and null after the join",
        condition("entityname='c' attribute='contactid' operator='null'") + CONTACT + " alias='c' link-type='outer'/>",
        200,
        ("Fabrikam",),
        ('"name":"Contoso"',),
    ),
    fact("an entityname that is not there", condition("entityname='q' attribute='name' operator='null'"), 400),
    fact("a value that is none of the column's", condition("attribute='statecode' operator='eq' value='Active'"), 400),
    fact(
        "zero days",
        condition("attribute='createdon' operator='last-x-days' value='0'"),
        400,
        ("0x8004110c|0x8004110C", "greater than zero"),
    ),
)
JOINS = (
    fact("only one of from and to", "<link-entity name='contact' from='contactid'/>", 400, ("0x80041111",)),
    fact("no such link-type", CONTACT + " link-type='full'/>", 400, ("0x80041121",)),
    fact("no such table", "<link-entity name='nothing' from='contactid' to='primarycontactid'/>", 400, ("0x80041102",)),
    *(
        fact(
            f"{kind}: the parent once, no columns",
            f"{NAME}{TASK} link-type='{kind}'/>",
            200,
            ("Contoso",),
            ("Fabrikam",),
        )
        for kind in ("exists", "in")
    ),
    fact(
        "the first row alone, with its columns",
        NAME + TASK + " alias='t' link-type='matchfirstrowusingcrossapply'><attribute name='subject'/></link-entity>",
        200,
        ('"t.subject":"Call"',),
        ("Fabrikam",),
    ),
    fact("any", link("any"), 200, ("Contoso",), ("Fabrikam",)),
    fact("not any", link("not any"), 200, ("Fabrikam",), ('"name":"Contoso"',)),
    fact("all: there are some and none of them matches", link("all"), 200, (), ("Contoso", "Fabrikam")),
    fact(
        "all, of what does not match",
        link("all", "<condition attribute='subject' operator='eq' value='x'/>"),
        200,
        ("Contoso",),
        ("Fabrikam",),
    ),
    fact("not all is any", link("not all"), 200, ("Contoso",), ("Fabrikam",)),
    fact("any stands in a filter only", f"{TASK} link-type='any'/>", 400),
)
GROUPS = (
    fact(
        "count counts nulls, countcolumn does not",
        "<attribute name='telephone1' alias='N' aggregate='count'/><attribute name='numberofemployees' alias='C' aggregate='countcolumn'/>",
        200,
        ('"N":[2-9]', '"C":1'),
        fetch="aggregate='true'",
    ),
    fact(
        "an aggregate row has no key and no etag",
        "<attribute name='statecode' alias='S' groupby='true'/>" + COUNT,
        200,
        (f'"S{FORMATTED}":"Active"', '"S":0'),
        ("etag", 'accountid":'),
        fetch="aggregate='true'",
    ),
    fact(
        "a grouped lookup",
        "<attribute name='primarycontactid' alias='P' groupby='true'/>" + COUNT,
        200,
        (f'"P@{CRM}.lookuplogicalname":"contact"', f'"P{FORMATTED}":"Joe O\'Brien"', '"P":"{joe}"'),
        fetch="aggregate='true'",
    ),
    fact("a plain attribute in an aggregate", NAME, 400, ("0x80041107",), fetch="aggregate='true'"),
    fact(
        "an attribute without alias",
        "<attribute name='name' groupby='true'/>",
        400,
        ("0x8004110b|0x8004110B",),
        fetch="aggregate='true'",
    ),
    *(
        fact(f"by {part}", f"{BY_DATE}'{part}'/>", 200, ('"D":',), fetch="aggregate='true'")
        for part in ("day", "week", "month", "quarter", "year", "fiscal-period", "fiscal-year")
    ),
    fact(
        "a year is formatted with its separator",
        f"{BY_DATE}'year'/>",
        200,
        (f'"D{FORMATTED}":"\\d,\\d\\d\\d"',),
        fetch="aggregate='true'",
    ),
    fact("no such part of a date", f"{BY_DATE}'hour'/>", 400, ("0x80041135",), fetch="aggregate='true'"),
    fact(
        "more rows than its own limit",
        "<attribute name='accountid' alias='N' aggregate='count'/>",
        400,
        ("0x8004[Ee]023", "AggregateQueryRecordLimit exceeded. Cannot perform this operation."),
        fetch="aggregate='true' aggregatelimit='1'",
    ),
    fact(
        "children of a record",
        f"{NAME}<attribute name='accountid' alias='K' rowaggregate='CountChildren'/>",
        200,
        ('"K":1',),
    ),
)
LIMITS = (
    fact("sixteen links", (CONTACT + "/>") * 16, 400, ("0x8004430[dD]",)),
    Fact("nothing", "GET accounts?fetchXml=", 400, ("0x8004112[45]|0x80040201",)),
    Fact("what is no XML", "GET accounts?fetchXml=%3Cfetch", 400, ("0x80040201",)),
)
SECTIONS = {
    "FetchXML 1": ELEMENTS,
    "FetchXML 2": ROOT,
    "FetchXML 3": COLUMNS,
    "FetchXML 4": FILTERS,
    "FetchXML 5": JOINS,
    "FetchXML 8": GROUPS,
    "FetchXML 10": LIMITS,
}
