"""The service document and `$metadata`: what there is, generated from the catalog and from nothing else.

CSDL: a single-valued navigation property for each many-to-one, with the read-only property that holds its guid; a
collection-valued one for each one-to-many and many-to-many; functions, actions and their response types; the types of
EntityDefinitions. It validates against the CSDL schema, and what it names, the service answers. Descriptions and
permissions come with `?annotations=true` only. Source: webapi.md §5; docs/decisions, "What $metadata promises".
"""

from __future__ import annotations

from lxml import etree

from adjourn.errors import InvalidRequest
from adjourn.metadata.model import Column, ColumnType, ManyToMany, Relationship, Table
from adjourn.service import Service
from adjourn.webapi import csdl_types, signatures
from adjourn.webapi.csdl_types import MetadataType
from adjourn.webapi.exchange import Answer, Exchange, json_answer
from adjourn.webapi.signatures import Signature

_EDMX = "http://docs.oasis-open.org/odata/ns/edmx"
_EDM = "http://docs.oasis-open.org/odata/ns/edm"
_NAMESPACE = "Microsoft.Dynamics.CRM"
_BASE = "crmbaseentity"
_CORE = "Org.OData.Core.V1"
_KEYS = "OData.Community.Keys.V1"
_VOCABULARIES = {
    _CORE: "http://docs.oasis-open.org/odata/odata/v4.0/os/vocabularies/Org.OData.Core.V1.xml",
    _KEYS: "http://vocabularies.odata.org/OData.Community.Keys.V1.xml",
}
_DECIMALS_MAX = 10
"""Of a parameter or an answer, where no column says how many."""
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
    ColumnType.MULTISELECT: "Edm.String",
    ColumnType.STATE: "Edm.Int32",
    ColumnType.STATUS: "Edm.Int32",
    ColumnType.LOOKUP: "Edm.Guid",
    ColumnType.OWNER: "Edm.Guid",
    ColumnType.CUSTOMER: "Edm.Guid",
    ColumnType.FILE: "Edm.Guid",
    ColumnType.MANAGEDPROPERTY: "Edm.Int32",
}

_kept: dict[tuple[int, int, tuple[str, ...], bool], bytes] = {}


def service_document(exchange: Exchange, service: Service) -> Answer:
    """The entity sets, by name."""
    sets = [
        {"name": name, "kind": "EntitySet", "url": name}
        for name in sorted({*service.catalog.by_entityset, *csdl_types.SETS})
    ]
    return json_answer(200, {"@odata.context": f"{exchange.root}$metadata", "value": sets})


def document(exchange: Exchange, service: Service) -> Answer:
    """`$metadata` as XML; kept until the metadata or the messages change. Raises InvalidRequest."""
    for name in exchange.options:
        if name not in ("annotations", "tag"):
            raise InvalidRequest(f"Query option '{name[:100]}' cannot be used with $metadata; annotations=true can.")
    annotated = (
        exchange.options.get("annotations", "").lower() == "true" or exchange.preferences.annotations_text == "*"
    )
    key = (id(service.catalog), service.catalog.version, tuple(service.messages()), annotated)
    body = _kept.get(key)
    if body is None:
        for stale in [kept for kept in _kept if kept[:3] != key[:3]]:
            _kept.pop(stale, None)
        body = _kept[key] = _document(service, annotated=annotated)
    return Answer(200, body, (), "application/xml")


