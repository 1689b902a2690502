"""What unmodified clients depend on, one request for each sentence (clients.md; its part on TDS is another surface)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tests.acceptance.webapi.facts import ALL, CRM, FORMATTED, Fact

ONE = {"Prefer": "odata.maxpagesize=1"}
REPRESENT = {"Prefer": "return=representation"}
ID = r"\([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\)$"
FETCH = "<fetch count='1'><entity name='account'><attribute name='name'/></entity></fetch>"
WHOLE = "<fetch><entity name='account'><attribute name='statecode'/></entity></fetch>"
GROUPED = "<fetch aggregate='true'><entity name='account'><attribute name='statecode' alias='s' groupby='true'/></entity></fetch>"
COOKIE = (
    rf'"@{CRM}.fetchxmlpagingcookie":"<cookie pagenumber=\\"2\\" pagingcookie=\\"%253ccookie%2520page%253d%25221%2522%253e'
    r'.*%253c%252fcookie%253e\\" istracking=\\"False\\" />"'
)


def fetch(says: str, text: str, holds: tuple[str, ...], lacks: tuple[str, ...] = (), **headers: str) -> Fact:
    return Fact(says, f"GET accounts?fetchXml={quote(text, safe='')}", 200, holds, lacks, headers)


def versions() -> tuple[Fact, ...]:
    return tuple(
        Fact(f"v9.{minor} is served", f"GET {{origin}}/api/data/v9.{minor}/WhoAmI", 200, ("UserId",))
        for minor in range(4)
    )


IDS = (
    *versions(),
    Fact("a create answers with the id", "POST accounts", 204, (f"OData-EntityId: {ID}",), body={"name": "x"}),
    Fact("so does 201", "POST accounts", 201, (f"OData-EntityId: {ID}",), headers=REPRESENT, body={"name": "x"}),
    Fact("and an update", "PATCH accounts({fabrikam})", 204, (f"OData-EntityId: {ID}",), body={"name": "Fabrikam"}),
    Fact(
        "and an upsert that creates",
        "PATCH accounts(01900000-0000-7000-8000-0000000000c1)",
        204,
        (f"OData-EntityId: {ID}",),
        body={"name": "x"},
    ),
)
PAGES = (
    Fact(
        "a link is absolute, by the request's own host and scheme",
        "GET accounts?$select=name",
        200,
        (r'"@odata.nextLink":"{root}accounts\?[^"]*skiptoken=',),
        headers=ONE,
    ),
    Fact(
        "by whatever name the host is called",
        "GET accounts?$select=name",
        200,
        (r'"@odata.nextLink":"http://adjourn\.example:81/api/data/v9\.2/accounts\?',),
        headers=ONE | {"Host": "adjourn.example:81"},
    ),
    Fact("a page size beside $top", "GET accounts?$top=2&$select=name", 200, ("nextLink",), headers=ONE),
    Fact(
        "the count of all rows beside $top",
        "GET accounts?$top=1&$count=true",
        200,
        (r'"@odata\.count":([2-9]|[1-9][0-9])',),
    ),
    Fact("a count is text", "GET accounts/$count", 200, ("Content-Type: text/plain", r"\d+$")),
    Fact("an option with %24", "GET accounts?%24select=name&%24filter=name%20eq%20'Contoso'", 200, ("Contoso",)),
    Fact("blanks as +", "GET accounts?$select=name&$filter=name+eq+'Contoso'", 200, ("Contoso",)),
    fetch("a cookie when there are more rows", FETCH, (COOKIE,)),
    fetch("none without", WHOLE, ("value",), ("pagingcookie",)),
    fetch("morerecords when asked for", FETCH, (f'"@{CRM}.morerecords":true',), **ALL),
    fetch("morerecords of the last page", WHOLE, (f'"@{CRM}.morerecords":false',), **ALL),
    fetch("not when it is not asked for", FETCH, (), ("morerecords",)),
)
ERRORS = (
    Fact("no such row", "GET accounts({nobody})", 404, ("Content-Type: application/json", "0x80040217")),
    Fact("no such column", "GET accounts?$select=nam", 400, ("Content-Type: application/json", '{"error":{"code":"0x')),
    Fact(
        "no such table in FetchXML",
        "GET accounts?fetchXml=<fetch><entity name='accoun'/></fetch>",
        400,
        ("Content-Type: application/json", "0x80041102"),
    ),
    Fact(
        "If-Match: * on a row that is not there",
        "PATCH accounts({nobody})",
        404,
        ("0x80040217",),
        headers={"If-Match": "*"},
        body={"name": "x"},
    ),
    Fact(
        "no token",
        "GET accounts",
        401,
        ("Content-Type: application/json", '{"error":{"code":"0x'),
        headers={"Authorization": ""},
    ),
    Fact("a wrong verb", "PUT accounts", 405, ("Content-Type: application/json", '"error"')),
    Fact("a body that is none", "POST accounts", 400, ("Content-Type: application/json", "0x80048d19"), body="{"),
)
ANNOTATIONS = (
    Fact(
        "no formatted value of a group unasked",
        "GET accounts?$apply=groupby((statecode))",
        200,
        ("statecode",),
        ("Formatted",),
    ),
    Fact(
        "asked for it is there",
        "GET accounts?$apply=groupby((statecode))",
        200,
        (f'"statecode{FORMATTED}":"Active"', "Preference-Applied: odata.include-annotations"),
        headers=ALL,
    ),
    fetch("nor of FetchXML unasked", GROUPED, ('"s":0',), ("Formatted",)),
    fetch("asked for", GROUPED, (f'"s{FORMATTED}":"Active"', "Preference-Applied: odata.include-annotations"), **ALL),
    Fact("an ETag in each row", "GET accounts?$select=name", 200, (r'{"@odata\.etag":"W/\\"\d+\\"",',)),
    Fact("minimal metadata", "GET accounts?$top=1", 200, ("Content-Type: odata.metadata=minimal",)),
    Fact(
        "an empty single-valued expand is null",
        "GET accounts({fabrikam})?$select=name&$expand=primarycontactid($select=fullname)",
        200,
        ('"primarycontactid":null',),
    ),
)
JOBS = "EntityDefinitions(LogicalName='asyncoperation')"
DEFINITIONS = (
    Fact(
        "a list by $select and $filter",
        "GET EntityDefinitions?$select=LogicalName,EntitySetName&$filter=EntitySetName eq 'asyncoperations'",
        200,
        ('"LogicalName":"asyncoperation","EntitySetName":"asyncoperations"',),
    ),
    Fact("one by its name", f"GET {JOBS}?$select=PrimaryIdAttribute", 200, ('"asyncoperationid"',)),
    Fact(
        "attributes by $filter",
        f"GET {JOBS}/Attributes?$select=LogicalName&$filter=LogicalName eq 'statuscode'",
        200,
        ('"LogicalName":"statuscode"',),
        ('"statecode"',),
    ),
    Fact("one attribute", f"GET {JOBS}/Attributes(LogicalName='name')?$select=AttributeType", 200, ('"String"',)),
    Fact(
        "a cast with its choices",
        f"GET {JOBS}/Attributes/{CRM}.PicklistAttributeMetadata?$select=LogicalName&$expand=OptionSet",
        200,
        ('"LogicalName":"operationtype"', '"Label":"Bulk Delete"'),
    ),
    *(
        Fact(f"the list {name}", f"GET {JOBS}/{name}", 200, ('"value":\\[',))
        for name in ("Keys", "ManyToOneRelationships", "OneToManyRelationships", "ManyToManyRelationships")
    ),
    Fact("messages", "GET sdkmessages?$select=name&$filter=name eq 'Update'", 200, ('"name":"Update"',)),
    Fact(
        "and their filters",
        "GET sdkmessagefilters?$select=primaryobjecttypecode&$filter=sdkmessageid/name eq 'Update' and primaryobjecttypecode eq 'account'",
        200,
        ('"primaryobjecttypecode":"account"',),
    ),
)
ACTIONS = (
    Fact("WhoAmI", "GET WhoAmI()", 200, (r'"UserId":"{admin}"',)),
    Fact(
        "CreateMultiple",
        f"POST contacts/{CRM}.CreateMultiple",
        200,
        (r'"Ids":\["[0-9a-f-]{36}"\]',),
        body={"Targets": [{"lastname": "Many", "@odata.type": f"{CRM}.contact"}]},
    ),
    Fact(
        "UpdateMultiple",
        f"POST contacts/{CRM}.UpdateMultiple",
        204,
        body={"Targets": [{"contactid": "{joe}", "firstname": "Joe", "@odata.type": f"{CRM}.contact"}]},
    ),
    Fact(
        "UpsertMultiple",
        f"POST contacts/{CRM}.UpsertMultiple",
        204,
        body={"Targets": [{"contactid": "{joe}", "firstname": "Joe", "@odata.type": f"{CRM}.contact"}]},
    ),
)


def bulk(says: str, status: int, holds: tuple[str, ...] = (), **changed: Any) -> Fact:
    """A BulkDelete of what is not there; None leaves a parameter out."""
    body = {
        "QuerySet": [query({"AttributeName": "name", "Operator": "Equal", "Values": [text("nobody")]})],
        "JobName": "clean up",
        "SendEmailNotification": False,
        "ToRecipients": [],
        "CCRecipients": [],
        "RecurrencePattern": "",
        "StartDateTime": "2099-01-01T00:00:00Z",
    } | changed
    return Fact(
        says, "POST BulkDelete", status, holds, body={key: value for key, value in body.items() if value is not None}
    )


def text(value: str, kind: str = "System.String") -> dict[str, str]:
    return {"Value": value, "Type": kind}


def query(*conditions: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"EntityName": "account", "Criteria": {"FilterOperator": "And", "Conditions": list(conditions)}, **more}


JOB = r'"JobId":"[0-9a-f-]{36}"'
NAMED = (
    "QuerySet",
    "JobName",
    "SendEmailNotification",
    "ToRecipients",
    "CCRecipients",
    "RecurrencePattern",
    "StartDateTime",
)
BULK_DELETE = (
    bulk("the answer names the job", 200, (JOB, rf"\$metadata#{CRM}\.BulkDeleteResponse")),
    *(bulk(f"{name} is required", 400, (f"'{name}'",), **{name: None}) for name in NAMED),
    bulk("SourceImportId and RunNow are optional", 200, (JOB,), RunNow=False),
    bulk("a pattern", 200, (JOB,), RecurrencePattern="FREQ=DAILY;INTERVAL=1;"),
    bulk("a start with an offset", 200, (JOB,), StartDateTime="2099-01-01T00:00:00+02:00"),
    bulk("a start with seven decimals", 200, (JOB,), StartDateTime="2099-01-01T00:00:00.1234567Z"),
    bulk(
        "@odata.type may be there",
        200,
        (JOB,),
        QuerySet=[
            query(
                {
                    "@odata.type": f"{CRM}.ConditionExpression",
                    "AttributeName": "accountid",
                    "Operator": "In",
                    "Values": [text("0ad10000-0000-7000-8000-000000000001", "System.Guid")],
                },
                **{"@odata.type": f"{CRM}.QueryExpression"},
            )
        ],
    ),
    bulk(
        "EntityName and CompareColumns, as C# sends them",
        200,
        (JOB,),
        QuerySet=[
            query(
                {
                    "EntityName": None,
                    "AttributeName": "name",
                    "Operator": "Equal",
                    "CompareColumns": False,
                    "Values": [text("nobody")],
                }
            )
        ],
    ),
    Fact(
        "the job is polled by what it is called",
        "GET asyncoperations?$select=statecode,statuscode,operationtype&$filter=name eq 'clean up'&$top=1",
        200,
        ('"statecode":1', '"operationtype":13'),
    ),
)
SECTIONS = {
    "clients 1 and 2": IDS,
    "clients 3, 4, 7 and 9": PAGES,
    "clients 5": ERRORS,
    "clients 8 and 12": ANNOTATIONS,
    "clients 10": DEFINITIONS,
    "clients 11": ACTIONS,
    "clients, BulkDelete": BULK_DELETE,
}
