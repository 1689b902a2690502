"""Facts of the Web API's reference: limits, authentication, and what is not built (§19 to §21).

Limits per user (429) are off on this machine's own address and have tests of their own (test_protection).
"""

from __future__ import annotations

import json

from tests.acceptance.webapi.facts import CRM, Fact

ANYBODY = {"Authorization": ""}
CHALLENGE = r"^Bearer authorization_uri={origin}/oauth2/authorize, resource_id={origin}/$"
LIMITS = (
    Fact(
        "a page has 5,000 rows at most",
        "GET accounts?$select=name",
        200,
        ("Preference-Applied: odata.maxpagesize=5000",),
        headers={"Prefer": "odata.maxpagesize=9000"},
    ),
    Fact(
        "fifteen expands",
        "GET accounts?$select=name&$expand=" + ",".join(["primarycontactid($select=fullname)"] * 16),
        400,
        ("15|twice",),
    ),
    Fact(
        "500 conditions",
        "GET accounts?$select=name&$filter=" + " or ".join(["revenue eq 1"] * 501),
        400,
        ("0x8004430[cC]", "500"),
    ),
    Fact(
        "500 conditions are few enough", "GET accounts?$select=name&$filter=" + " or ".join(["revenue eq 1"] * 500), 200
    ),
    Fact("an address of 32,768 characters", "GET accounts?$select=name&$filter=name eq '" + "x" * 32_000 + "'", 200),
    Fact("a longer one", "GET accounts?$select=name&$filter=name eq '" + "x" * 33_000 + "'", 414, ("32,?768",)),
    Fact("a count is exact", "GET accounts/$count", 200, ("^\ufeff\\d+$",)),
    Fact(
        "1,000 targets",
        f"POST accounts/{CRM}.CreateMultiple",
        400,
        ("1,?000",),
        body={"Targets": [{"name": "x"}] * 1001},
    ),
    Fact("a body that is nested too deeply", "POST accounts", 400, ("0x80048d19",), body='{"a":' * 70 + "1" + "}" * 70),
)
AUTHENTICATION = (
    Fact(
        "no token",
        "GET WhoAmI",
        401,
        ("0x8004430[02]", f"WWW-Authenticate: {CHALLENGE}", "Content-Type: application/json"),
        headers=ANYBODY,
    ),
    Fact(
        "a wrong token",
        "GET WhoAmI",
        401,
        ("0x8004", f"WWW-Authenticate: {CHALLENGE}"),
        headers={"Authorization": "Bearer wrong"},
    ),
    Fact(
        "what is no bearer token",
        "GET WhoAmI",
        401,
        (f"WWW-Authenticate: {CHALLENGE}",),
        headers={"Authorization": "Basic YTpi"},
    ),
    Fact("the service document needs a token", "GET ", 401, headers=ANYBODY),
    Fact("so does $metadata", "GET $metadata", 401, headers=ANYBODY),
    Fact(
        "and a batch",
        "POST $batch",
        401,
        (f"WWW-Authenticate: {CHALLENGE}",),
        headers=ANYBODY | {"Content-Type": "multipart/mixed; boundary=x"},
        body="--x--",
    ),
    Fact("an address that is not there tells a stranger nothing", "GET nothings", 401, headers=ANYBODY),
    Fact(
        "discovery asks the root of a version",
        "GET {origin}/api/data/v9.1/",
        401,
        (f"WWW-Authenticate: {CHALLENGE}",),
        headers=ANYBODY,
    ),
    Fact(
        "discovery asks for SOAP: no such endpoint",
        "GET {origin}/XRMServices/2011/Organization.svc/web",
        404,
        headers=ANYBODY,
    ),
    Fact("another SOAP address", "GET {origin}/XRMServices/2011/Discovery.svc", 404, headers=ANYBODY),
    Fact("acting for nobody", "GET WhoAmI", 403, ("0x80072560",), headers={"MSCRMCallerID": "{nobody}"}),
    Fact(
        "acting for nobody by the directory's id",
        "GET WhoAmI",
        403,
        ("0x80072560",),
        headers={"CallerObjectId": "{nobody}"},
    ),
    Fact(
        "acting for what is no guid", "GET WhoAmI", 400, ("0x80040363", "MSCRMCallerID"), headers={"MSCRMCallerID": "x"}
    ),
    Fact(
        "acting without the right to",
        "GET WhoAmI",
        403,
        ("0x80040220", "prvActOnBehalfOfAnotherUser"),
        headers={"Authorization": "Bearer {token}", "MSCRMCallerID": "{admin}"},
    ),
)


