"""What only the whole way shows: a sample of the table of questions over HTTP, and what FetchXML answers besides rows."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote
from xml.sax.saxutils import quoteattr

import httpx
import pytest
from tests.queries import asking, questions_values, world
from tests.queries.asking import Question
from tests.queries.world import CATALOG

from adjourn import config
from adjourn.client import Client
from adjourn.metadata import values

from .conftest import created, error_of
from .test_customizing import attribute, label, table

ORGANIZATION = f"organizations({config.ORGANIZATION_ID})"
FORMATTED = "@OData.Community.Display.V1.FormattedValue"
PREFER = {"Prefer": 'odata.include-annotations="*"'}
COOKIE = "@Microsoft.Dynamics.CRM.fetchxmlpagingcookie"


def options(*found: tuple[int, str]) -> dict[str, Any]:
    return {"IsGlobal": False, "Options": [{"Value": value, "Label": label(text)} for value, text in found]}


KINDS, TAGS = options((1, "Rail"), (2, "air"), (3, "Sea")), options(*((10**n, f"Tag {n}") for n in range(5)))
COLUMNS = (
    attribute("Memo", "new_Note"), attribute("DateTime", "new_Start"), attribute("DateTime", "new_End"),
    attribute("DateTime", "new_Day", DateTimeBehavior={"Value": "DateOnly"}), attribute("Integer", "new_Seats"),
    attribute("Integer", "new_Taken"), attribute("Money", "new_Price", Precision=4),
    attribute("Decimal", "new_Rate", Precision=2), attribute("Double", "new_Weight"), attribute("BigInt", "new_Count"),
    attribute("Boolean", "new_Open"), attribute("Picklist", "new_Kind", OptionSet=KINDS),
    attribute("MultiSelectPicklist", "new_Tags", OptionSet=TAGS),
)  # fmt: skip
MADE = {"new_tripid", "new_name", *(column["SchemaName"].lower() for column in COLUMNS)}
TRIPS = {"new_trip": [{n: v for n, v in row.items() if n in MADE} for row in world.rows()["new_trip"][:40]]}


@pytest.fixture
def trips(http: httpx.Client) -> httpx.Client:
    """The table of trips, made at run time, with a part of the world's rows."""
    assert http.post("EntityDefinitions", json=table("new_Trip", *COLUMNS)).status_code == 204
    for row in TRIPS["new_trip"]:
        columns = CATALOG.tables["new_trip"].columns
        body = {name: values.to_wire(columns[name], value) for name, value in row.items() if value is not None}
        created(http, "new_trips", {n: float(v) if n in ("new_price", "new_rate") else v for n, v in body.items()})
    return http


def sampled() -> list[Question]:
    found = [q for q in questions_values.QUESTIONS if not any(name in str((q.odata, q.fetch)) for name in OTHERS)]
    return found[::2]


OTHERS = ("new_accountid", "new_AccountId", "new_parentid", "new_ParentId", "new_target")


def test_a_sample_of_the_questions_is_answered_over_http(trips: httpx.Client) -> None:
    sample = sampled()
    assert len(sample) >= 40
    for question in sample:
        for form, query in asking.parsed(question):
            if form not in ("OData", "FetchXML"):
                continue
            parameters = dict(question.odata or ()) if form == "OData" else {"fetchXml": question.fetch or ""}
            answer = trips.get("new_trips", params=parameters)
            assert answer.status_code == 200, (question.name, form, answer.text)
            right = asking.expected(query, TRIPS, world.ASKERS[0], world.NOWS[0])
            assert [(row["new_tripid"],) for row in answer.json()["value"]] == right, (question.name, form)


def test_a_column_of_several_choices_is_written_read_and_described(trips: httpx.Client) -> None:
    address = created(trips, "new_trips", {"new_name": "T", "new_tags": "1000,1,1"})
    row = trips.get(address, headers=PREFER).json()
    assert (row["new_tags"], row[f"new_tags{FORMATTED}"]) == ("1,1000", "Tag 0; Tag 3")
    assert error_of(trips.patch(address, json={"new_tags": "1,2"}))[:2] == (400, "0x80044354")
    assert error_of(trips.patch(address, json={"new_tags": 1.5}))[:2] == (400, "0x80044354")
    assert trips.patch(address, json={"new_tags": ""}).status_code == 204
    assert trips.get(address).json()["new_tags"] is None
    kind = "Microsoft.Dynamics.CRM.MultiSelectPicklistAttributeMetadata"
    column = f"EntityDefinitions(LogicalName='new_trip')/Attributes(LogicalName='new_tags')/{kind}?$expand=OptionSet"
    found = trips.get(column).json()
    assert (found["AttributeType"], found["AttributeTypeName"]["Value"]) == ("Virtual", "MultiSelectPicklistType")
    assert [option["Value"] for option in found["OptionSet"]["Options"]] == [1, 10, 100, 1000, 10000]
    assert '<Property Name="new_tags" Type="Edm.String"' in trips.get("$metadata").text
    fetch = (
        "<fetch aggregate='true'><entity name='new_trip'><attribute name='new_tags' groupby='true' alias='t'/>"
        "<attribute name='new_tripid' aggregate='count' alias='n'/></entity></fetch>"
    )
    groups = trips.get("new_trips", params={"fetchXml": fetch}, headers=PREFER).json()["value"]
    assert {row.get("t"): row.get(f"t{FORMATTED}") for row in groups}["1,10"] == "Tag 0; Tag 1"


