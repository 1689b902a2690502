"""Every function and action that `$metadata` declares: a parameter that is missing, unknown, doubled or of another type is named."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.acceptance.webapi import bound_plugins
from tests.acceptance.webapi.conftest import error_of

from adjourn import config
from adjourn.service import Service
from adjourn.webapi.signatures import Signature, declared

N = "Microsoft.Dynamics.CRM"
RECORDS = {
    "mscrm.role": f"roles({config.BASIC_USER_ROLE_ID})",
    "mscrm.systemuser": f"systemusers({config.ADMIN_USER_ID})",
}
RECORD = f"{{'@odata.id':'systemusers({config.ADMIN_USER_ID})'}}"
BY_TYPE: dict[str, tuple[str, Any]] = {
    "Edm.String": ("'x'", "x"),
    "Edm.Guid": (config.BASIC_USER_ROLE_ID, config.BASIC_USER_ROLE_ID),
    "Edm.Binary": ("'eA=='", "eA=="),
    "Edm.Boolean": ("true", True),
    "Edm.Int32": ("1", 1),
    "Edm.Int64": ("1", 1),
    "Edm.DateTimeOffset": ("2099-01-01T00:00:00Z", "2099-01-01T00:00:00Z"),
    "mscrm.EndpointAccessType": (f"{N}.EndpointAccessType'Default'", "Default"),
    "Collection(Edm.String)": ("@list", ["account"]),
    "mscrm.crmbaseentity": ("@record", {"@odata.id": RECORDS["mscrm.systemuser"]}),
}
"""A value of a type in an address, and in a body; any other is an object."""
BY_NAME: dict[str, tuple[str, Any]] = {
    "MessageName": ("'WhoAmI'", "WhoAmI"),
    "QuerySet": ("@list", [{"EntityName": "account"}]),
    "RecurrencePattern": ("''", ""),
    "SendEmailNotification": ("false", False),
    "others": ("@empty", []),
}
OTHER = "Nonsense"


class Asked:
    """How one operation is asked."""

    def __init__(self, http: httpx.Client, signature: Signature) -> None:
        self.http, self.signature = http, signature
        self.own = signature.parameters[1:] if signature.bound else signature.parameters
        self.required = [name for name, _, required in self.own if required]

    def address(self) -> str:
        if not self.signature.bound:
            return self.signature.name
        kind = self.signature.parameters[0][1]
        return f"{RECORDS.get(kind, 'accounts')}/{N}.{self.signature.name}"

    def needed(self) -> dict[str, tuple[str, Any]]:
        return {name: value for name, value in self.values().items() if name in self.required}

    def values(self) -> dict[str, tuple[str, Any]]:
        return {
            name: BY_NAME.get(name) or BY_TYPE.get(kind, ("@object", [] if "Collection" in kind else {}))
            for name, kind, _ in self.own
        }

    def get(self, *arguments: tuple[str, str]) -> httpx.Response:
        text = ",".join(f"{name}={value}" for name, value in arguments)
        return self.http.get(f"{self.address()}({text})?@empty=[]&@list=['account']&@object={{}}&@record={RECORD}")

    def ask(self, given: dict[str, tuple[str, Any]]) -> httpx.Response:
        if self.signature.function:
            return self.get(*((name, address) for name, (address, _) in given.items()))
        return self.http.post(self.address(), json={name: value for name, (_, value) in given.items()})


@pytest.fixture
def operations(http: httpx.Client, service: Service) -> list[Asked]:
    service.register(bound_plugins.__name__)
    found = [Asked(http, each) for each in declared(service)]
    # Those of one's own that are called on a record of another table are the same code as those without a record.
    found = [each for each in found if not each.signature.bound or each.signature.parameters[0][1] in RECORDS]
    assert {"WhoAmI", "ExecuteAsync", "BulkDelete", "AddPrivilegesRole"} <= {each.signature.name for each in found}
    return found


def test_a_missing_parameter_is_named(operations: list[Asked]) -> None:
    for asked in operations:
        for missing in asked.required:
            given = {name: value for name, value in asked.needed().items() if name != missing}
            status, _, text = error_of(asked.ask(given))
            assert (status, f"'{missing}'" in text or f" {missing}" in text) == (400, True), (
                f"{asked.address()}: {text}"
            )
        if asked.required:
            status, _, text = error_of(asked.ask({}))
            assert (status, any(name in text for name in asked.required)) == (400, True), f"{asked.address()}: {text}"


def test_an_unknown_parameter_is_named(operations: list[Asked]) -> None:
    for asked in operations:
        status, _, text = error_of(asked.ask({**asked.needed(), OTHER: ("1", 1)}))
        assert (status, OTHER in text) == (400, True), f"{asked.address()}: {text}"


def test_a_doubled_parameter_is_named(operations: list[Asked]) -> None:
    for asked in operations:
        for name, (value, _) in asked.values().items():
            if asked.signature.function:
                status, _, text = error_of(asked.get((name, value), (name, value)))
                assert (status, f"'{name}' is given twice" in text) == (400, True), f"{asked.address()}: {text}"


def test_a_parameter_of_another_type_is_named(operations: list[Asked]) -> None:
    for asked in operations:
        for name, kind, _ in asked.own:
            if kind == "mscrm.expando":
                continue
            wrong = ("@object", {"x": 1}) if kind.startswith("Edm") else ("5", 5)
            given = {**asked.needed(), name: wrong}
            status, _, text = error_of(asked.ask(given))
            assert (status, name in text) == (400, True), f"{asked.address()}, {name}: {text}"