def _message(name: str) -> Fact:
    return Fact(
        f"{name} is refused by name", f"POST {name}", 501, ("0x80040315", f"'{name}' is not supported"), body={}
    )


def _draft(entityset: str, more: dict[str, object]) -> Fact:
    body = {"name": "x", **more}
    return Fact(
        f"{entityset}: {json.dumps(more)}", f"POST {entityset}", 405, ("0x80040315", "stays in state 0"), body=body
    )


NOT_BUILT = (
    Fact(
        "respond-async is passed over, and not applied",
        "GET WhoAmI",
        200,
        ("Preference-Applied: ^$", "UserId"),
        headers={"Prefer": "respond-async"},
    ),
    Fact(
        "with a callback too",
        "GET WhoAmI",
        200,
        ("Preference-Applied: ^$",),
        headers={"Prefer": 'respond-async,callback;url="https://x.example"'},
    ),
    Fact("background operations can be queried", "GET backgroundoperations", 200, ('"value":\\[\\]',)),
    Fact("none is made", "POST backgroundoperations", 405, ("0x80040315", "ExecuteAsync"), body={"name": "x"}),
    Fact("nor by an upsert", "PATCH backgroundoperations({nobody})", 405, ("0x80040315",), body={"name": "x"}),
    Fact("the status monitor's address is not served", "GET {origin}/api/backgroundoperation/{nobody}", 404),
    *(
        _message(name)
        for name in (
            "ExecuteBackgroundOperation",
            "BulkDetectDuplicates",
            "UnpublishDuplicateRule",
            "TransformImport",
            "SendBulkMail",
            "SendTemplate",
            "PropagateByExpression",
            "CreateActivitiesList",
            "ImportSolutionAsync",
            "ExportSolutionAsync",
            "DeleteAndPromoteAsync",
            "UninstallSolutionAsync",
            "GrantAccess",
        )
    ),
    Fact(
        "bound ones too",
        f"POST duplicaterules({{nobody}})/{CRM}.PublishDuplicateRule",
        501,
        ("PublishDuplicateRule", "Duplicates are not detected"),
        body={},
    ),
    Fact("an import is not parsed", f"POST imports({{nobody}})/{CRM}.ParseImport", 501, ("ParseImport",), body={}),
    Fact(
        "a workflow is not executed",
        f"POST workflows({{nobody}})/{CRM}.ExecuteWorkflow",
        501,
        ("ExecuteWorkflow",),
        body={},
    ),
    _draft("workflows", {"statecode": 1, "statuscode": 2}),
    _draft("workflows", {"statuscode": 2}),
    _draft("duplicaterules", {"baseentityname": "account", "matchingentityname": "account", "statuscode": 2}),
    _draft("imports", {"statuscode": 1}),
    _draft("importfiles", {"statuscode": 4}),
    Fact("a workflow is kept as a draft", "PUT workflows({workflow})/name", 204, body={"value": "renamed"}),
    Fact(
        "and not activated", "PATCH workflows({workflow})", 405, ("Workflows are not run yet",), body={"statecode": 1}
    ),
    Fact(
        "nor by its status",
        "PUT workflows({workflow})/statuscode",
        400,
        ("0x80048408",),
        body={"value": 2},
    ),
    Fact(
        "it may be said to be the draft that it is",
        "PATCH workflows({workflow})",
        204,
        body={"statecode": 0, "statuscode": 1},
    ),
    Fact(
        "duplicates are not looked for",
        "POST accounts",
        400,
        ("MSCRM.SuppressDuplicateDetection",),
        headers={"MSCRM.SuppressDuplicateDetection": "false"},
        body={"name": "x"},
    ),
    Fact("sql= is refused by name", "GET accounts?sql=SELECT name FROM account", 501, ("'sql' is not supported",)),
)
SECTIONS = {"19": LIMITS, "20": AUTHENTICATION, "21": NOT_BUILT}