def test_fiscal_years_follow_the_organizations_settings_at_once(http: httpx.Client) -> None:
    created(http, "accounts", {"name": "Old", "overriddencreatedon": "2023-08-27T12:00:00Z"})
    fetch = (
        "<fetch aggregate='true'><entity name='account'><attribute name='overriddencreatedon' groupby='true' alias='p' "
        "dategrouping='fiscal-period'/><attribute name='overriddencreatedon' groupby='true' alias='y' dategrouping='fiscal-year'/>"
        "<attribute name='accountid' aggregate='count' alias='n'/><order alias='p'/></entity></fetch>"
    )

    def asked() -> dict[str, Any]:
        (row,) = http.get("accounts", params={"fetchXml": fetch}).json()["value"]
        return {name: row[name] for name in "pyn"}

    assert asked() == {"p": "Quarter 3 FY2023", "y": "FY2023", "n": 1}
    settings = {"fiscalcalendarstart": "2020-07-01T00:00:00Z", "fiscalperiodtype": 2003, "fiscalyeardisplaycode": 2,
                "fiscalperiodformatperiod": 5, "fiscalyearformatprefix": 2, "fiscalyearformatsuffix": 2,
                "fiscalyearperiodconnect": " - "}  # fmt: skip
    assert http.patch(ORGANIZATION, json=settings).status_code == 204
    assert asked() == {"p": "M2 - 2024 Fiscal Year", "y": "2024 Fiscal Year", "n": 1}
    inside = "Microsoft.Dynamics.CRM.InFiscalPeriodAndYear(PropertyName='overriddencreatedon',PropertyValue1=2,PropertyValue2=2024)"
    assert len(http.get("accounts", params={"$filter": inside}).json()["value"]) == 1
    assert error_of(http.patch(ORGANIZATION, json={"fiscalperiodtype": 1}))[0] == 400
    outside = "Microsoft.Dynamics.CRM.InFiscalPeriod(PropertyName='overriddencreatedon',PropertyValue=13)"
    assert "from 1 to 12, found 13" in error_of(http.get("accounts", params={"$filter": outside}))[2]


def test_children_are_counted_and_a_tree_is_walked(http: httpx.Client) -> None:
    root = created(http, "accounts", {"name": "Root"})
    for name in ("A", "B"):
        created(http, "accounts", {"name": name, "parentaccountid@odata.bind": f"/{root}"})
    key = root.partition("(")[2].rstrip(")")
    fetch = (
        "<fetch><entity name='account'><attribute name='name'/><attribute name='accountid' alias='Children' "
        f"rowaggregate='CountChildren'/><filter><condition attribute='accountid' operator='eq-or-under' value='{key}'/></filter>"
        "<order attribute='name'/></entity></fetch>"
    )
    rows = http.get("accounts", params={"fetchXml": fetch}, headers=PREFER).json()["value"]
    assert [(row["name"], row["Children"]) for row in rows] == [("A", 0), ("B", 0), ("Root", 2)]
    assert rows[2]["Children@OData.Community.Display.V1.AttributeName"] == "accountid"
    under = f"Microsoft.Dynamics.CRM.Under(PropertyName='accountid',PropertyValue='{key}')"
    assert [row["name"] for row in http.get("accounts", params={"$filter": under}).json()["value"]] == ["A", "B"]
    relationship = http.get("RelationshipDefinitions(SchemaName='account_parent_account')").json()
    assert relationship["IsHierarchical"] is True


def test_full_text_search_is_refused_by_name(http: httpx.Client) -> None:
    wanted = "Microsoft.Dynamics.CRM.Contains(PropertyName='name',PropertyValue='x')"
    assert "full-text" in error_of(http.get("accounts", params={"$filter": wanted}))[2]


