"""Facts of FetchXML's reference: pages and answers (§7), errors (§9), messages (§11), and what the specification asks (§12)."""

from __future__ import annotations

from urllib.parse import quote

from tests.acceptance.webapi.facts import ALL, CRM, FORMATTED, Fact
from tests.acceptance.webapi.facts_batch import batch, part
from tests.acceptance.webapi.facts_fetchxml import BY_DATE, CONTACT, COUNT, NAME, TASK, fact

ATTRIBUTE_NAME = "@OData.Community.Display.V1.AttributeName"
BY_NAME = NAME + "<order attribute='name'/>"
ENCODED_ONCE = "<cookie page='1'><name last='Contoso' first='Contoso'/><accountid last='{{contoso}}' first='{{contoso}}'/></cookie>"
GROUPED = "aggregate='true'"


LONG = "GET accounts?fetchXml=" + quote(
    "<fetch><entity name='account'><attribute name='name'/><filter type='or'>CONDITIONS</filter></entity></fetch>",
    safe="'/=",
)


def escaped(cookie: str) -> str:
    return cookie.replace("<", "&lt;").replace(">", "&gt;").replace("'", "&quot;")


def after(cookie: str, page: int, inside: str = BY_NAME) -> str:
    text = f'<fetch count="1" page="{page}" paging-cookie="{escaped(cookie)}"><entity name="account">{inside}</entity></fetch>'
    return f"GET accounts?fetchXml={quote(text, safe='{}')}"


INNER = (
    "%253ccookie%2520page%253d%25221%2522%253e%253cname%2520last%253d%2522[^%]+%2522%2520first%253d%2522[^%]+%2522%2520%252f%253e"
    "%253caccountid%2520last%253d%2522%257b[0-9A-F-]{36}%257d%2522%2520first%253d%2522%257b[0-9A-F-]{36}%257d%2522%2520%252f%253e"
    "%253c%252fcookie%253e"
)
PAGES = (
    fact("simple paging ends at 50,000 rows", NAME, 400, ("0x8004430[aA]",), fetch="count='5000' page='11'"),
    fact("up to there it works", NAME, 200, ('"value":\\[\\]',), fetch="count='5000' page='10'"),
    fact("pages of one row", BY_NAME, 200, ('"value":\\[{[^}]*}\\]',), fetch="count='1' page='2'"),
    fact(
        "a cookie holds the order's columns, then the key, encoded twice",
        BY_NAME,
        200,
        (
            rf'"@{CRM}.fetchxmlpagingcookie":"<cookie pagenumber=\\"2\\" pagingcookie=\\"{INNER}\\" istracking=\\"False\\" />"',
        ),
        fetch="count='1' page='1'",
    ),
    fact(
        "a null in a cookie",
        NAME + "<order attribute='fax'/>",
        200,
        ("%253cfax%2520lastnull%253d%25221%2522%2520firstnull%253d%25221%2522%2520%252f%253e",),
        fetch="count='1'",
    ),
    fact(
        "an order by a linked column has a cookie too, where Dataverse has none",
        NAME + CONTACT + " alias='c' link-type='outer'><order attribute='fullname'/></link-entity>",
        200,
        (f'"@{CRM}.morerecords":true', "pagingcookie"),
        fetch="count='1' page='1'",
    ),
    fact(
        "and pages are counted without it",
        NAME + CONTACT + " alias='c' link-type='outer'><order attribute='fullname'/></link-entity>",
        200,
        ('"value":\\[{',),
        fetch="count='1' page='2'",
    ),
    fact(
        "more records, and the total that nobody asked for",
        NAME,
        200,
        (f'"@{CRM}.morerecords":true', f'"@{CRM}.totalrecordcount":-1'),
        fetch="count='1'",
    ),
    fact(
        "the total and its limit",
        NAME,
        200,
        (
            f'"@{CRM}.totalrecordcount":([2-9]|[1-9][0-9])',
            f'"@{CRM}.totalrecordcountlimitexceeded":false',
            f'"@{CRM}.globalmetadataversion":"\\d+"',
        ),
        fetch="count='1' returntotalrecordcount='true'",
    ),
    fact("never a nextLink", NAME, 200, (), ("nextLink",), fetch="count='1'"),
    Fact(
        "$count=true beside it",
        "GET accounts?fetchXml=<fetch count='1'><entity name='account'/></fetch>&$count=true",
        200,
        (r'"@odata\.count":([2-9]|[1-9][0-9])',),
    ),
    Fact("$count beside it is refused", "GET accounts/$count?fetchXml=<fetch><entity name='account'/></fetch>", 400),
    Fact(
        "a page size by Prefer when the fetch has none",
        "GET accounts?fetchXml=<fetch><entity name='account'><attribute name='name'/></entity></fetch>",
        200,
        (f'"@{CRM}.fetchxmlpagingcookie"', "Preference-Applied: odata.maxpagesize=1"),
        ("nextLink",),
        headers={"Prefer": "odata.maxpagesize=1"},
    ),
    Fact(
        "a cookie of another page does not help: the page is found by its number",
        after(ENCODED_ONCE, 900),
        200,
        ('"value":\\[\\]',),
    ),
    Fact("and no further than without one", after(ENCODED_ONCE, 50_001), 400, ("0x8004430[aA]",)),
    Fact(
        "the page after a cookie",
        after(ENCODED_ONCE, 2),
        200,
        ('"value":\\[{',),
        ('"name":"Contoso"',),
    ),
)
ROWS = (
    fact("nulls are left out", "<attribute name='fax'/>", 200, ('"accountid"',), ('"fax',)),
    fact("a lookup by its value", "<attribute name='primarycontactid'/>", 200, ('"_primarycontactid_value":"{joe}"',)),
    fact(
        "a linked column by its link's alias, with its name",
        CONTACT + " alias='c'><attribute name='fullname'/><attribute name='statecode'/></link-entity>",
        200,
        (f'"c.fullname{ATTRIBUTE_NAME}":"fullname","c.fullname":', f'"c.statecode{FORMATTED}":"Active"'),
    ),
    fact(
        "money has its symbol; there is one currency, so none comes along",
        "<attribute name='revenue'/>",
        200,
        (f'"revenue{FORMATTED}":"\\$2,023.00"',),
        ("transactioncurrency",),
    ),
    fact(
        "an aggregate under its alias exactly as it is spelt",
        "<attribute name='numberofemployees' alias='TotalSize' aggregate='sum'/>",
        200,
        (f'"TotalSize{ATTRIBUTE_NAME}":"numberofemployees"', '"TotalSize":2023'),
        ("etag", "accountid", "totalsize"),
        fetch=GROUPED,
    ),
    fact(
        "a grouped lookup has its table and name",
        "<attribute name='primarycontactid' alias='Who' groupby='true'/>" + COUNT,
        200,
        (f'"Who@{CRM}.lookuplogicalname":"contact"', f'"Who{FORMATTED}":"Joe O\'Brien"', '"Who":"{joe}"'),
        fetch=GROUPED,
    ),
    batch(
        "a long fetch comes in a batch",
        (
            part(
                LONG.replace(
                    "CONDITIONS", quote("<condition attribute='name' operator='eq' value='Contoso'/>" * 499, safe="'/=")
                )
            ),
        ),
        200,
        ('"name":"Contoso"',),
    ),
)
WRONG_COOKIE = "<cookie page='1'><telephone1 last='x' first='x'/></cookie>"


