"""What the metadata looks like to clients: tables, columns, choices and relationships as the Web API's documents.

Each function makes a plain dict from the catalog's objects; `definition_query` selects from them, `definitions` knows the
addresses. The same object has the same MetadataId in every organization. Source: webapi.md §17.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid5

from adjourn.metadata.model import AlternateKey, Choice, Column, ColumnType, ManyToMany, Option, Relationship, Table
from adjourn.metadata.privileges import Depth, Privilege

Document = dict[str, Any]
NAMESPACE = "Microsoft.Dynamics.CRM."
LANGUAGE = 1033
_METADATA_IDS = UUID("0ad10000-0000-7000-8000-00000000ffff")
_INTRODUCED = "1.0.0.0"
_ATTRIBUTES: dict[ColumnType, str] = {
    ColumnType.DATE: "DateTime",
    ColumnType.OWNER: "Lookup",
    ColumnType.CUSTOMER: "Lookup",
}
"""Whose metadata type is not named like the column's type."""
_TYPE_CODES = {ColumnType.DATE: "DateTime", ColumnType.FILE: "Virtual", ColumnType.MULTISELECT: "Virtual"}
_FORMATS: dict[ColumnType, Document] = {
    ColumnType.STRING: {"Format": "Text", "FormatName": {"Value": "Text"}},
    ColumnType.MEMO: {"Format": "TextArea", "FormatName": {"Value": "TextArea"}},
    ColumnType.INTEGER: {"Format": "None"},
    ColumnType.DATETIME: {"Format": "DateAndTime", "DateTimeBehavior": {"Value": "UserLocal"}},
    ColumnType.DATE: {"Format": "DateOnly", "DateTimeBehavior": {"Value": "DateOnly"}},
}
_NUMBERS = (ColumnType.INTEGER, ColumnType.BIGINT, ColumnType.DECIMAL, ColumnType.DOUBLE, ColumnType.MONEY)


def metadata_id(*names: str) -> str:
    """The MetadataId of what these names address."""
    return str(uuid5(_METADATA_IDS, "/".join(names)))


def table_id(table: Table) -> str:
    return metadata_id(table.logical)


def label(text: str) -> Document:
    """A text in the organization's one language."""
    if not text:
        return {"LocalizedLabels": [], "UserLocalizedLabel": None}
    shown = {
        "Label": text,
        "LanguageCode": LANGUAGE,
        "IsManaged": True,
        "MetadataId": metadata_id("label", text),
        "HasChanged": None,
    }
    return {"LocalizedLabels": [shown], "UserLocalizedLabel": shown}


def entity(table: Table) -> Document:
    """EntityMetadata."""
    managed = _managed(table.custom)
    open_ = _managed(table.customizable)
    return {
        "MetadataId": table_id(table),
        "HasChanged": None,
        "LogicalName": table.logical,
        "SchemaName": table.schema,
        "EntitySetName": table.entityset,
        "LogicalCollectionName": table.entityset,
        "CollectionSchemaName": f"{table.schema}s",
        "PrimaryIdAttribute": table.primary_id,
        "PrimaryNameAttribute": table.primary_name,
        "PrimaryImageAttribute": None,
        "ObjectTypeCode": table.object_type_code,
        "OwnershipType": table.ownership,
        "TableType": "Standard",
        "DisplayName": label(table.display),
        "DisplayCollectionName": label(table.display_collection),
        "Description": label(table.description),
        "IntroducedVersion": _INTRODUCED,
        "IsActivity": table.is_activity,
        "IsActivityParty": table.is_activity,
        "IsAvailableOffline": False,
        "IsChildEntity": False,
        "IsCustomEntity": table.custom,
        "IsCustomizable": open_,
        "IsRenameable": managed,
        "IsMappable": managed,
        "IsAuditEnabled": {**managed, "Value": False},
        "IsValidForQueue": {**managed, "Value": False},
        "CanCreateAttributes": open_,
        "CanCreateForms": {**managed, "Value": False},
        "CanCreateViews": {**managed, "Value": False},
        "IsIntersect": table.is_intersect,
        "IsLogicalEntity": False,
        "IsManaged": not table.custom,
        "IsPrivate": False,
        "IsValidForAdvancedFind": not table.is_intersect,
        "IsOptimisticConcurrencyEnabled": "versionnumber" in table.columns,
        "ChangeTrackingEnabled": False,
        "HasNotes": False,
        "HasActivities": any(found.referencing == "activitypointer" for found in table.one_to_many),
        "DataProviderId": None,
        "ExternalName": None,
        "Privileges": [_privilege(kind, found) for kind, found in table.guard.privileges.items()],
    }


def _privilege(kind: str, found: Privilege) -> Document:
    """SecurityPrivilegeMetadata."""
    return {
        "Name": found.name,
        "PrivilegeId": str(found.id),
        "PrivilegeType": kind,
        "CanBeBasic": Depth.BASIC in found.depths,
        "CanBeLocal": Depth.LOCAL in found.depths,
        "CanBeDeep": Depth.DEEP in found.depths,
        "CanBeGlobal": True,
        "CanBeEntityReference": False,
        "CanBeParentEntityReference": False,
    }