def _page(http: httpx.Client, number: int, cookie: str = "") -> tuple[list[str], str]:
    paging = f" paging-cookie={quoteattr(cookie)}" if cookie else ""
    fetch = (
        f"<fetch count='3' page='{number}'{paging}><entity name='account'><attribute name='name'/>"
        "<order attribute='name' descending='true'/></entity></fetch>"
    )
    body = http.get("accounts", params={"fetchXml": fetch}, headers=PREFER).json()
    inner = unquote(unquote(body.get(COOKIE, "").partition('pagingcookie="')[2].partition('"')[0]))
    return [row.get("name", "") for row in body["value"]], inner


def test_a_cookie_leads_back_as_well_as_on(http: httpx.Client, org: Client) -> None:
    for name in "abcdefghijkl":
        org.create("account", {"name": name})
    first, cookie = _page(http, 1)
    second, cookie = _page(http, 2, cookie)
    third, cookie = _page(http, 3, cookie)
    assert [first, second, third] == [list("lkj"), list("ihg"), list("fed")]
    org.create("account", {"name": "z"})  # by its number the page before would now be another one
    back, cookie = _page(http, 2, cookie)
    assert back == second
    again, cookie = _page(http, 3, cookie)
    assert again == third
    assert _page(http, 1, cookie)[0] == list("zlk")


def test_a_querys_own_limit_of_rows_to_aggregate_is_kept(http: httpx.Client, org: Client) -> None:
    for name in "abc":
        org.create("account", {"name": name})
    fetch = (
        "<fetch aggregate='true' aggregatelimit='{}'><entity name='account'><attribute name='name' alias='n' "
        "aggregate='count'/></entity></fetch>"
    )
    assert http.get("accounts", params={"fetchXml": fetch.format(3)}).json()["value"] == [{"n": 3}]
    status, code, message = error_of(http.get("accounts", params={"fetchXml": fetch.format(2)}))
    assert (status, code) == (400, "0x8004e023")
    assert message == "AggregateQueryRecordLimit exceeded. Cannot perform this operation."


def test_a_sum_beyond_64_bits_is_refused(trips: httpx.Client) -> None:
    for _ in range(2):
        created(trips, "new_trips", {"new_name": "x", "new_count": 2**63 - 1})
    fetch = (
        "<fetch aggregate='true'><entity name='new_trip'><attribute name='new_count' alias='n' aggregate='sum'/>"
        "</entity></fetch>"
    )
    assert error_of(trips.get("new_trips", params={"fetchXml": fetch}))[:2] == (400, "0x80041136")


def test_a_column_is_counted_and_grouped_by_in_one_query(http: httpx.Client, org: Client) -> None:
    """As in the documentation's own example."""
    for name in ("Redmond", "Redmond", "Dallas", "x"):
        org.create("account", {"name": name})
    fetch = (
        "<fetch aggregate='true'><entity name='account'><attribute name='numberofemployees' alias='Total' aggregate='sum'/>"
        "<attribute name='name' alias='Count' aggregate='count'/><attribute name='name' alias='City' groupby='true'/>"
        "<order alias='City'/></entity></fetch>"
    )
    rows = http.get("accounts", params={"fetchXml": fetch}).json()["value"]
    assert [(row["City"], row["Count"], row["Total"]) for row in rows] == [
        ("Dallas", 1, 0),
        ("Redmond", 2, 0),
        ("x", 1, 0),
    ]


def test_a_relationship_of_ones_own_makes_a_tree_and_only_one(http: httpx.Client) -> None:
    assert http.post("EntityDefinitions", json=table("new_Part")).status_code == 204

    def relationship(name: str, referenced: str = "new_part") -> httpx.Response:
        body = {"@odata.type": "Microsoft.Dynamics.CRM.OneToManyRelationshipMetadata", "SchemaName": f"new_{name}",
                "ReferencedEntity": referenced, "ReferencingEntity": "new_part", "IsHierarchical": True,
                "Lookup": attribute("Lookup", f"new_{name}Id")}  # fmt: skip
        return http.post("RelationshipDefinitions", json=body)

    assert relationship("Whole").status_code == 204
    assert "whose hierarchy is 'new_Whole'" in error_of(relationship("Other"))[2]
    assert "with itself" in error_of(relationship("Account", "account"))[2]
    whole = created(http, "new_parts", {"new_name": "whole"})
    created(http, "new_parts", {"new_name": "part", "new_WholeId@odata.bind": f"/{whole}"})
    key = whole.partition("(")[2].rstrip(")")
    under = f"Microsoft.Dynamics.CRM.Under(PropertyName='new_partid',PropertyValue='{key}')"
    assert [row["new_name"] for row in http.get("new_parts", params={"$filter": under}).json()["value"]] == ["part"]
