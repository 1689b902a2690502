"""The service document and `$metadata`: what there is, generated from the catalog and from nothing else.

CSDL: a single-valued navigation property for each many-to-one, with the read-only property that holds its guid; a
collection-valued one for each one-to-many and many-to-many; messages of one's own as actions. Source: webapi.md §5.
"""

from __future__ import annotations

from lxml import etree

from adjourn.metadata.model import Column, ColumnType, ManyToMany, Table
from adjourn.service import MessageInfo, Service
from adjourn.webapi import bound, operations
from adjourn.webapi.exchange import Answer, Exchange, json_answer
from adjourn.webapi.organization_functions import ACCESS_TYPES

_EDMX = "http://docs.oasis-open.org/odata/ns/edmx"
_EDM = "http://docs.oasis-open.org/odata/ns/edm"
_NAMESPACE = "Microsoft.Dynamics.CRM"
_BASE = "crmbaseentity"
_TYPES = {
    ColumnType.UNIQUEIDENTIFIER: "Edm.Guid",
    ColumnType.STRING: "Edm.String",
    ColumnType.MEMO: "Edm.String",
    ColumnType.ENTITYNAME: "Edm.String",
    ColumnType.INTEGER: "Edm.Int32",
    ColumnType.BIGINT: "Edm.Int64",
    ColumnType.BOOLEAN: "Edm.Boolean",
    ColumnType.DATETIME: "Edm.DateTimeOffset",
    ColumnType.DATE: "Edm.Date",
    ColumnType.DECIMAL: "Edm.Decimal",
    ColumnType.DOUBLE: "Edm.Double",
    ColumnType.MONEY: "Edm.Decimal",
    ColumnType.PICKLIST: "Edm.Int32",
    ColumnType.STATE: "Edm.Int32",
    ColumnType.STATUS: "Edm.Int32",
    ColumnType.MULTISELECT: "Edm.String",
    ColumnType.LOOKUP: "Edm.Guid",
    ColumnType.OWNER: "Edm.Guid",
    ColumnType.CUSTOMER: "Edm.Guid",
    ColumnType.FILE: "Edm.Guid",
    ColumnType.MANAGEDPROPERTY: "Edm.Int32",
}

_kept: dict[tuple[int, int, tuple[str, ...]], bytes] = {}


def service_document(exchange: Exchange, service: Service) -> Answer:
    """The entity sets, by name."""
    sets = [{"name": name, "kind": "EntitySet", "url": name} for name in sorted(service.catalog.by_entityset)]
    return json_answer(200, {"@odata.context": f"{exchange.root}$metadata", "value": sets})


def document(service: Service) -> Answer:
    """`$metadata` as XML; kept until the metadata or the messages change."""
    key = (id(service.catalog), service.catalog.version, tuple(service.messages()))
    body = _kept.get(key)
    if body is None:
        _kept.clear()
        body = _kept[key] = _document(service)
    return Answer(200, body, (), "application/xml")


def _document(service: Service) -> bytes:
    root = etree.Element(f"{{{_EDMX}}}Edmx", Version="4.0", nsmap={"edmx": _EDMX})
    services = etree.SubElement(root, f"{{{_EDMX}}}DataServices")
    schema = etree.SubElement(services, _edm("Schema"), nsmap={None: _EDM}, Namespace=_NAMESPACE, Alias="mscrm")
    etree.SubElement(schema, _edm("EntityType"), Name=_BASE, Abstract="true")
    access = etree.SubElement(schema, _edm("EnumType"), Name="EndpointAccessType")
    for value, name in enumerate(ACCESS_TYPES):
        etree.SubElement(access, _edm("Member"), Name=name, Value=str(value))
    for table in service.catalog.tables.values():
        _entity_type(schema, table, service)
    unbound = operations.described(service)
    for info in (*unbound, *bound.messages(service).values()):
        _operation(schema, info)
    container = etree.SubElement(schema, _edm("EntityContainer"), Name="System")
    for table in service.catalog.tables.values():
        entity_set = etree.SubElement(
            container, _edm("EntitySet"), Name=table.entityset, EntityType=f"mscrm.{table.logical}"
        )
        _bindings(entity_set, table, service)
    for info in unbound:
        kind = "Function" if info.function else "Action"
        attributes = {"Name": info.name, kind: f"mscrm.{info.name}"}
        etree.SubElement(container, _edm(f"{kind}Import"), attributes)
    found: bytes = etree.tostring(root, xml_declaration=True, encoding="utf-8")
    return found