def attributes(table: Table) -> Iterator[Document]:
    """AttributeMetadata of each column that clients may know of."""
    for column in table.columns.values():
        if column.readable:
            yield attribute(table, column)


def attribute(table: Table, column: Column) -> Document:
    """The AttributeMetadata of a column, with what its type adds."""
    kind = kind_of(column)
    document: Document = {
        "@odata.type": f"#{NAMESPACE}{kind}AttributeMetadata",
        "MetadataId": metadata_id(table.logical, column.logical),
        "HasChanged": None,
        "LogicalName": column.logical,
        "SchemaName": column.schema,
        "ExternalName": None,
        "EntityLogicalName": table.logical,
        "AttributeOf": column.derives,
        "AttributeType": "Virtual" if _is_label(table, column) else _TYPE_CODES.get(column.type, column.type.value),
        "AttributeTypeName": {"Value": f"{_type_name(table, column)}Type"},
        "ColumnNumber": list(table.columns).index(column.logical) + 1,
        "DisplayName": label(column.display),
        "Description": label(column.description),
        "IntroducedVersion": _INTRODUCED,
        "DeprecatedVersion": None,
        "InheritsFrom": None,
        "IsPrimaryId": column.logical == table.primary_id,
        "IsPrimaryName": column.logical == table.primary_name,
        "IsCustomAttribute": column.custom,
        "IsManaged": not column.custom,
        "IsLogical": column.storage == "derived",
        "IsSearchable": False,
        "IsFilterable": True,
        "IsRetrievable": True,
        "IsRequiredForForm": False,
        "IsSecured": False,
        "IsDataSourceSecret": False,
        "IsValidODataAttribute": column.storage != "derived",
        "IsValidForCreate": column.creatable,
        "IsValidForUpdate": column.updatable,
        "IsValidForRead": column.readable,
        "IsValidForForm": column.creatable or column.updatable,
        "IsValidForGrid": True,
        "RequiredLevel": {
            "Value": _required(table, column),
            "CanBeChanged": column.custom,
            "ManagedPropertyLogicalName": "canmodifyrequirementlevelsettings",
        },
        "IsCustomizable": _managed(column.custom),
        "IsRenameable": _managed(column.custom),
        "IsValidForAdvancedFind": {**_managed(column.custom), "Value": True},
        "IsAuditEnabled": {**_managed(column.custom), "Value": False},
        "SourceType": 0 if column.storage == "row" else None,
        **_FORMATS.get(column.type, {}),
    }
    if column.format is not None:
        document["Format"] = column.format
        if column.type is ColumnType.STRING:
            document["FormatName"] = {"Value": column.format}
    if column.type in (ColumnType.STRING, ColumnType.MEMO):
        document["MaxLength"] = column.max_length
    if column.type is ColumnType.STRING:
        document["DatabaseLength"] = (column.max_length or 0) * 2
    if column.type in _NUMBERS:
        whole = column.type in (ColumnType.INTEGER, ColumnType.BIGINT)
        for key, bound in (("MinValue", column.minimum), ("MaxValue", column.maximum)):
            document[key] = bound if bound is None or not whole else int(bound)
        if not whole:
            document["Precision"] = column.precision
    if column.type.is_lookup:
        document["Targets"] = list(column.targets)
    if column.type is ColumnType.BOOLEAN:
        document["DefaultValue"] = bool(column.default)
    elif column.type.is_choice or column.type is ColumnType.MULTISELECT:
        document["DefaultFormValue"] = column.default if column.default is not None else -1
    if column.type is ColumnType.FILE:
        document["MaxSizeInKB"] = column.size_kb_max or 131_072
    return document


def option_set(table: Table, column: Column) -> Document | None:
    """The OptionSet of a choice or yes/no column; None for others."""
    if column.choice is None or column.derives is not None:
        return None
    if column.type is ColumnType.BOOLEAN:
        return boolean_set(table, column, column.choice)
    return {
        "MetadataId": metadata_id(table.logical, column.logical, "OptionSet"),
        "HasChanged": None,
        "Name": column.choice.name,
        "OptionSetType": "Picklist" if column.type is ColumnType.MULTISELECT else column.type.value,
        "IsGlobal": False,
        "IsCustomOptionSet": column.custom,
        "IsManaged": not column.custom,
        "DisplayName": label(column.display),
        "Description": label(""),
        "IsCustomizable": _managed(column.custom),
        "Options": [_option(column, option) for option in column.choice.options.values()],
    }


def boolean_set(table: Table, column: Column, choice: Choice) -> Document:
    """BooleanOptionSetMetadata."""
    return {
        "MetadataId": metadata_id(table.logical, column.logical, "OptionSet"),
        "HasChanged": None,
        "Name": choice.name,
        "OptionSetType": "Boolean",
        "IsGlobal": False,
        "IsCustomOptionSet": column.custom,
        "IsManaged": not column.custom,
        "DisplayName": label(column.display),
        "Description": label(""),
        "FalseOption": _option(column, choice.options[0]),
        "TrueOption": _option(column, choice.options[1]),
    }