def raw(says: str, text: str, *codes: str) -> Fact:
    return Fact(says, f"GET accounts?fetchXml={quote(text, safe='')}", 400, ("|".join(codes),))


def wrong(code: str, says: str, inside: str, fetch: str = "") -> Fact:
    return fact(f"{code} {says}", inside, 400, (f"(?i){code}",), fetch=fetch)


def where(attribute: str, operator: str, more: str = "") -> str:
    return f"<filter><condition attribute='{attribute}' operator='{operator}' {more}/></filter>"


ERRORS = (
    raw("0x80040201 not well formed", "<fetch><entity name='account'></fetch>", "0x80040201"),
    raw("0x80040201 a DOCTYPE", "<!DOCTYPE x><fetch><entity name='account'/></fetch>", "0x80040201", "0x80040303"),
    raw("0x80041125 nothing but a comment", "<!-- x -->", "0x80041125", "0x80041124", "0x80040201"),
    raw("0x80040303 another root", "<fetchxml/>", "0x80040303"),
    raw("0x80041123 no entity", "<fetch/>", "0x80041123"),
    raw("0x8004111E an entity without name", "<fetch><entity/></fetch>", "(?i)0x8004111e"),
    raw("0x80041128 the entity of another set", "<fetch><entity name='contact'/></fetch>", "0x80041128"),
    raw("0x80041102 no such table", "<fetch><entity name='accoun'/></fetch>", "0x80041102"),
    wrong("0x800410FD", "useraworderby is no boolean", NAME, "useraworderby='x'"),
    wrong("0x80041122|0x800410FE", "a filter's type", NAME + "<filter type='nor'/>"),
    wrong("0x80041102", "no such linked table", "<link-entity name='nothing' from='x' to='y'/>"),
    wrong("0x80041103", "no such column", "<attribute name='nam'/>"),
    wrong("0x80041103", "no such column in a condition", where("nam", "null")),
    wrong("0x80041103", "no such column in an order", "<order attribute='nam'/>"),
    wrong(
        "0x80041103", "no such column in a link", "<link-entity name='contact' from='contacti' to='primarycontactid'/>"
    ),
    wrong("0x80041106|0x80041108", "a condition without values", where("name", "in")),
    wrong("0x80041107", "a plain attribute in an aggregate", NAME, GROUPED),
    wrong("0x80041108|0x80041139", "a value of another type", where("numberofemployees", "eq", "value='many'")),
    wrong("0x80040363|0x80041108", "a value that is no guid", where("accountid", "eq", "value='x'")),
    wrong("0x80041109", "an alias that is none", "<attribute name='name' alias='a b'/>"),
    wrong("0x8004110A|0x8004113[1-4]", "an alias that is not there", COUNT + "<order alias='q'/>", GROUPED),
    wrong("0x8004110B", "no alias", "<attribute name='name' aggregate='count'/>", GROUPED),
    *(wrong("0x8004110C", f"{text}", NAME, text) for text in ("count='0'", "count='-1'", "page='0'", "top='0'")),
    wrong("0x80041111", "from alone", "<link-entity name='contact' from='contactid'/>"),
    wrong("0x80041111", "to alone", "<link-entity name='contact' to='primarycontactid'/>"),
    wrong("0x80041115", "distinct", NAME, "distinct='maybe'"),
    wrong("0x80041116", "mapping", NAME, "mapping='x'"),
    wrong("0x80041117|0x80041121", "link-type", CONTACT + " link-type='x'/>"),
    wrong("0x80041118", "no-lock", NAME, "no-lock='x'"),
    wrong("0x80041119", "descending", NAME + "<order attribute='name' descending='x'/>"),
    wrong("0x8004111A|0x8004", "aggregate", NAME, "aggregate='x'"),
    wrong("0x8004111B|0x8004", "min-active-row-version", NAME, "min-active-row-version='x'"),
    wrong("0x8004111C", "an unknown element", "<columns/>"),
    wrong("0x8004111D", "utc-offset", NAME, "utc-offset='60'"),
    wrong("0x8004111E", "an attribute without name", "<attribute/>"),
    wrong("0x8004111E", "a condition without operator", "<filter><condition attribute='name'/></filter>"),
    wrong("0x80041120", "no such operator", where("name", "is", "value='x'")),
    wrong("0x80041126", "an order of a link that is not there", NAME + "<order attribute='name' entityname='q'/>"),
    wrong(
        "0x80041129|0x8004112A",
        "a cookie of another order",
        BY_NAME,
        f"count='1' page='2' paging-cookie='{escaped(WRONG_COOKIE)}'",
    ),
    wrong("0x8004112A", "what is no cookie", BY_NAME, "count='1' page='2' paging-cookie='x'"),
    wrong("0x8004112C", "distinct rows of no column", "", "distinct='true'"),
    wrong("0x80041107", "all columns of an aggregate", "<all-attributes/>", GROUPED),
    wrong("0x80041111", "columns of two types joined", "<link-entity name='contact' from='contactid' to='name'/>"),
    wrong("0x80041123", "two entities", NAME + "</entity><entity name='account'>"),
    wrong("0x80040303", "retained rows, which there are none of", NAME, "datasource='retained'"),
    wrong("0x8004112E", "groupby is no boolean", "<attribute name='name' alias='n' groupby='x'/>", GROUPED),
    wrong("0x8004112F", "a sum of texts", "<attribute name='name' alias='n' aggregate='sum'/>", GROUPED),
    wrong(
        "0x8004112F|0x8004111A", "no such aggregate", "<attribute name='name' alias='n' aggregate='median'/>", GROUPED
    ),
    wrong("0x80041130", "an alias twice", "<attribute name='name' alias='n'/><attribute name='fax' alias='n'/>"),
    wrong("0x80041131|0x80041132", "order by attribute in an aggregate", COUNT + "<order attribute='name'/>", GROUPED),
    wrong("0x8004113[1-4]", "order by alias in a plain query", NAME + "<order alias='name'/>"),
    wrong("0x8004113[1-4]", "order by nothing", NAME + "<order/>"),
    wrong("0x8004113[1-4]", "order by nothing in an aggregate", COUNT + "<order/>", GROUPED),
    wrong("0x80041135", "dategrouping", f"{BY_DATE}'hour'/>", GROUPED),
    wrong(
        "0x80041135|0x8004",
        "dategrouping of a text",
        "<attribute name='name' alias='n' groupby='true' dategrouping='day'/>",
        GROUPED,
    ),
    wrong(
        "0x80041137",
        "one attribute grouped and aggregated",
        "<attribute name='name' alias='a' groupby='true' aggregate='count'/>",
        GROUPED,
    ),
    wrong("0x80041138", "isquickfindfields", NAME + "<filter isquickfindfields='x'/>"),
    batch(
        "0x8004430C 501 conditions",
        (part(LONG.replace("CONDITIONS", quote("<condition attribute='fax' operator='null'/>" * 501, safe="'/="))),),
        400,
        ("(?i)0x8004430C",),
    ),
    wrong("0x8004430D", "sixteen links", (TASK + " link-type='outer'/>") * 16),
    wrong("0x8004E023", "an aggregate's own limit", COUNT, GROUPED + " aggregatelimit='1'"),
)
NOBODY = "<fetch><entity name='account'><filter><condition attribute='name' operator='eq' value='nobody'/></filter></entity></fetch>"
CONVERSIONS = ("FetchXmlToQueryExpression", "QueryExpressionToFetchXml", "ExecuteFetch", "ExportToExcel")
MESSAGES = (
    *(
        Fact(f"{name} is refused by name", f"POST {name}", 501, (f"'{name}' is not supported",), body={})
        for name in CONVERSIONS
    ),
    Fact("a function too", "GET FetchXmlToQueryExpression(FetchXml='x')", 501, ("BulkDelete takes FetchXML",)),
    Fact(
        "BulkDelete takes FetchXML as it is",
        "POST BulkDeleteCount",
        200,
        ('"Count":0',),
        body={
            "QuerySet": [
                {
                    "Query": NOBODY,
                    "@odata.type": f"{CRM}.FetchExpression",
                }
            ]
        },
    ),
    Fact("system views hold FetchXML", "GET savedqueries?$select=fetchxml&$top=1", 200, ('"fetchxml":"<fetch',)),
    Fact(
        "so do one's own",
        "POST userqueries",
        204,
        body={
            "name": "mine",
            "returnedtypecode": "account",
            "querytype": 0,
            "fetchxml": "<fetch><entity name='account'><attribute name='name'/></entity></fetch>",
        },
    ),
)
FILES = (
    "<fetch aggregate='true'><entity name='asyncoperation'> <attribute name='owningextensionid' groupby='true' alias='owningextension'/> "
    "<attribute name='statecode' groupby='true' alias='statecode'/> <filter> <condition attribute='datablobid' operator='not-null'/> "
    "</filter> <link-entity name='fileattachment' from='fileattachmentid' to='datablobid'> <attribute name='filesizeinbytes' "
    "aggregate='sum' alias='TotalSize'/> <attribute name='fileattachmentid' aggregate='count' alias='RecordCount'/> <filter> "
    "<condition attribute='objectidtypecode' operator='eq' value='4700'/> </filter> <order alias='TotalSize' descending='true'/> "
    "</link-entity> </entity> </fetch>"
)


