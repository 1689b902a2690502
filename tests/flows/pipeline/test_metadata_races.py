"""Metadata that changes while others write: nobody is refused for it, and nothing is torn. On both stores."""

from __future__ import annotations

import threading

import pytest

from adjourn.errors import InvalidRequest, UnknownResource
from adjourn.metadata.customizing import Customizing
from adjourn.pipeline.call import Call
from adjourn.pipeline.customization import customize
from adjourn.service import Service
from adjourn.store.contract import Store


def make(work: Customizing) -> None:
    work.create_table({"schema": "new_Project"}, [{"schema": "new_Name", "type": "String"}], "new_Name")


def test_columns_come_and_go_under_writers(store: Store) -> None:
    services = [Service(store), Service(store)]  # two processes' views of one database
    service = services[0]
    call = Call(caller=service.administrator())
    customize(service.pipeline, call, "make", make)
    stop = threading.Event()
    written: list[int] = []
    errors: list[Exception] = []

    def write(number: int) -> None:
        mine = services[number % 2]
        org = mine.client(Call(caller=mine.administrator()))
        while not stop.is_set():
            try:
                org.create("new_project", {"new_name": f"{number}"})
                written.append(number)
            except Exception as error:
                errors.append(error)
                return

    services[1].registry.refresh()
    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for round_ in range(5):
        entry = {"schema": "new_Extra", "type": "Integer" if round_ % 2 else "String"}
        customize(service.pipeline, call, "add", lambda work: work.create_column(_table(work), entry))  # noqa: B023
        customize(service.pipeline, call, "drop", lambda work: work.delete_column(_table(work), "new_extra"))
    stop.set()
    for thread in threads:
        thread.join(60)
    assert errors == []
    found = service.client(call).retrieve_multiple("new_projects?$select=new_name")
    assert len(found) == len(written) > 0


def test_what_a_transaction_that_fails_made_was_never_there(store: Store) -> None:
    service = Service(store)
    call = Call(caller=service.administrator())

    def fail(work: Customizing) -> None:
        make(work)
        raise InvalidRequest("no")

    with pytest.raises(InvalidRequest, match="no"):
        customize(service.pipeline, call, "make", fail)
    with pytest.raises(RuntimeError), service.pipeline.transaction("unit") as unit:
        inside = Call(caller=call.caller, transaction=unit.tx)
        customize(service.pipeline, inside, "make", make)
        service.client(inside).create("new_project", {"new_name": "P"})
        raise RuntimeError
    with pytest.raises((InvalidRequest, UnknownResource), match="new_project"):
        service.client(call).create("new_project", {"new_name": "P"})
    customize(service.pipeline, call, "make", make)
    assert service.client(call).retrieve_multiple("new_projects") == []


def _table(work: Customizing):  # type: ignore[no-untyped-def]
    return work.catalog.tables["new_project"]