def many_to_one(found: Relationship, tables: dict[str, Table]) -> Document:
    """OneToManyRelationshipMetadata, as which many-to-one relationships are shown too."""
    custom = tables[found.referencing].columns[found.column].custom
    return {
        "@odata.type": f"#{NAMESPACE}OneToManyRelationshipMetadata",
        "MetadataId": metadata_id("relationship", found.name),
        "HasChanged": None,
        "SchemaName": found.name,
        "RelationshipType": "OneToManyRelationship",
        "SecurityTypes": "Append",
        "IntroducedVersion": _INTRODUCED,
        "IsCustomRelationship": custom,
        "IsManaged": not custom,
        "IsCustomizable": _managed(custom),
        "IsValidForAdvancedFind": True,
        "IsHierarchical": found.hierarchical,
        "ReferencedAttribute": found.referenced_column,
        "ReferencedEntity": found.referenced,
        "ReferencedEntityNavigationPropertyName": found.name,
        "ReferencingAttribute": found.column,
        "ReferencingEntity": found.referencing,
        "ReferencingEntityNavigationPropertyName": found.navigation,
        "RelationshipBehavior": 0,
        "CascadeConfiguration": {
            "Assign": "NoCascade",
            "Delete": found.delete,
            "Archive": found.delete,
            "Merge": "NoCascade",
            "Reparent": "NoCascade",
            "Share": "NoCascade",
            "Unshare": "NoCascade",
            "RollupView": "NoCascade",
        },
    }


def many_to_many(found: ManyToMany, tables: dict[str, Table]) -> Document:
    """ManyToManyRelationshipMetadata."""
    custom = tables[found.intersect].custom
    return {
        "@odata.type": f"#{NAMESPACE}ManyToManyRelationshipMetadata",
        "MetadataId": metadata_id("relationship", found.name),
        "HasChanged": None,
        "SchemaName": found.name,
        "RelationshipType": "ManyToManyRelationship",
        "SecurityTypes": "None",
        "IntroducedVersion": _INTRODUCED,
        "IsCustomRelationship": custom,
        "IsManaged": not custom,
        "IsCustomizable": _managed(custom),
        "IsValidForAdvancedFind": True,
        "Entity1LogicalName": found.table1,
        "Entity1IntersectAttribute": found.column1,
        "Entity1NavigationPropertyName": found.name,
        "Entity2LogicalName": found.table2,
        "Entity2IntersectAttribute": found.column2,
        "Entity2NavigationPropertyName": found.name,
        "IntersectEntityName": found.intersect,
    }


def key_id(table: Table, name: str) -> str:
    return metadata_id("key", table.logical, name)


def key(table: Table, found: AlternateKey) -> Document:
    """EntityKeyMetadata."""
    return {
        "MetadataId": key_id(table, found.name),
        "HasChanged": None,
        "LogicalName": found.name,
        "SchemaName": found.schema,
        "DisplayName": label(found.display),
        "EntityLogicalName": table.logical,
        "KeyAttributes": list(found.columns),
        "EntityKeyIndexStatus": "Active",
        "AsyncJob": None,
        "IsExportKey": False,
        "IsSynchronous": True,
        "IsManaged": False,
        "IsCustomizable": _managed(True),
        "IntroducedVersion": _INTRODUCED,
    }


def kind_of(column: Column) -> str:
    """The name of the metadata type that describes a column."""
    return _ATTRIBUTES.get(column.type, column.type.value)


def _is_label(table: Table, column: Column) -> bool:
    """`statecodename`: the text of a choice, which Dataverse calls a virtual column."""
    return column.derives is not None and table.columns[column.derives].choice is not None


def _type_name(table: Table, column: Column) -> str:
    if _is_label(table, column):
        return "Virtual"
    return "DateTime" if column.type is ColumnType.DATE else column.type.value


def _required(table: Table, column: Column) -> str:
    if column.logical == table.primary_id:
        return "SystemRequired"
    if not column.required:
        return "None"
    return "ApplicationRequired" if column.custom else "SystemRequired"


def _managed(changeable: bool) -> Document:
    return {"Value": changeable, "CanBeChanged": changeable, "ManagedPropertyLogicalName": "iscustomizable"}


def _option(column: Column, option: Option) -> Document:
    document: Document = {
        "Value": option.value,
        "Label": label(option.label),
        "Description": label(""),
        "Color": None,
        "IsManaged": not column.custom,
        "ExternalValue": None,
        "MetadataId": None,
        "HasChanged": None,
    }
    if column.type is ColumnType.STATUS:
        document |= {
            "@odata.type": f"#{NAMESPACE}StatusOptionMetadata",
            "State": option.state,
            "TransitionData": None,
        }
    if column.type is ColumnType.STATE:
        document |= {
            "@odata.type": f"#{NAMESPACE}StateOptionMetadata",
            "DefaultStatus": option.default_status,
            "InvariantName": option.label.replace(" ", ""),
        }
    return document
