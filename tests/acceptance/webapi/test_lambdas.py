"""any() and all() over HTTP: paths inside them, nesting, many-to-many, aliases, and what they may not hold."""

from __future__ import annotations

import httpx
import pytest
from tests.acceptance.webapi.conftest import created, error_of

JOBS = "Account_AsyncOperations"


@pytest.fixture
def people(http: httpx.Client) -> dict[str, str]:
    """Accounts a to d. Contacts of a: Ada (no boss) and Bob (boss of b); of b: Cy (boss of a, born 2000); d's primary is Cy."""
    accounts = {name: created(http, "accounts", {"name": name}) for name in "abcd"}
    bodies = {
        "Ada": {"jobtitle": "chief", "parentcustomerid_account@odata.bind": accounts["a"]},
        "Bob": {"parentcustomerid_account@odata.bind": accounts["a"]},
        "Cy": {"jobtitle": "clerk", "birthdate": "2000-02-29", "parentcustomerid_account@odata.bind": accounts["b"]},
    }
    contacts = {name: created(http, "contacts", {"lastname": name, **body}) for name, body in bodies.items()}
    for account, contact in (("b", "Bob"), ("a", "Cy"), ("d", "Cy")):
        http.patch(accounts[account], json={"primarycontactid@odata.bind": contacts[contact]}).raise_for_status()
    return {**accounts, **contacts}


def names(http: httpx.Client, filter_: str, entityset: str = "accounts", column: str = "name", **options: str) -> str:
    """The names of the records that a filter finds, in order, joined."""
    query = {"$select": column, "$orderby": column, "$filter": filter_, **options}
    answer = http.get(entityset, params=query)
    assert answer.status_code == 200, answer.text
    return "".join(row[column][0] for row in answer.json()["value"])


@pytest.mark.parametrize(
    ("filter_", "found"),
    [
        ("contact_customer_accounts/any()", "ab"),
        ("not contact_customer_accounts/any()", "cd"),
        ("contact_customer_accounts/any(c:c/lastname eq 'Cy')", "b"),
        ("contact_customer_accounts/all(c:c/lastname eq 'Cy')", "bcd"),
        ("not contact_customer_accounts/all(c:c/lastname eq 'Cy')", "a"),
        ("contact_customer_accounts/any(c:not (c/jobtitle eq 'chief'))", "ab"),
        ("contact_customer_accounts/any(c:c/jobtitle ne null and startswith(c/lastname,'A') or c/birthdate eq 2000-02-29)",
         "ab"),
        ("contact_customer_accounts/any(c:c/lastname in ('Ada','Cy') and c/jobtitle in ('clerk',null))", "b"),
        ("contact_customer_accounts/any(c:Microsoft.Dynamics.CRM.OlderThanXYears(PropertyName='c/birthdate',PropertyValue=2))",
         "b"),
        # nested
        ("contact_customer_accounts/any(c:c/account_primary_contact/any(a:a/name eq 'b'))", "a"),
        ("contact_customer_accounts/any(c:c/account_primary_contact/any())", "ab"),
        ("contact_customer_accounts/any(c:c/account_primary_contact/all(a:a/name eq 'zz'))", "a"),
        ("(contact_customer_accounts/any(c:c/account_primary_contact/any(a:contains(a/name,'d')))) and endswith(name,'b')",
         "b"),
        # through lookups
        ("contact_customer_accounts/any(c:c/parentcustomerid_account/name eq 'a')", "a"),
        ("contact_customer_accounts/any(c:c/parentcustomerid_account/primarycontactid/lastname eq 'Cy')", "a"),
        ("contact_customer_accounts/any(c:c/parentcustomerid_account/primarycontactid/lastname ne 'Cy')", "b"),
        ("contact_customer_accounts/all(c:c/parentcustomerid_account/name ne 'a')", "bcd"),
        ("contact_customer_accounts/any(c:c/parentcustomerid_contact/lastname eq null)", "ab"),
        ("contact_customer_accounts/any(c:c/parentcustomerid_contact/lastname ne null)", ""),
        ("contact_customer_accounts/any(c:c/parentcustomerid_contact/lastname ne 'Ada')", "ab"),
        ("contact_customer_accounts/any(c:not (c/parentcustomerid_contact/lastname eq 'Ada'))", "ab"),
        ("contact_customer_accounts/any(c:not contains(c/parentcustomerid_account/name,'a'))", "b"),
        ("contact_customer_accounts/any(c:c/parentcustomerid_account/name eq c/parentcustomerid_account/name)", "ab"),
        ("contact_customer_accounts/any(c:c/firstname eq c/lastname)", ""),
    ],
)  # fmt: skip
def test_lambdas_find(http: httpx.Client, people: dict[str, str], filter_: str, found: str) -> None:
    assert names(http, filter_) == found


def test_a_record_without_a_lookup_is_like_one_whose_columns_are_null(http: httpx.Client) -> None:
    """A path inside a lambda means the same as the path outside of one: what `ne` keeps there it keeps here."""
    lead = created(http, "accounts", {"name": "lead"})
    ann = created(http, "contacts", {"lastname": "Ann"})
    http.patch(lead, json={"primarycontactid@odata.bind": ann}).raise_for_status()
    for name, body in {
        "with": {"parentaccountid@odata.bind": lead, "primarycontactid@odata.bind": ann},
        "without": {"parentaccountid@odata.bind": lead},
    }.items():
        created(http, "accounts", {"name": name, **body})
    for test in ("lastname eq 'Ann'", "lastname ne 'Ann'", "lastname eq null", "lastname ne null", "lastname in ('x')",
                 "lastname in ('x',null)", "birthdate lt 2020-01-01", "createdby/fullname ne 'x'"):  # fmt: skip
        outside = names(http, f"parentaccountid/name eq 'lead' and primarycontactid/{test}")
        inside = names(http, f"account_parent_account/any(a:a/primarycontactid/{test})")
        both = names(http, f"account_parent_account/all(a:a/primarycontactid/{test})")
        assert (inside == "l") == (outside != ""), test
        assert ("l" in both) == (len(outside) == 2), test


