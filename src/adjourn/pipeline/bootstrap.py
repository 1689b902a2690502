"""The rows without which no organization works: itself, its root business unit, two users, and the platform's messages.

Written with fixed ids, so that any host may do it and they all agree. Running it again writes only what is missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from adjourn import config
from adjourn.errors import Duplicate
from adjourn.metadata.additions import catalog_of
from adjourn.metadata.model import Catalog, Reference, Table
from adjourn.pipeline import bulk_delete, core, stock_roles, views
from adjourn.pipeline.messages import MESSAGES
from adjourn.pipeline.read import ask
from adjourn.pipeline.record import Record
from adjourn.pipeline.registration import NAMESPACE, message_id, write_filter
from adjourn.pipeline.role_messages import ROLE_MESSAGES
from adjourn.query import metadata_documents, write
from adjourn.query.security import PLATFORM
from adjourn.query.tree import Attribute, Query
from adjourn.store.contract import Reader, Store, Transaction

ORGANIZATION = UUID(config.ORGANIZATION_ID)
ROOT_UNIT = UUID(config.ROOT_BUSINESS_UNIT_ID)
SYSTEM = UUID(config.SYSTEM_USER_ID)
ADMINISTRATOR = UUID(config.ADMIN_USER_ID)
DEFAULT_TEAM = uuid5(NAMESPACE, "team:default")
PLATFORM_MESSAGES = (*MESSAGES, "RetrieveMultiple")
_OF_NO_TABLE = ("WhoAmI", *ROLE_MESSAGES, *(message.name for message in bulk_delete.ALL))
_UTC_TIME_ZONE_CODE = 92


def bootstrap(store: Store, catalog: Catalog) -> bool:
    """Make a fresh database an organization; False if it is one already and lacks nothing.

    What a later version ships besides, messages, roles, message filters of new tables, views, is put into old databases too.
    """
    made = _organization(store, catalog)
    if _without_filters(store, catalog):
        try:
            store.write(lambda tx: write_filters(tx, catalog, _tables_without_filters(tx, catalog)))
        except Duplicate:
            # Another host started at the same moment and did it.
            if _without_filters(store, catalog):
                raise
    views.ship(store, catalog)
    return made


def _without_filters(store: Store, catalog: Catalog) -> bool:
    with store.read() as reader:
        return bool(_tables_without_filters(reader, catalog))


def _tables_without_filters(reader: Reader, catalog: Catalog) -> list[Table]:
    named = Query("sdkmessagefilter", (Attribute("primaryobjecttypecode"),), distinct=True, language="fetchxml")
    there = {row["primaryobjecttypecode"] for row in ask(reader, catalog, named)}
    return [table for table in catalog.tables.values() if _has_filters(table) and table.logical not in there]


def _has_filters(table: Table) -> bool:
    return table.events and not table.is_intersect


def _organization(store: Store, catalog: Catalog) -> bool:
    """A fresh database's rows; an older one's messages, privileges and roles."""
    with store.read() as reader:
        if _is_organization(reader, catalog) and not _incomplete(reader, catalog):
            return False

    def unit(tx: Transaction) -> bool:
        if not _is_organization(tx, catalog):
            _write_all(tx, catalog, tx.now)
        for name in _unknown_messages(tx, catalog):
            _write_message(tx, catalog, name)
        stock_roles.complete(tx, _whole(tx, catalog))
        return True

    try:
        return store.write(unit)
    except Duplicate:
        # Another host wrote the same rows at the same moment; what it did not write is still to be done.
        return store.write(unit)


def _is_organization(reader: Reader, catalog: Catalog) -> bool:
    return write.exists(reader, catalog.table("organization"), ORGANIZATION)


def _incomplete(reader: Reader, catalog: Catalog) -> bool:
    return bool(_unknown_messages(reader, catalog)) or stock_roles.lacking(reader, _whole(reader, catalog))


def _whole(reader: Reader, catalog: Catalog) -> Catalog:
    """The shipped tables with those of callers."""
    documents = metadata_documents.additions(metadata_documents.rows(reader))
    return catalog_of(documents, 1) if documents else catalog


def _unknown_messages(reader: Reader, catalog: Catalog) -> list[str]:
    """Messages of the platform that this database does not know yet."""
    messages = catalog.table("sdkmessage")
    return [name for name in PLATFORM_MESSAGES if not write.exists(reader, messages, message_id(name))]


def _write_message(tx: Transaction, catalog: Catalog, name: str) -> None:
    definition = catalog.table("sdkmessage")
    values = {"name": name, "categoryname": "CrmPlatform", "isactive": True}
    core.complete(definition, values, message_id(name), PLATFORM, tx.now)
    write.insert(tx, definition, {key: value for key, value in values.items() if key in definition.columns})


def _write_all(tx: Transaction, catalog: Catalog, now: datetime) -> None:
    def put(table: str, record_id: UUID, **values: Any) -> None:
        definition = catalog.table(table)
        known = {name: value for name, value in values.items() if name in definition.columns}
        record = Record(table, record_id, known)
        core.complete(definition, record.values, record_id, PLATFORM, now)
        write.insert(tx, definition, record.values)

    put("organization", ORGANIZATION, name="adjourn", plugintracelogsetting=1)
    put("businessunit", ROOT_UNIT, name="adjourn", isdisabled=False)
    for user_id, first, last, domain in (
        (SYSTEM, None, "SYSTEM", "SYSTEM"),
        (ADMINISTRATOR, "System", "Administrator", "administrator"),
    ):
        put(
            "systemuser",
            user_id,
            firstname=first,
            lastname=last,
            fullname=" ".join(part for part in (first, last) if part),
            domainname=domain,
            internalemailaddress=f"{domain.lower()}@localhost",
            businessunitid=Reference("businessunit", ROOT_UNIT),
            isdisabled=user_id == SYSTEM,
            accessmode=0,
            azureactivedirectoryobjectid=user_id,
        )
        put(
            "usersettings",
            user_id,
            timezonecode=_UTC_TIME_ZONE_CODE,
            businessunitid=Reference("businessunit", ROOT_UNIT),
        )
    put(
        "team",
        DEFAULT_TEAM,
        name="adjourn",
        teamtype=0,
        isdefault=True,
        businessunitid=Reference("businessunit", ROOT_UNIT),
        administratorid=Reference("systemuser", ADMINISTRATOR),
    )
    write_filters(tx, catalog, catalog.tables.values())


def write_filters(tx: Transaction, catalog: Catalog, tables: Iterable[Table]) -> None:
    """The sdkmessagefilter rows that let steps be registered on these tables."""
    for table in tables:
        if not _has_filters(table):
            continue
        for name in PLATFORM_MESSAGES:
            if name not in _OF_NO_TABLE:
                write_filter(tx, catalog, name, table.logical)
