"""The facts of the Web API's reference, section by section: one request each, with what its answer must say.

A row is (what must hold, request, status, what the answer holds). Requests name records by {contoso}, {fabrikam}, {joe} and
{job}. What has a module of its own (expand, batch, paging, files, metadata, lambdas, keys) is proved there in depth.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from adjourn import config
from adjourn.pipeline.call import Call
from adjourn.service import Service
from adjourn.webapi.app import create_app
from adjourn.webapi.server import run

from .conftest import TOKEN

ALL = {"Prefer": 'odata.include-annotations="*"'}
FORMATTED = "@OData.Community.Display.V1.FormattedValue"
CRM = "Microsoft.Dynamics.CRM"


@dataclass(frozen=True)
class Fact:
    """One statement of the reference.

    holds: a text that the answer's body matches (a regular expression), or headers by name as "Name: pattern".
    """

    says: str
    request: str
    status: int
    holds: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None


@dataclass(frozen=True)
class Place:
    """A served organization: a client, and the ids that requests name."""

    http: httpx.Client
    names: dict[str, str]

    def ask(self, fact: Fact) -> httpx.Response:
        method, _, address = fact.request.partition(" ")
        body = fact.body
        if isinstance(body, dict):
            body = json.loads(self.filled(json.dumps(body)))
            return self.http.request(method, self.filled(address), headers=fact.headers, json=body)
        return self.http.request(method, self.filled(address), headers=fact.headers, content=body)

    def filled(self, text: str) -> str:
        for name, found in self.names.items():
            text = text.replace(f"{{{name}}}", found)
        return text


@pytest.fixture(scope="module")
def place(_sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    path = tmp_path_factory.mktemp("reference") / "adjourn.db"
    shutil.copyfile(_sqlite_template, path)
    service = Service.open(f"sqlite:///{path}")
    org = service.client(Call(caller=service.administrator()))
    joe = org.create("contact", {"firstname": "Joe", "lastname": "O'Brien"})
    contoso = org.create(
        "account",
        {
            "name": "Contoso",
            "revenue": 2023,
            "numberofemployees": 2023,
            "primarycontactid": ("contact", joe),
            "description": "100%",
        },
    )
    fabrikam = org.create("account", {"name": "Fabrikam", "parentaccountid": ("account", contoso)})
    org.create("task", {"subject": "Call", "regardingobjectid": ("account", contoso)})
    server = run(create_app(service, TOKEN), "127.0.0.1", 0)
    with httpx.Client(
        base_url=f"http://127.0.0.1:{server.port}/api/data/v9.2/",
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=30,
    ) as http:
        yield Place(
            http,
            {"contoso": str(contoso), "fabrikam": str(fabrikam), "joe": str(joe), "nobody": str(config.ORGANIZATION_ID),
             "root": str(http.base_url)},
        )  # fmt: skip
    server.stop()
    service.close()


ETAG = r'"@odata\.etag":"W/\\"\d+\\""'
URLS_AND_METHODS = (
    Fact("names are case-sensitive: a set", "GET Accounts", 404, ("0x8006088a", "segment 'Accounts'")),
    Fact("names are case-sensitive: a property", "GET accounts?$select=Name", 400, ("0x0", "property named 'Name'")),
    Fact("names are case-sensitive: an option", "GET accounts?fetchxml=<fetch/>", 400, ("fetchxml", "fetchXml")),
    Fact("names are case-sensitive: a function", "GET whoami", 404, ("WhoAmI",)),
    Fact("a plain address may have 32,768 characters", "GET accounts?$filter=name eq '" + "x" * 33_000 + "'", 414),
    Fact(
        "a wrong verb on a resource is 405",
        "PUT accounts",
        405,
        ("0x0", "does not support http method 'PUT'", "Allow: .*POST"),
    ),
    Fact("a wrong verb on a count is 405", "POST accounts/$count", 405, ("http method 'POST'",)),
    Fact(
        "a set that is not there",
        "GET nothings",
        404,
        ("0x8006088a", r"Resource not found for the segment 'nothings'\."),
    ),
)
HEADERS = (
    Fact(
        "If-None-Match: null is no ETag",
        "GET accounts({contoso})?$select=name",
        200,
        ("Contoso",),
        headers={"If-None-Match": "null"},
    ),
    Fact(
        "JSON of minimal metadata",
        "GET accounts?$top=1",
        200,
        ("Content-Type: application/json; odata.metadata=minimal", "OData-Version: 4.0"),
    ),
    Fact(
        "Accept may carry odata.metadata",
        "GET accounts?$top=1",
        200,
        headers={"Accept": "application/json;odata.metadata=full"},
    ),
    Fact(
        "an annotation is sent when asked for",
        "GET accounts?$select=name,statecode&$top=1",
        200,
        (f'"statecode{FORMATTED}":"Active","statecode":0', 'Preference-Applied: odata.include-annotations="\\*"'),
        headers=ALL,
    ),
    Fact(
        "no annotation is sent unasked",
        "GET accounts?$select=name,statecode&$top=1",
        200,
        lacks=("Community", "CRM\\."),
    ),
    Fact(
        "a suffix wildcard chooses",
        "GET accounts?$select=_ownerid_value&$top=1",
        200,
        ("lookuplogicalname", "associatednavigationproperty"),
        (FORMATTED,),
        headers={"Prefer": f'odata.include-annotations="{CRM}.*"'},
    ),
    Fact(
        "preferences are joined by commas beside a quoted list with commas",
        "GET accounts?$select=statecode",
        200,
        ("nextLink", f"statecode{FORMATTED}", "Preference-Applied: .*maxpagesize=1"),
        headers={"Prefer": f'odata.include-annotations="{FORMATTED[1:]},{CRM}.x",odata.maxpagesize=1'},
    ),
    Fact("tag is passed on, not refused", "GET accounts?$top=1&tag=mine", 200),
    Fact("Consistency: Strong is accepted", "GET accounts?$top=1", 200, headers={"Consistency": "Strong"}),
    Fact(
        "a POST that prefers so answers 201 and the record",
        "POST accounts?$select=name",
        201,
        (r"#accounts\(name\)/\$entity", '"name":"Represented"', "Preference-Applied: return=representation"),
        headers={"Prefer": "return=representation"},
        body={"name": "Represented"},
    ),
    Fact(
        "a PATCH that prefers so answers 200 and the record",
        "PATCH accounts({fabrikam})?$select=name",
        200,
        ('"name":"Fabrikam"',),
        headers={"Prefer": "return=representation"},
        body={"name": "Fabrikam"},
    ),
)
ANNOTATIONS = (
    Fact(
        "an annotation stands immediately before its property",
        "GET accounts({contoso})?$select=numberofemployees",
        200,
        (f'"numberofemployees{FORMATTED}":"2,023","numberofemployees":2023',),
        headers=ALL,
    ),
    Fact(
        "money has its symbol and its currency comes along",
        "GET accounts({contoso})?$select=revenue",
        200,
        (f'"revenue{FORMATTED}":"[^"]*2,023\\.00","revenue":2023',),
        headers=ALL,
    ),
    Fact(
        "a lookup's table, navigation and name",
        "GET accounts({contoso})?$select=_primarycontactid_value",
        200,
        (
            f'"_primarycontactid_value@{CRM}.lookuplogicalname":"contact"',
            f'"_primarycontactid_value@{CRM}.associatednavigationproperty":"primarycontactid"',
            f'"_primarycontactid_value{FORMATTED}":"Joe O\'Brien"',
        ),
        headers=ALL,
    ),
    Fact(
        "a lookup to many tables names the navigation of its target",
        "GET tasks?$select=_regardingobjectid_value",
        200,
        (f'"_regardingobjectid_value@{CRM}.associatednavigationproperty":"regardingobjectid_account',),
        headers=ALL,
    ),
    Fact(
        "the total is -1 when it was not asked for",
        "GET accounts?$select=name",
        200,
        (
            f'"@{CRM}.totalrecordcount":-1',
            f'"@{CRM}.totalrecordcountlimitexceeded":false',
            f'"@{CRM}.globalmetadataversion":"\\d+"',
        ),
        headers=ALL,
    ),
    Fact(
        "the total is the count when it was",
        "GET accounts?$select=name&$count=true",
        200,
        (f'"@{CRM}.totalrecordcount":[1-9]',),
        headers=ALL,
    ),
    Fact(
        "texts and guids get no formatted value",
        "GET accounts({contoso})?$select=name",
        200,
        (),
        (f"name{FORMATTED}", f"accountid{FORMATTED}"),
        headers=ALL,
    ),
    Fact(
        "a date is formatted for the caller",
        "GET accounts({contoso})?$select=createdon",
        200,
        (f'"createdon{FORMATTED}":"\\d{{1,2}}/\\d{{1,2}}/\\d{{4}} \\d{{1,2}}:\\d\\d [AP]M"',),
        headers=ALL,
    ),
    Fact(
        "a column behind an alias",
        "GET accounts?fetchXml=<fetch><entity name='account'><attribute name='name' alias='N'/></entity></fetch>",
        200,
        ('"N@OData.Community.Display.V1.AttributeName":"name","N":',),
        headers=ALL,
    ),
)
SHAPES = (
    Fact(
        "a record begins with its etag and holds its key",
        "GET accounts?$select=name&$filter=name eq 'Contoso'",
        200,
        (rf'"value":\[{{{ETAG}', '"accountid":"{contoso}"', r"\$metadata#accounts\(name\)\""),
    ),
    Fact(
        "a lookup is read by its value; its name alone is an error",
        "GET accounts?$select=ownerid",
        400,
        ("0x0", "ownerid"),
    ),
    Fact("nulls are written in OData", "GET accounts({contoso})?$select=telephone1", 200, ('"telephone1":null',)),
    Fact(
        "nulls are left out of FetchXML's rows",
        "GET accounts?fetchXml=<fetch><entity name='account'><attribute name='telephone1'/><attribute name='name'/></entity></fetch>",
        200,
        ('"name":"Contoso"',),
        ('telephone1":',),
    ),
    Fact(
        "nulls are left out of groups",
        "GET accounts?$apply=groupby((telephone1),aggregate($count as n))",
        200,
        ('"value":\\[{"n":\\d+}\\]',),
        ("telephone1", "etag", "accountid"),
    ),
    Fact(
        "an expanded single record is an object",
        "GET accounts({contoso})?$select=name&$expand=primarycontactid($select=fullname)",
        200,
        ('"primarycontactid":{.*"fullname":"Joe O\'Brien"', r"#accounts\(name,primarycontactid\(fullname\)\)/\$entity"),
    ),
    Fact(
        "an empty lookup is null",
        "GET accounts({fabrikam})?$select=name&$expand=primarycontactid($select=fullname)",
        200,
        ('"primarycontactid":null',),
    ),
    Fact(
        "inside a collection an expanded single record has no etag",
        "GET accounts?$select=name&$filter=name eq 'Contoso'&$expand=primarycontactid($select=fullname)",
        200,
        (),
        (r'"primarycontactid":{"@odata\.etag"',),
    ),
    Fact(
        "a moment is UTC and ends in Z",
        "GET accounts({contoso})?$select=createdon",
        200,
        (r'"createdon":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z"',),
    ),
    Fact(
        "one property",
        "GET accounts({contoso})/name",
        200,
        (r'"@odata.context":"{root}\$metadata#accounts\({contoso}\)/name","value":"Contoso"',),
    ),
    Fact("a property that is null is 204", "GET accounts({contoso})/telephone1", 204),
    Fact("the raw value", "GET accounts({contoso})/name/$value", 200, ("^Contoso$", "Content-Type: text/plain")),
    Fact(
        "references of a collection",
        "GET accounts/$ref",
        200,
        (r"\$metadata#Collection\(\$ref\)", r'"@odata.id":"{root}accounts\({contoso}\)"'),
    ),
    Fact(
        "the context of a function",
        "GET WhoAmI",
        200,
        (rf"\$metadata#{CRM}\.WhoAmIResponse", "BusinessUnitId", "UserId", "OrganizationId"),
    ),
    Fact(
        "the context of $apply is the set",
        "GET accounts?$apply=aggregate($count as n)",
        200,
        (r'\$metadata#accounts","value"',),
    ),
)
DOCUMENTS = (
    Fact(
        "the service document",
        "GET ",
        200,
        (
            r'"@odata.context":"{root}\$metadata"',
            '{"name":"asyncoperations","kind":"EntitySet","url":"asyncoperations"}',
        ),
    ),
    Fact(
        "the metadata is XML",
        "GET $metadata",
        200,
        (
            "Content-Type: application/xml",
            'Schema [^>]*Namespace="Microsoft.Dynamics.CRM"[^>]*Alias="mscrm"',
            'EntityType Name="asyncoperation" BaseType="mscrm.crmbaseentity"',
            'Name="crmmodelbaseentity"',
            'Property Name="versionnumber" Type="Edm.Int64"',
            'Name="regardingobjectid_account"',
        ),
    ),
    Fact("descriptions when asked for", "GET $metadata?annotations=true", 200, ("Org.OData.Core.V1.Description",)),
    Fact("no descriptions unasked", "GET $metadata", 200, (), ("Org.OData.Core.V1.Description",)),
)
OPTIONS = (
    *(
        Fact(f"{name} is not supported", f"GET accounts?{name}=1", 501, ("0x80060888", re.escape(name)))
        for name in ("$skip", "$search", "$format", "$compute")
    ),
    *(
        Fact(
            f"{name} is not supported in $expand",
            f"GET accounts?$expand=Account_Tasks({name}=1)",
            400,
            (re.escape(name),),
        )
        for name in ("$levels", "$count", "$skip", "$search")
    ),
    Fact(
        "an alias stands for a literal",
        "GET accounts?$select=name&$filter=name eq @p1&@p1='Contoso'",
        200,
        ("Contoso",),
        ("Fabrikam",),
    ),
    Fact(
        "an alias that is never assigned is null",
        "GET accounts?$select=name&$filter=telephone1 eq @p1",
        200,
        ("Contoso",),
    ),
    Fact("an alias in $orderby", "GET accounts?$select=name&$orderby=@o&@o=name", 200, ("Contoso",)),
    Fact(
        "a lookup sorts by its target's name",
        "GET accounts?$select=name&$orderby=_primarycontactid_value desc&$top=1",
        200,
        ("Contoso",),
    ),
    Fact("text ignores case", "GET accounts?$select=name&$filter=name eq 'CONTOSO'", 200, ("Contoso",)),
    *(
        Fact(
            f"{pattern} is a wildcard",
            f"GET accounts?$select=name&$filter=contains(name,'{pattern}')",
            200,
            ("Contoso",),
        )
        for pattern in ("C%25o", "C_nt", "[a-c]ont", "[^x]ont")
    ),
    Fact("a quote is doubled", "GET contacts?$select=fullname&$filter=lastname eq 'O''Brien'", 200, ("O'Brien",)),
    Fact("a guid may be quoted", "GET accounts?$select=name&$filter=accountid eq '{contoso}'", 200, ("Contoso",)),
    Fact("a guid is plain", "GET accounts?$select=name&$filter=accountid eq {contoso}", 200, ("Contoso",)),
    Fact("blanks may be plus signs", "GET accounts?$select=name&$filter=name+eq+'Contoso'", 200, ("Contoso",)),
    Fact("a dollar may be encoded", "GET accounts?%24select=name&%24top=1", 200, ('"name":',)),
)
PAGING = (
    Fact(
        "a page has a link to the next one",
        "GET accounts?$select=name&$orderby=name",
        200,
        (r'"@odata.nextLink":"{root}accounts\?\$select=name&\$orderby=name&\$skiptoken=',),
        headers={"Prefer": "odata.maxpagesize=1"},
    ),
    Fact("the last page has none", "GET accounts?$select=name", 200, (), ("nextLink",)),
    Fact(
        "$count=true counts all, also with $top",
        "GET accounts?$select=name&$top=1&$count=true",
        200,
        ('"@odata.count":[2-9]',),
    ),
    Fact(
        "/$count is text with a byte order mark",
        "GET accounts/$count",
        200,
        ("^\ufeff\\d+$", "Content-Type: text/plain"),
    ),
    Fact("/$count takes $filter", "GET accounts/$count?$filter=name eq 'Contoso'", 200, ("^\ufeff1$",)),
    *(
        Fact(f"/$count refuses {option}", f"GET accounts/$count?{option}=x", 400, (option,))
        for option in ("savedQuery", "userQuery", "fetchXml")
    ),
    Fact(
        "RetrieveTotalRecordCount",
        "GET RetrieveTotalRecordCount(EntityNames=['account'])",
        200,
        ('"EntityRecordCountCollection":{"Count":1,"IsReadOnly":false,"Keys":\\["account"\\],"Values":\\[\\d+\\]}',),
    ),
)
FILTERS = (
    Fact("ne keeps what is null", "GET accounts?$select=name&$filter=telephone1 ne '1'", 200, ("Contoso",)),
    Fact("a column with a column", "GET accounts?$select=name&$filter=createdon le modifiedon", 200, ("Contoso",)),
    Fact("a column with a column of another type is refused", "GET accounts?$filter=createdon eq name", 400),
    Fact(
        "a path through lookups",
        "GET accounts?$select=name&$filter=primarycontactid/createdby/fullname ne null",
        200,
        ("Contoso",),
        ("Fabrikam",),
    ),
    Fact("in", "GET accounts?$select=name&$filter=name in ('Contoso','x')", 200, ("Contoso",), ("Fabrikam",)),
    Fact(
        "any",
        "GET accounts?$select=name&$filter=Account_Tasks/any(t:t/subject eq 'Call')",
        200,
        ("Contoso",),
        ("Fabrikam",),
    ),
    Fact(
        "any of nothing",
        "GET accounts?$select=name&$filter=not Account_Tasks/any()",
        200,
        ("Fabrikam",),
        ('"Contoso"',),
    ),
    Fact(
        "more than 500 conditions",
        "GET accounts?$filter=" + " or ".join(["statecode eq 0"] * 501),
        400,
        ("0x8004430c|0x8004430C",),
    ),
    Fact(
        "a query function needs its namespace", "GET accounts?$filter=Today(PropertyName='createdon')", 400, ("Today",)
    ),
    Fact("the column of a query function is quoted", f"GET accounts?$filter={CRM}.Today(PropertyName=createdon)", 400),
    Fact(
        "a query function",
        f"GET accounts?$select=name&$filter={CRM}.Last7Days(PropertyName='createdon')",
        200,
        ("Contoso",),
    ),
    Fact(
        "a query function cannot be negated",
        f"GET accounts?$filter=not {CRM}.Today(PropertyName='createdon')",
        400,
        ("0x80060888", "Not operator along with the Custom Named Condition operators is not allowed"),
    ),
    Fact(
        "values of a list are strings, also numbers",
        f'GET accounts?$select=name&$filter={CRM}.In(PropertyName=\'statecode\',PropertyValues=["0","1"])',
        200,
        ("Contoso",),
    ),
    Fact(
        "two values",
        f'GET accounts?$select=name&$filter={CRM}.Between(PropertyName=\'numberofemployees\',PropertyValues=["2000","3000"])',
        200,
        ("Contoso",),
        ("Fabrikam",),
    ),
    Fact(
        "an open literal has its position",
        "GET accounts?$filter=name eq 'x",
        400,
        ("There is an unterminated literal at position 8 in 'name eq 'x'",),
    ),
)
EXPAND = (
    Fact("sixteen are too many", "GET accounts?$expand=" + ",".join(["createdby"] * 16), 400),
    Fact(
        "a collection is followed by its link",
        "GET accounts({contoso})?$select=name&$expand=Account_Tasks($select=subject)",
        200,
        (
            '"Account_Tasks":\\[{.*"Account_Tasks@odata.nextLink":"{root}accounts\\({contoso}\\)/Account_Tasks\\?\\$select=subject"',
        ),
    ),
    Fact(
        "no children are an empty list",
        "GET accounts({fabrikam})?$select=name&$expand=Account_Tasks($select=subject)",
        200,
        ('"Account_Tasks":\\[\\]', "Account_Tasks@odata.nextLink"),
    ),
    Fact(
        "a reference",
        "GET accounts({contoso})?$select=name&$expand=primarycontactid/$ref",
        200,
        (r'"primarycontactid":{"@odata.id":"{root}contacts\({joe}\)"}',),
    ),
    Fact("everything is not supported", "GET accounts?$expand=*", 400),
    Fact("what is no navigation", "GET accounts?$expand=primarycontact", 400, ("primarycontact",)),
)
APPLY = (
    Fact(
        "aggregates",
        "GET accounts?$apply=aggregate(numberofemployees with sum as S,numberofemployees with average as A,numberofemployees with min as I,numberofemployees with max as X,$count as N)",
        200,
        ('"S":2023', '"A":2023', '"I":2023', '"X":2023', '"N":\\d'),
    ),
    Fact(
        "countdistinct is not supported",
        "GET accounts?$apply=aggregate(name with countdistinct as n)",
        400,
        ("countdistinct",),
    ),
    Fact("avg is called average", "GET accounts?$apply=aggregate(numberofemployees with avg as n)", 400, ("average",)),
    Fact("distinct values", "GET accounts?$apply=groupby((statuscode))", 200, ('"value":\\[{"statuscode":1}\\]',)),
    Fact(
        "a group through a lookup is named after its table",
        "GET accounts?$apply=groupby((primarycontactid/fullname),aggregate($count as n))",
        200,
        ('"contact_fullname":"Joe O\'Brien"',),
    ),
    Fact("a group by date is not available", "GET accounts?$apply=groupby((createdon))", 400, ("createdon",)),
    Fact(
        "order by an aggregate is refused",
        "GET accounts?$apply=groupby((statecode),aggregate($count as n))&$orderby=n",
        400,
        ("0x80060888", "The query node SingleValueOpenPropertyAccess is not supported", "FetchXML"),
    ),
    Fact(
        "an aggregate of nothing is one row",
        "GET accounts?$apply=filter(name eq 'nobody')/aggregate($count as n)",
        200,
        ('"value":\\[{"n":0}\\]',),
    ),
    Fact(
        "doubled brackets and the alias count",
        "GET accounts?$apply=filter((statecode eq 0))/groupby((statecode),aggregate($count as count))",
        200,
        ('"statecode":0,"count":\\d+',),
    ),
    Fact(
        "formatted values of groups",
        "GET accounts?$apply=groupby((statecode),aggregate($count as n))",
        200,
        (f'"statecode{FORMATTED}":"Active","statecode":0', f'"n{FORMATTED}":"\\d+","n":'),
        headers=ALL,
    ),
)
QUERIES = (
    Fact(
        "the fetch is for the set of the address",
        "GET contacts?fetchXml=<fetch><entity name='account'/></fetch>",
        400,
        ("0x80041128",),
    ),
    Fact(
        "a fetch never has a next link but a cookie",
        "GET accounts?fetchXml=<fetch count='1'><entity name='account'><attribute name='name'/></entity></fetch>",
        200,
        (
            f'"@{CRM}.morerecords":true',
            f'"@{CRM}.fetchxmlpagingcookie":"<cookie pagenumber=\\\\"2\\\\" pagingcookie=\\\\"%253ccookie%2520page',
            'istracking=\\\\"False\\\\" />',
        ),
        ("nextLink",),
        headers=ALL,
    ),
    Fact(
        "no cookie when there are no more",
        "GET accounts?fetchXml=<fetch><entity name='account'><attribute name='name'/></entity></fetch>",
        200,
        (f'"@{CRM}.morerecords":false',),
        ("pagingcookie",),
        headers=ALL,
    ),
    Fact(
        "$count beside a fetch",
        "GET accounts?fetchXml=<fetch count='1'><entity name='account'/></fetch>&$count=true",
        200,
        ('"@odata.count":\\d',),
    ),
    Fact("a view that is not there", "GET accounts?savedQuery={nobody}", 404),
    Fact(
        "another option beside a fetch",
        "GET accounts?fetchXml=<fetch><entity name='account'/></fetch>&$top=1",
        400,
        ("top",),
    ),
)
WRITES = (
    Fact(
        "a create answers with the address",
        "POST accounts",
        204,
        (r"OData-EntityId: ^{root}accounts\([0-9a-f-]{36}\)$",),
        body={"name": "New"},
    ),
    Fact(
        "the id may be in the body",
        "POST accounts",
        204,
        (r"OData-EntityId: accounts\(01900000-0000-7000-8000-000000000001\)",),
        body={"name": "Own id", "accountid": "01900000-0000-7000-8000-000000000001"},
    ),
    Fact(
        "the same id again is a duplicate",
        "POST accounts",
        412,
        ("0x80040237",),
        body={"name": "Own id", "accountid": "01900000-0000-7000-8000-000000000001"},
    ),
    Fact(
        "a PATCH of what is absent creates",
        "PATCH accounts(01900000-0000-7000-8000-000000000002)",
        204,
        ("OData-EntityId: 000000000002",),
        body={"name": "Upserted"},
    ),
    Fact(
        "an upsert that creates with a representation is 201",
        "PATCH accounts(01900000-0000-7000-8000-000000000003)",
        201,
        ('"name":"Upserted"',),
        headers={"Prefer": "return=representation"},
        body={"name": "Upserted"},
    ),
    Fact(
        "If-Match: * never creates",
        "PATCH accounts(01900000-0000-7000-8000-000000000009)",
        404,
        ("0x80040217",),
        headers={"If-Match": "*"},
        body={"name": "x"},
    ),
    Fact(
        "If-None-Match: * never updates",
        "PATCH accounts({contoso})",
        412,
        ("0x80040237", "A record with matching key values already exists."),
        headers={"If-None-Match": "*"},
        body={"name": "x"},
    ),
    Fact("an empty PATCH is 204", "PATCH accounts({contoso})", 204, body={}),
    Fact("an unchanged PATCH is 204", "PATCH accounts({contoso})", 204, body={"name": "Contoso"}),
    Fact("PUT of one property", "PUT accounts({contoso})/telephone1", 204, body={"value": "1"}),
    Fact("DELETE of one property", "DELETE accounts({contoso})/telephone1", 204),
    Fact("DELETE of a lookup's value is refused", "DELETE accounts({contoso})/_primarycontactid_value", 400),
    Fact(
        "a lookup is cleared by null",
        "PATCH accounts(01900000-0000-7000-8000-000000000002)",
        204,
        body={"primarycontactid": None},
    ),
    Fact(
        "a lookup is cleared by a bind of null",
        "PATCH accounts(01900000-0000-7000-8000-000000000002)",
        204,
        body={"primarycontactid@odata.bind": None},
    ),
    Fact(
        "a bind",
        "PATCH accounts(01900000-0000-7000-8000-000000000002)",
        204,
        body={"primarycontactid@odata.bind": "/contacts({joe})"},
    ),
    Fact(
        "a bind by an absolute address",
        "PATCH accounts(01900000-0000-7000-8000-000000000002)",
        204,
        body={"primarycontactid@odata.bind": "{root}contacts({joe})"},
    ),
    Fact(
        "PUT of a reference",
        "PUT accounts(01900000-0000-7000-8000-000000000002)/primarycontactid/$ref",
        204,
        body={"@odata.id": "{root}contacts({joe})"},
    ),
    Fact("DELETE of a reference", "DELETE accounts(01900000-0000-7000-8000-000000000002)/primarycontactid/$ref", 204),
    Fact(
        "a collection's reference",
        "POST accounts({contoso})/account_parent_account/$ref",
        204,
        body={"@odata.id": "accounts(01900000-0000-7000-8000-000000000002)"},
    ),
    Fact(
        "DELETE of a collection's reference by $id",
        "DELETE accounts({contoso})/account_parent_account/$ref?$id={root}accounts(01900000-0000-7000-8000-000000000002)",
        204,
    ),
    Fact("DELETE of a record", "DELETE accounts(01900000-0000-7000-8000-000000000003)", 204),
    Fact(
        "DELETE of what is absent",
        "DELETE accounts(01900000-0000-7000-8000-000000000003)",
        404,
        ("0x80040217", "account With Id = 01900000-0000-7000-8000-000000000003 Does Not Exist"),
    ),
)
ETAGS = (
    Fact(
        "an old version is 412",
        "PATCH accounts({contoso})",
        412,
        ("0x80060882", "The version of the existing record doesn't match the RowVersion property provided."),
        headers={"If-Match": 'W/"1"'},
        body={"name": "x"},
    ),
    Fact(
        "an old version is not deleted",
        "DELETE accounts({contoso})",
        412,
        ("0x80060882",),
        headers={"If-Match": 'W/"1"'},
    ),
    Fact("what is no ETag is refused", "PATCH accounts({contoso})", 400, headers={"If-Match": "x"}, body={"name": "x"}),
)
KEYS = (Fact("no such key", "GET accounts(name='Contoso')", 400, ("0x80060890",)),)
FUNCTIONS = (
    Fact("a bound function needs its namespace", "GET accounts({contoso})/Nothing()", 404),
    Fact(
        "POST to a function",
        "POST WhoAmI",
        404,
        ('"code":""', "No HTTP resource was found that matches the request URI '"),
        body={},
    ),
    Fact(
        "GET of an action",
        "GET ExecuteAsync",
        404,
        ('"code":""', "No HTTP resource was found that matches the request URI '"),
    ),
    Fact("a parameter by alias", 'GET RetrieveTotalRecordCount(EntityNames=@p)?@p=["account"]', 200, ("account",)),
    Fact(
        "an enum",
        f"GET RetrieveCurrentOrganization(AccessType={CRM}.EndpointAccessType'Default')",
        200,
        ("OrganizationId",),
    ),
)
DEFINITIONS = (
    Fact(
        "by logical name",
        "GET EntityDefinitions(LogicalName='asyncoperation')?$select=EntitySetName",
        200,
        ("asyncoperations",),
    ),
    Fact(
        "the SDK's question",
        "GET EntityDefinitions?$select=LogicalName,EntitySetName,PrimaryIdAttribute&$filter=LogicalName eq 'account'",
        200,
        ('"LogicalName":"account","EntitySetName":"accounts","PrimaryIdAttribute":"accountid"',),
    ),
    *(
        Fact(f"no {option}", f"GET EntityDefinitions?{option}=1", 400, (re.escape(option),))
        for option in ("$top", "$orderby", "$count")
    ),
    Fact(
        "a cast with its options",
        f"GET EntityDefinitions(LogicalName='asyncoperation')/Attributes(LogicalName='statuscode')/{CRM}.StatusAttributeMetadata?$select=LogicalName&$expand=OptionSet",
        200,
        ('"Value":30', '"State":3', '"Label":"Succeeded"'),
    ),
    Fact(
        "states name their default status",
        f"GET EntityDefinitions(LogicalName='asyncoperation')/Attributes(LogicalName='statecode')/{CRM}.StateAttributeMetadata?$select=LogicalName&$expand=OptionSet",
        200,
        ("DefaultStatus", "InvariantName"),
    ),
    *(
        Fact(f"the list {name}", f"GET EntityDefinitions(LogicalName='account')/{name}", 200, ('"value":\\[',))
        for name in ("Keys", "OneToManyRelationships", "ManyToOneRelationships", "ManyToManyRelationships")
    ),
    Fact(
        "a relationship by its name",
        "GET RelationshipDefinitions(SchemaName='Account_AsyncOperations')",
        200,
        ("asyncoperation",),
    ),
    Fact(
        "an enum in a filter",
        f"GET EntityDefinitions?$select=LogicalName&$filter=OwnershipType eq {CRM}.OwnershipTypes'UserOwned'",
        200,
        ('"account"',),
    ),
    Fact(
        "a complex property in a filter",
        "GET EntityDefinitions?$select=LogicalName&$filter=IsCustomizable/Value eq true",
        200,
    ),
    *(
        Fact(
            f"the cast {kind}",
            f"GET EntityDefinitions(LogicalName='account')/Attributes/{CRM}.{kind}AttributeMetadata?$select=LogicalName",
            200,
            ('"value":\\[',),
        )
        for kind in (
            "Picklist",
            "State",
            "Status",
            "Boolean",
            "MultiSelectPicklist",
            "Lookup",
            "String",
            "Memo",
            "Integer",
            "BigInt",
            "DateTime",
            "Decimal",
            "Double",
            "Money",
            "File",
            "Uniqueidentifier",
        )
    ),
)
ERRORS = (
    Fact(
        "an unknown column in a body",
        "POST accounts",
        400,
        ("Invalid property 'nam' was found in entity 'Microsoft.Dynamics.CRM.account'",),
        body={"nam": "x"},
    ),
    Fact(
        "an unknown column in a filter",
        "GET accounts?$filter=nam eq 'x'",
        400,
        ("Could not find a property named 'nam' on type 'Microsoft.Dynamics.CRM.account'",),
    ),
    Fact(
        "a bad name of a bind",
        "POST accounts",
        400,
        (
            "0x80048d19",
            "Error identified in Payload provided by the user for Entity :'accounts'",
            "undeclared property 'nobody'",
        ),
        body={"name": "x", "nobody@odata.bind": "/contacts({joe})"},
    ),
    Fact(
        "a text that is too long",
        "PATCH accounts({contoso})",
        400,
        (
            "0x80044331",
            "A validation error occurred.  The length of the 'name' attribute of the 'account' entity exceeded the maximum allowed length of '160'.",
        ),
        body={"name": "x" * 161},
    ),
    Fact(
        "a record that is not there",
        "GET accounts({nobody})",
        404,
        ("0x80040217", "account With Id = {nobody} Does Not Exist"),
    ),
    Fact(
        "an error's members beside code and message come when annotations are asked for",
        "GET accounts({nobody})",
        404,
        (
            '"@Microsoft.PowerApps.CDS.ErrorDetails.OperationStatus":"0"',
            '"@Microsoft.PowerApps.CDS.ErrorDetails.SubErrorCode":"2147746327"',
            '"@Microsoft.PowerApps.CDS.HelpLink":"http://go.microsoft.com/fwlink/\\?LinkID=398563&error=Microsoft.Crm.CrmException%3a80040217&client=platform"',
            '"@Microsoft.PowerApps.CDS.TraceText":"',
            '"@Microsoft.PowerApps.CDS.InnerError.Message":"',
        ),
        headers=ALL,
    ),
    Fact("and only then", "GET accounts({nobody})", 404, (), ("PowerApps",)),
)
SECTIONS = {
    "1": URLS_AND_METHODS, "2": HEADERS, "3": ANNOTATIONS, "4": SHAPES, "5": DOCUMENTS, "6": OPTIONS, "7": PAGING, "8": FILTERS,
    "9": EXPAND, "10": APPLY, "11": QUERIES, "12": WRITES, "13": KEYS, "14": ETAGS, "16": FUNCTIONS, "17": DEFINITIONS,
    "18": ERRORS,
}  # fmt: skip


@pytest.mark.parametrize(
    "fact", [pytest.param(fact, id=f"§{section} {fact.says}") for section, facts in SECTIONS.items() for fact in facts]
)
def test_the_reference_holds(place: Place, fact: Fact) -> None:
    answer = place.ask(fact)
    assert answer.status_code == fact.status, answer.text[:2000]
    text = answer.text[:1_000_000]
    for pattern in fact.holds:
        header = re.match(r"([A-Z][A-Za-z]+(?:-[A-Za-z]+)*): ", pattern)
        where = answer.headers.get(header[1], "") if header else text
        wanted = pattern[header.end() :] if header else pattern
        wanted = re.sub(r"\{(\w+)\}", lambda m: re.escape(place.names[m[1]]) if m[1] in place.names else m[0], wanted)
        assert re.search(wanted, where, re.DOTALL), f"{wanted!r} is not in {where[:2000]!r}"
    for pattern in fact.lacks:
        assert not re.search(place.filled(pattern), text), f"{pattern!r} is in {text[:2000]!r}"