def _document(service: Service, *, annotated: bool) -> bytes:
    root = etree.Element(f"{{{_EDMX}}}Edmx", Version="4.0", nsmap={"edmx": _EDMX})
    for namespace, address in _VOCABULARIES.items():
        reference = etree.SubElement(root, f"{{{_EDMX}}}Reference", Uri=address)
        etree.SubElement(reference, f"{{{_EDMX}}}Include", Namespace=namespace)
    services = etree.SubElement(root, f"{{{_EDMX}}}DataServices")
    schema = etree.SubElement(services, _edm("Schema"), nsmap={None: _EDM}, Namespace=_NAMESPACE, Alias="mscrm")
    _enums(schema)
    for complex_type in csdl_types.COMPLEX:
        _metadata_type(schema, complex_type, "ComplexType")
    etree.SubElement(schema, _edm("EntityType"), Name=_BASE, Abstract="true")
    etree.SubElement(
        schema, _edm("EntityType"), Name="expando", BaseType=f"mscrm.{_BASE}", Abstract="true", OpenType="true"
    )
    for table in service.catalog.tables.values():
        _entity_type(schema, table, service, annotated=annotated)
    for entity_type in csdl_types.ENTITIES:
        _metadata_type(schema, entity_type, "EntityType")
    operations = list(signatures.declared(service))
    for operation in operations:
        _operation(schema, operation)
    container = etree.SubElement(schema, _edm("EntityContainer"), Name="System")
    for table in service.catalog.tables.values():
        entity_set = etree.SubElement(
            container, _edm("EntitySet"), Name=table.entityset, EntityType=f"mscrm.{table.logical}"
        )
        _bindings(entity_set, table, service)
    for name, kind in csdl_types.SETS.items():
        etree.SubElement(container, _edm("EntitySet"), Name=name, EntityType=f"mscrm.{kind}")
    for operation in operations:
        if not operation.bound:
            kind = "Function" if operation.function else "Action"
            imported = {"Name": operation.name, kind: f"mscrm.{operation.name}"}
            etree.SubElement(container, _edm(f"{kind}Import"), imported)
    found: bytes = etree.tostring(root, xml_declaration=True, encoding="utf-8")
    return found


def _entity_type(schema: etree._Element, table: Table, service: Service, *, annotated: bool) -> None:
    entity = etree.SubElement(schema, _edm("EntityType"), Name=table.logical, BaseType=f"mscrm.{_BASE}")
    key = etree.SubElement(entity, _edm("Key"))
    etree.SubElement(key, _edm("PropertyRef"), Name=table.primary_id)
    for name, column in table.by_property.items():
        _property(entity, name, column, key=name == table.primary_id, annotated=annotated)
    for relationship in table.many_to_one:
        if not navigable(relationship, service):
            continue
        column = table.columns[relationship.column]
        navigation = etree.SubElement(
            entity,
            _edm("NavigationProperty"),
            Name=relationship.navigation,
            Type=f"mscrm.{relationship.referenced}",
            Nullable="false" if column.required else "true",
            Partner=relationship.name,
        )
        etree.SubElement(
            navigation,
            _edm("ReferentialConstraint"),
            Property=column.property,
            ReferencedProperty=service.catalog.tables[relationship.referenced].primary_id,
        )
    for relationship in table.one_to_many:
        partner = {"Partner": relationship.navigation} if navigable(relationship, service) else {}
        _collection(entity, relationship.name, relationship.referencing, partner)
    for joined in table.many_to_many:
        _collection(entity, joined.name, _other(joined, table), {"Partner": joined.name})
    if table.keys:
        _alternate_keys(entity, table)
    if annotated and table.description:
        _annotation(entity, f"{_CORE}.Description", String=table.description)


def navigable(relationship: Relationship, service: Service) -> bool:
    """Whether the referencing table shows the relationship as a navigation property of its own.

    That of a file column shares the column's name, and within a type a name may stand for one thing only.
    """
    table = service.catalog.tables[relationship.referencing]
    return table.columns[relationship.column].readable and relationship.navigation not in table.by_property


def _collection(entity: etree._Element, name: str, table: str, partner: dict[str, str]) -> None:
    attributes = {"Name": name, "Type": f"Collection(mscrm.{table})", **partner}
    etree.SubElement(entity, _edm("NavigationProperty"), attributes)


def _property(entity: etree._Element, name: str, column: Column, *, key: bool, annotated: bool) -> None:
    kind = _TYPES[column.type]
    found = etree.SubElement(entity, _edm("Property"), Name=name, Type=kind)
    if key:
        found.set("Nullable", "false")
    if kind == "Edm.String":
        found.set("Unicode", "false")
        if column.max_length is not None:
            found.set("MaxLength", str(column.max_length))
    if kind == "Edm.Decimal":
        found.set("Scale", str(column.precision))
    if not column.creatable and not column.updatable:
        _annotation(found, f"{_CORE}.Computed", Bool="true")
        if annotated:
            permissions = _annotation(found, f"{_CORE}.Permissions")
            etree.SubElement(permissions, _edm("EnumMember")).text = f"{_CORE}.PermissionType/Read"
    if annotated and column.description:
        _annotation(found, f"{_CORE}.Description", String=column.description)