def test_many_to_many_collections_are_asked_from_both_sides(http: httpx.Client) -> None:
    unit = http.get("businessunits").json()["value"][0]["businessunitid"]
    team = created(http, "teams", {"name": "Ours", "businessunitid@odata.bind": f"businessunits({unit})"})
    (user,) = http.get("systemusers?$filter=isdisabled eq false").json()["value"]
    body = {"@odata.id": f"systemusers({user['systemuserid']})"}
    assert http.post(f"{team}/teammembership_association/$ref", json=body).status_code == 204
    has = "teammembership_association/any(u:u/businessunitid/name eq 'adjourn' and contains(u/fullname,'admin'))"
    assert names(http, has, "teams") == "O"
    assert names(http, f"not {has}", "teams") == "a"
    assert names(http, "teammembership_association/all(t:t/name eq 'Ours')", "systemusers", "fullname") == "SS"
    assert names(http, "teammembership_association/any(t:t/administratorid/fullname ne 'x')", "systemusers", "fullname")


def test_aliases_stand_for_values_and_properties(http: httpx.Client, people: dict[str, str]) -> None:
    more = {"@p": "'Ada'", "@q": "name", "@r": "primarycontactid/lastname", "@list": '["a","d"]'}
    assert names(http, "contact_customer_accounts/any(c:c/lastname eq @p)", **more) == "a"
    assert names(http, "contact_customer_accounts/any(c:c/lastname eq @unknown)", **more) == ""
    assert names(http, "contact_customer_accounts/any(c:c/jobtitle eq @unknown)", **more) == "a"
    assert names(http, "@r eq 'Cy' and @q ne 'd'", **more) == "a"
    assert names(http, "contains(@q,'d')", **more) == "d"
    assert names(http, "@q in @list", **more) == "ad"
    assert names(http, "Microsoft.Dynamics.CRM.In(PropertyName=@q,PropertyValues=@list)", **more) == "ad"
    assert names(http, "@q lt 'c' and @q eq @q", **{**more, "$orderby": "@q desc"}) == "ba"


@pytest.mark.requirement("M77")
def test_jobs_of_accounts_are_asked_through_their_collection(http: httpx.Client, people: dict[str, str]) -> None:
    body = {"MessageName": "WhoAmI", "Regarding": {"@odata.id": people["c"]}}
    assert http.post("ExecuteAsync", json=body).status_code == 200
    assert names(http, f"{JOBS}/any(j:j/statecode eq 0 and j/createdby/fullname eq 'System Administrator')") == "c"
    assert names(http, f"{JOBS}/all(j:j/regardingobjectid_account/name eq 'x')") == "abd"


@pytest.mark.parametrize(
    ("filter_", "code", "message", "position"),
    [
        ("primarycontactid/contact_customer_contacts/any(c:c/lastname eq 'x')", "0x80060888", "not a path through", 17),
        (f"{JOBS}/any(j:name eq 'x')", "0x80060888", "its own variable only", 30),
        (f"{JOBS}/any(j:j/name eq name)", "0x80060888", "its own variable only", 40),
        (f"{JOBS}/any(j:j/nme eq 'x')", "0x0", "'nme' on type 'Microsoft.Dynamics.CRM.asyncoperation'", 32),
        (f"{JOBS}/any(j:j/createdby/nme eq 'x')", "0x0", "'nme' on type 'Microsoft.Dynamics.CRM.systemuser'", 42),
        (f"{JOBS}/all()", "0x0", "needs a condition", 28),
        (f"{JOBS}/some(j:j/name eq 'x')", "0x0", f"Could not find a property named '{JOBS}'", 0),
        (f"{JOBS}/any(j j/name eq 'x')", "0x0", "expected ':'", 30),
        (f"{JOBS}/any(j:j/name eq 'x'", "0x0", "expected ')'", 43),
        ("nme/any()", "0x0", "Could not find a property named 'nme'", 0),
    ],
)
def test_what_a_lambda_may_not_hold_is_refused(
    http: httpx.Client, filter_: str, code: str, message: str, position: int
) -> None:
    status, found, text = error_of(http.get("accounts", params={"$filter": filter_}))
    assert (status, found) == (400, code), text
    assert message in text
    assert text.endswith(f"(at position {position})")


def test_deep_lambdas_and_long_paths_are_refused_quickly(http: httpx.Client) -> None:
    deep, end = "", ""
    for number in range(70):
        deep += (
            f"account_parent_account/any(x{number}:"
            if not number
            else f"x{number - 1}/account_parent_account/any(x{number}:"
        )
        end += ")"
    assert error_of(http.get("accounts", params={"$filter": f"{deep}x69/name eq 'a'{end}"}))[0] == 400
    path = "parentaccountid/" * 1000
    status, code, _ = error_of(
        http.get("accounts", params={"$filter": f"account_parent_account/any(a:a/{path}name eq 'x')"})
    )
    assert (status, code) == (400, "0x8004430d")
    many = " or ".join(f"a/primarycontactid/lastname eq '{n}'" for n in range(20))
    status, code, _ = error_of(http.get("accounts", params={"$filter": f"account_parent_account/any(a:{many})"}))
    assert (status, code) == (400, "0x8004430d")
