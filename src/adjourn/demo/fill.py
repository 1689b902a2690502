"""Filling the demo organization: accounts and contacts, jobs in many states made by real operations, and some history.

Operation types that nothing can make yet appear only as history, marked as imported, so that each query of the
specification has something to say. Runs once: a filled organization is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from adjourn import config, runtime
from adjourn.demo import plugins
from adjourn.jobs import queue
from adjourn.metadata.values import moment_text
from adjourn.pipeline.call import Call, Request
from adjourn.pipeline.record import Record
from adjourn.service import Service
from adjourn.store.contract import Transaction

_NAMES = (
    "Adventure Works", "Alpine Ski House", "Blue Yonder Airlines", "City Power & Light", "Coho Winery", "Contoso",
    "Fabrikam", "Fourth Coffee", "Litware", "Lucerne Publishing", "Margie's Travel", "Northwind Traders", "Proseware",
    "School of Fine Art", "Southridge Video", "Tailspin Toys", "Trey Research", "Wide World Importers", "Wingtip Toys",
    "Woodgrove Bank",
)  # fmt: skip
_PEOPLE = (("Ada", "Lovelace"), ("Grace", "Hopper"), ("Edsger", "Dijkstra"), ("Barbara", "Liskov"), ("Alan", "Turing"))
_HISTORY = ((10, 30, 40), (10, 31, 6), (10, 32, 3), (13, 30, 5), (2, 30, 4), (27, 30, 7), (24, 30, 7), (1, 31, 4))
"""Finished jobs of other days: operation type, status, how many."""
_FIRST = "Adventure Works"
_LARGE_CHARACTERS = 4_300_000


def fill(service: Service) -> str:
    """Fill the organization if it is empty; says in a line what it holds."""
    client = service.client(Call(caller=service.administrator()))
    if client.retrieve_multiple(f"accounts?$select=name&$filter=name eq '{_FIRST}'&$top=1"):
        return "The demo organization is there already."
    accounts = [client.create("account", {"name": name, "revenue": 1000 * len(name)}) for name in _NAMES]
    contacts = []
    for index, (first, last) in enumerate(_PEOPLE):
        values: dict[str, Any] = {
            "firstname": first,
            "lastname": last,
            "parentcustomerid": ("account", accounts[index]),
        }
        contacts.append(client.create("contact", values))
        client.update("account", accounts[index], {"telephone1": f"555-01{index:02}"})
    client.update("contact", contacts[0], {"emailaddress1": "ada@example.org"})
    client.update("contact", contacts[1], {"jobtitle": "Rear Admiral"})
    # Over 4 MB: the context of this update's job, and the arguments of this request, lie in file storage.
    client.enqueue(plugins.count_words.request("word " * (_LARGE_CHARACTERS // 5)))
    later = runtime.now() + timedelta(days=365)
    for name in ("Grace", "Alan"):
        client.enqueue(plugins.greet.request(name), postpone_until=later, dependency_token="greetings")
    canceled = client.enqueue(plugins.greet.request("nobody"), postpone_until=later)
    cancel = Record("asyncoperation", canceled, {"statecode": 3, "statuscode": 32})
    service.execute(Request("Update", {"Target": cancel}), Call(caller=service.administrator()))
    service.store.write(lambda tx: queue.load_history(tx, list(_history(tx))))
    return f"Demo organization: {len(accounts)} accounts, {len(contacts)} contacts, and jobs in many states."


def _history(tx: Transaction) -> Iterator[dict[str, Any]]:
    user, unit = config.ADMIN_USER_ID, config.ROOT_BUSINESS_UNIT_ID
    for operation_type, status, count in _HISTORY:
        for index in range(count):
            created = tx.now - timedelta(days=1 + index, minutes=operation_type)
            ended = created + timedelta(seconds=2)
            yield {
                "asyncoperationid": str(runtime.new_id()),
                "operationtype": operation_type,
                "name": f"Imported job of type {operation_type}",
                "ownerid": user,
                "owneridtype": "systemuser",
                "owninguser": user,
                "owningbusinessunit": unit,
                "createdby": user,
                "modifiedby": user,
                "createdon": moment_text(created),
                "modifiedon": moment_text(ended),
                "startedon": moment_text(created),
                "completedon": moment_text(ended),
                "executiontimespan": 2.0,
                "statecode": 3,
                "statuscode": status,
                "errorcode": -2147220956 if status == 31 else None,
                "friendlymessage": "It failed where it came from." if status == 31 else None,
            }