def _alternate_keys(entity: etree._Element, table: Table) -> None:
    """Each alternate key as the vocabulary has it: the properties, and by which names an address gives their values."""
    collection = etree.SubElement(_annotation(entity, f"{_KEYS}.AlternateKeys"), _edm("Collection"))
    for key in table.keys:
        record = etree.SubElement(collection, _edm("Record"), Type=f"{_KEYS}.AlternateKey")
        parts = etree.SubElement(etree.SubElement(record, _edm("PropertyValue"), Property="Key"), _edm("Collection"))
        for name in key.columns:
            column = table.columns[name]
            part = etree.SubElement(parts, _edm("Record"), Type=f"{_KEYS}.PropertyRef")
            etree.SubElement(part, _edm("PropertyValue"), Property="Name", PropertyPath=column.property)
            etree.SubElement(part, _edm("PropertyValue"), Property="Alias", String=column.property)


def _annotation(element: etree._Element, term: str, **value: str) -> etree._Element:
    return etree.SubElement(element, _edm("Annotation"), {"Term": term, **value})


def _bindings(entity_set: etree._Element, table: Table, service: Service) -> None:
    tables = service.catalog.tables
    for relationship in table.many_to_one:
        if navigable(relationship, service):
            _bind(entity_set, relationship.navigation, tables[relationship.referenced])
    for relationship in table.one_to_many:
        _bind(entity_set, relationship.name, tables[relationship.referencing])
    for joined in table.many_to_many:
        _bind(entity_set, joined.name, tables[_other(joined, table)])


def _bind(entity_set: etree._Element, path: str, target: Table) -> None:
    etree.SubElement(entity_set, _edm("NavigationPropertyBinding"), Path=path, Target=target.entityset)


def _enums(schema: etree._Element) -> None:
    for name, members in csdl_types.ENUMS.items():
        enum = etree.SubElement(schema, _edm("EnumType"), Name=name)
        flags = name in csdl_types.FLAGS
        if flags:
            enum.set("IsFlags", "true")
        for place, member in enumerate(members):
            value = (1 << place) >> 1 if flags else place
            etree.SubElement(enum, _edm("Member"), Name=member, Value=str(value))


def _metadata_type(schema: etree._Element, found: MetadataType, element: str) -> None:
    attributes = {"Name": found.name}
    if found.base is not None:
        attributes["BaseType"] = f"mscrm.{found.base}"
    if found.abstract:
        attributes["Abstract"] = "true"
    structured = etree.SubElement(schema, _edm(element), attributes)
    if found.key is not None:
        etree.SubElement(etree.SubElement(structured, _edm("Key")), _edm("PropertyRef"), Name=found.key)
    for name, kind in found.properties.items():
        _typed(structured, "Property", name, kind, required=name == found.key)
    for name, kind in found.navigations.items():
        _typed(structured, "NavigationProperty", name, kind).set("ContainsTarget", "true")


def _operation(schema: etree._Element, found: Signature) -> None:
    element = etree.SubElement(schema, _edm("Function" if found.function else "Action"), Name=found.name)
    if found.bound:
        element.set("IsBound", "true")
    for name, kind, required in found.parameters:
        _typed(element, "Parameter", name, kind, required=required)
    if found.returns is None:
        return
    etree.SubElement(element, _edm("ReturnType"), Type=f"mscrm.{found.name}Response", Nullable="false")
    response = etree.SubElement(schema, _edm("ComplexType"), Name=f"{found.name}Response")
    if found.open:
        response.set("OpenType", "true")
    for name, kind in found.returns:
        # A response is no entity: records in it stand there as navigation properties would.
        _typed(response, "NavigationProperty" if _is_entity(kind) else "Property", name, kind)


def _is_entity(kind: str) -> bool:
    inner = kind.removeprefix("Collection(").removesuffix(")").removeprefix("mscrm.")
    return inner in (_BASE, "expando") or any(found.name == inner for found in csdl_types.ENTITIES)


def _typed(parent: etree._Element, element: str, name: str, kind: str, *, required: bool = False) -> etree._Element:
    found = etree.SubElement(parent, _edm(element), Name=name, Type=kind)
    if required:
        found.set("Nullable", "false")
    if kind == "Edm.Decimal":
        found.set("Scale", str(_DECIMALS_MAX))
    return found


def _other(joined: ManyToMany, table: Table) -> str:
    return joined.table2 if joined.table1 == table.logical else joined.table1


def _edm(name: str) -> str:
    return f"{{{_EDM}}}{name}"