def jobs(says: str, text: str, encoded: str = "", holds: tuple[str, ...] = ('"value":\\[',)) -> Fact:
    return Fact(says, f"GET asyncoperations?fetchXml={encoded or quote(text, safe='')}", 200, holds, headers=ALL)


SPECIFICATION = (
    jobs(
        "single quotes, and a blank before the end",
        "<fetch top='1000' ><entity name='asyncoperation' ><attribute name='name' /></entity ></fetch >",
    ),
    jobs(
        "groups with a count called count, in its order",
        "<fetch aggregate='true'><entity name='asyncoperation'><attribute name='statecode' groupby='true' alias='statecode'/>"
        "<attribute name='statuscode' groupby='true' alias='statuscode'/>"
        "<attribute name='operationtype' groupby='true' alias='operationtype'/>"
        "<attribute name='asyncoperationid' aggregate='count' alias='count'/><order alias='count' descending='true'/></entity></fetch>",
    ),
    *(
        jobs(
            f"grouped by {column}",
            f"<fetch aggregate='true'><entity name='asyncoperation'><attribute name='{column}' groupby='true' alias='g'/>"
            "</entity></fetch>",
        )
        for column in ("name", "friendlymessage")
    ),
    *(
        jobs(
            f"files that are {operator}",
            "<fetch><entity name='asyncoperation'><attribute name='name'/><filter>"
            f"<condition attribute='datablobid' operator='{operator}'/></filter></entity></fetch>",
        )
        for operator in ("null", "not-null")
    ),
    jobs("files by extension, ordered inside the link", FILES),
    jobs("the same, all but letters encoded", "", "".join(c if c.isalnum() else f"%{ord(c):02x}" for c in FILES)),
)
SECTIONS = {
    "FetchXML 7": PAGES,
    "FetchXML 7, rows": ROWS,
    "FetchXML 9": ERRORS,
    "FetchXML 11": MESSAGES,
    "FetchXML 12": SPECIFICATION,
}