def _entity_type(schema: etree._Element, table: Table, service: Service) -> None:
    entity = etree.SubElement(schema, _edm("EntityType"), Name=table.logical, BaseType=f"mscrm.{_BASE}")
    key = etree.SubElement(entity, _edm("Key"))
    etree.SubElement(key, _edm("PropertyRef"), Name=table.primary_id)
    for name, column in table.by_property.items():
        _property(entity, name, column)
    for relationship in table.many_to_one:
        target = service.catalog.tables[relationship.referenced]
        column = table.columns[relationship.column]
        if not column.readable:
            continue
        navigation = etree.SubElement(
            entity,
            _edm("NavigationProperty"),
            Name=relationship.navigation,
            Type=f"mscrm.{target.logical}",
            Nullable="false" if column.required else "true",
            Partner=relationship.name,
        )
        etree.SubElement(
            navigation, _edm("ReferentialConstraint"), Property=column.property, ReferencedProperty=target.primary_id
        )
    for relationship in table.one_to_many:
        etree.SubElement(
            entity,
            _edm("NavigationProperty"),
            Name=relationship.name,
            Type=f"Collection(mscrm.{relationship.referencing})",
            Partner=relationship.navigation,
        )
    for joined in table.many_to_many:
        etree.SubElement(
            entity,
            _edm("NavigationProperty"),
            Name=joined.name,
            Type=f"Collection(mscrm.{_other(joined, table)})",
            Partner=joined.name,
        )


def _property(entity: etree._Element, name: str, column: Column) -> None:
    kind = _TYPES[column.type]
    found = etree.SubElement(entity, _edm("Property"), Name=name, Type=kind)
    if kind == "Edm.String":
        found.set("Unicode", "false")
        if column.max_length is not None:
            found.set("MaxLength", str(column.max_length))
    if kind == "Edm.Decimal":
        found.set("Scale", "Variable")
    if not column.creatable and not column.updatable:
        etree.SubElement(found, _edm("Annotation"), Term="Org.OData.Core.V1.Computed", Bool="true")
    if column.description:
        etree.SubElement(found, _edm("Annotation"), Term="Org.OData.Core.V1.Description", String=column.description)


def _bindings(entity_set: etree._Element, table: Table, service: Service) -> None:
    tables = service.catalog.tables
    for relationship in table.many_to_one:
        if table.columns[relationship.column].readable:
            _bind(entity_set, relationship.navigation, tables[relationship.referenced])
    for relationship in table.one_to_many:
        _bind(entity_set, relationship.name, tables[relationship.referencing])
    for joined in table.many_to_many:
        _bind(entity_set, joined.name, tables[_other(joined, table)])


def _bind(entity_set: etree._Element, path: str, target: Table) -> None:
    etree.SubElement(entity_set, _edm("NavigationPropertyBinding"), Path=path, Target=target.entityset)


def _operation(schema: etree._Element, info: MessageInfo) -> None:
    """An action or a function; a bound one begins with what it is called on."""
    found = etree.SubElement(schema, _edm("Function" if info.function else "Action"), Name=info.name)
    parameters = list(info.parameters)
    if info.collection or info.table is not None:
        found.set("IsBound", "true")
        kind = f"mscrm.{info.table or _BASE}"
        first = ("entityset", f"Collection({kind})", True) if info.collection else ("entity", kind, True)
        parameters.insert(0, first)
    for name, kind, required in parameters:
        etree.SubElement(found, _edm("Parameter"), Name=name, Type=kind, Nullable="false" if required else "true")
    etree.SubElement(found, _edm("ReturnType"), Type=f"mscrm.{info.name}Response", Nullable="false")
    response = etree.SubElement(schema, _edm("ComplexType"), Name=f"{info.name}Response", OpenType="true")
    for name in ("BusinessUnitId", "UserId", "OrganizationId") if info.name == "WhoAmI" else ():
        etree.SubElement(response, _edm("Property"), Name=name, Type="Edm.Guid", Nullable="false")


def _other(joined: ManyToMany, table: Table) -> str:
    return joined.table2 if joined.table1 == table.logical else joined.table1


def _edm(name: str) -> str:
    return f"{{{_EDM}}}{name}"
