"""Facts of the Web API's reference: addresses, headers, annotations, shapes, documents (§1 to §5)."""

from __future__ import annotations

from tests.acceptance.webapi.facts import ALL, CRM, FORMATTED, Fact

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
        "money has its symbol; there is one currency, so none comes along",
        "GET accounts({contoso})?$select=revenue",
        200,
        (f'"revenue{FORMATTED}":"\\$2,023\\.00","revenue":2023',),
        ("transactioncurrency",),
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
SECTIONS = {
    "1": URLS_AND_METHODS,
    "2": HEADERS,
    "3": ANNOTATIONS,
    "4": SHAPES,
    "5": DOCUMENTS,
}
