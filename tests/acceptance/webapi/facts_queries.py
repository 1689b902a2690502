"""Facts of the Web API's reference: query options, pages, filters, expands, groups, other languages (§6 to §11)."""

from __future__ import annotations

import re

from tests.acceptance.webapi.facts import ALL, CRM, FORMATTED, Fact

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
        "GET accounts?$apply=aggregate(numberofemployees with sum as S,numberofemployees with average as A,"
        "numberofemployees with min as I,numberofemployees with max as X,$count as N)",
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
SECTIONS = {
    "6": OPTIONS,
    "7": PAGING,
    "8": FILTERS,
    "9": EXPAND,
    "10": APPLY,
    "11": QUERIES,
}
