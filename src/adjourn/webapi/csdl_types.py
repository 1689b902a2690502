"""The types behind EntityDefinitions and its neighbours, as `$metadata` declares them.

Plain data; `csdl` writes it, `definition_shapes` makes the documents that must agree with it, and a test compares the two
over every table and column. Source: webapi.md §5 and §17; the names are Dataverse's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from adjourn.webapi.organization_functions import ACCESS_TYPES

Properties = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MetadataType:
    """An entity type, or a complex type where it has no key in its line.

    navigations: contained in the record, so that they need no entity set.
    """

    name: str
    properties: Properties = field(default_factory=dict)
    navigations: Properties = field(default_factory=dict)
    base: str | None = None
    key: str | None = None
    abstract: bool = False


def _all(kind: str, *names: str) -> Properties:
    return dict.fromkeys(names, kind)


STRING, BOOLEAN, INT32, INT64, GUID = "Edm.String", "Edm.Boolean", "Edm.Int32", "Edm.Int64", "Edm.Guid"
_LABEL, _MANAGED = "mscrm.Label", "mscrm.BooleanManagedProperty"
_MANAGED_PROPERTY = {**_all(BOOLEAN, "CanBeChanged"), **_all(STRING, "ManagedPropertyLogicalName")}

ENUMS: Mapping[str, tuple[str, ...]] = {
    "AttributeRequiredLevel": ("None", "SystemRequired", "ApplicationRequired", "Recommended"),
    "AttributeTypeCode": (
        "Boolean", "Customer", "DateTime", "Decimal", "Double", "Integer", "Lookup", "Memo", "Money", "Owner", "PartyList",
        "Picklist", "State", "Status", "String", "Uniqueidentifier", "CalendarRules", "Virtual", "BigInt", "ManagedProperty",
        "EntityName",
    ),
    "CascadeType": ("NoCascade", "Cascade", "Active", "UserOwned", "RemoveLink", "Restrict"),
    "DateTimeFormat": ("DateOnly", "DateAndTime"),
    "EndpointAccessType": ACCESS_TYPES,
    "EntityKeyIndexStatus": ("Pending", "InProgress", "Active", "Failed"),
    "IntegerFormat": ("None", "Duration", "TimeZone", "Language", "Locale"),
    "OptionSetType": ("Picklist", "State", "Status", "Boolean"),
    "OwnershipTypes": ("None", "UserOwned", "TeamOwned", "BusinessOwned", "OrganizationOwned", "BusinessParented"),
    "PrivilegeType": ("None", "Create", "Read", "Write", "Delete", "Assign", "Share", "Append", "AppendTo"),
    "PrivilegeDepth": ("Basic", "Local", "Deep", "Global"),
    "RelationshipType": ("OneToManyRelationship", "ManyToManyRelationship"),
    "SecurityTypes": ("None", "Append", "ParentChild", "Pointer", "Inheritance"),
    "StringFormat": (
        "Email", "Text", "TextArea", "Url", "TickerSymbol", "PhoneticGuide", "VersionNumber", "Phone", "Json", "RichText",
    ),
}  # fmt: skip

FLAGS = ("OwnershipTypes", "SecurityTypes")
"""Whose members are powers of two."""

COMPLEX = (
    MetadataType(
        "LocalizedLabel",
        {
            **_all(STRING, "Label"), **_all(INT32, "LanguageCode"), **_all(BOOLEAN, "IsManaged", "HasChanged"),
            **_all(GUID, "MetadataId"),
        },
    ),
    MetadataType(
        "Label",
        {"LocalizedLabels": "Collection(mscrm.LocalizedLabel)", "UserLocalizedLabel": "mscrm.LocalizedLabel"},
    ),
    MetadataType(
        "SecurityPrivilegeMetadata",
        {
            **_all(STRING, "Name"), **_all(GUID, "PrivilegeId"), "PrivilegeType": "mscrm.PrivilegeType",
            **_all(
                BOOLEAN, "CanBeBasic", "CanBeLocal", "CanBeDeep", "CanBeGlobal", "CanBeEntityReference",
                "CanBeParentEntityReference",
            ),
        },
    ),
    MetadataType(
        "RolePrivilege",
        {
            "Depth": "mscrm.PrivilegeDepth", **_all(GUID, "PrivilegeId", "BusinessUnitId"),
            **_all(STRING, "PrivilegeName"),
        },
    ),
    MetadataType("BooleanManagedProperty", {**_all(BOOLEAN, "Value"), **_MANAGED_PROPERTY}),
    MetadataType(
        "AttributeRequiredLevelManagedProperty", {"Value": "mscrm.AttributeRequiredLevel", **_MANAGED_PROPERTY}
    ),
    MetadataType("AttributeTypeDisplayName", _all(STRING, "Value")),
    MetadataType("StringFormatName", _all(STRING, "Value")),
    MetadataType("MemoFormatName", _all(STRING, "Value")),
    MetadataType("DateTimeBehavior", _all(STRING, "Value")),
    MetadataType(
        "CascadeConfiguration",
        _all("mscrm.CascadeType", "Assign", "Delete", "Archive", "Merge", "Reparent", "Share", "Unshare", "RollupView"),
    ),
    MetadataType(
        "OptionMetadata",
        {
            **_all(INT32, "Value"), **_all(_LABEL, "Label", "Description"), **_all(STRING, "Color", "ExternalValue"),
            **_all(BOOLEAN, "IsManaged", "HasChanged"), **_all(GUID, "MetadataId"),
        },
    ),
    MetadataType("StatusOptionMetadata", {**_all(INT32, "State"), **_all(STRING, "TransitionData")}, base="OptionMetadata"),
    MetadataType(
        "StateOptionMetadata", {**_all(INT32, "DefaultStatus"), **_all(STRING, "InvariantName")}, base="OptionMetadata"
    ),
)  # fmt: skip


def _attribute(kind: str, base: str = "AttributeMetadata", **properties: str) -> MetadataType:
    navigations = {}
    if base == "EnumAttributeMetadata":
        navigations = {"OptionSet": "mscrm.OptionSetMetadata", "GlobalOptionSet": "mscrm.OptionSetMetadata"}
    if kind == "Boolean":
        navigations = dict.fromkeys(("OptionSet", "GlobalOptionSet"), "mscrm.BooleanOptionSetMetadata")
    return MetadataType(f"{kind}AttributeMetadata", properties, navigations, base=base)


def _number(kind: str, bound: str) -> MetadataType:
    return _attribute(kind, MinValue=bound, MaxValue=bound, Precision=INT32)


ENTITIES = (
    MetadataType("crmmodelbaseentity", abstract=True),
    MetadataType(
        "MetadataBase",
        {"MetadataId": GUID, "HasChanged": BOOLEAN},
        base="crmmodelbaseentity",
        key="MetadataId",
        abstract=True,
    ),
    MetadataType(
        "EntityMetadata",
        {
            **_all(
                STRING, "LogicalName", "SchemaName", "EntitySetName", "LogicalCollectionName", "CollectionSchemaName",
                "PrimaryIdAttribute", "PrimaryNameAttribute", "PrimaryImageAttribute", "TableType", "IntroducedVersion",
                "ExternalName",
            ),
            **_all(INT32, "ObjectTypeCode"),
            **_all("mscrm.OwnershipTypes", "OwnershipType"),
            **_all(_LABEL, "DisplayName", "DisplayCollectionName", "Description"),
            **_all(
                BOOLEAN, "IsActivity", "IsActivityParty", "IsAvailableOffline", "IsChildEntity", "IsCustomEntity", "IsIntersect",
                "IsLogicalEntity", "IsManaged", "IsPrivate", "IsValidForAdvancedFind", "IsOptimisticConcurrencyEnabled",
                "ChangeTrackingEnabled", "HasNotes", "HasActivities",
            ),
            **_all(
                _MANAGED, "IsCustomizable", "IsRenameable", "IsMappable", "IsAuditEnabled", "IsValidForQueue",
                "CanCreateAttributes", "CanCreateForms", "CanCreateViews",
            ),
            **_all(GUID, "DataProviderId"),
            "Privileges": "Collection(mscrm.SecurityPrivilegeMetadata)",
        },
        {
            "Attributes": "Collection(mscrm.AttributeMetadata)",
            "Keys": "Collection(mscrm.EntityKeyMetadata)",
            "OneToManyRelationships": "Collection(mscrm.OneToManyRelationshipMetadata)",
            "ManyToOneRelationships": "Collection(mscrm.OneToManyRelationshipMetadata)",
            "ManyToManyRelationships": "Collection(mscrm.ManyToManyRelationshipMetadata)",
        },
        base="MetadataBase",
    ),
    MetadataType(
        "AttributeMetadata",
        {
            **_all(
                STRING, "LogicalName", "SchemaName", "ExternalName", "EntityLogicalName", "AttributeOf", "IntroducedVersion",
                "DeprecatedVersion", "InheritsFrom",
            ),
            **_all("mscrm.AttributeTypeCode", "AttributeType"),
            **_all("mscrm.AttributeTypeDisplayName", "AttributeTypeName"),
            **_all(INT32, "ColumnNumber", "SourceType"),
            **_all(_LABEL, "DisplayName", "Description"),
            **_all(
                BOOLEAN, "IsPrimaryId", "IsPrimaryName", "IsCustomAttribute", "IsManaged", "IsLogical", "IsSearchable",
                "IsFilterable", "IsRetrievable", "IsRequiredForForm", "IsSecured", "IsDataSourceSecret", "IsValidODataAttribute",
                "IsValidForCreate", "IsValidForUpdate", "IsValidForRead", "IsValidForForm", "IsValidForGrid",
            ),
            **_all("mscrm.AttributeRequiredLevelManagedProperty", "RequiredLevel"),
            **_all(_MANAGED, "IsCustomizable", "IsRenameable", "IsValidForAdvancedFind", "IsAuditEnabled"),
        },
        base="MetadataBase",
    ),
    MetadataType("EnumAttributeMetadata", _all(INT32, "DefaultFormValue"), base="AttributeMetadata", abstract=True),
    _attribute("Picklist", "EnumAttributeMetadata"),
    _attribute("MultiSelectPicklist", "EnumAttributeMetadata"),
    _attribute("State", "EnumAttributeMetadata"),
    _attribute("Status", "EnumAttributeMetadata"),
    _attribute("Boolean", DefaultValue=BOOLEAN),
    _attribute(
        "String", Format="mscrm.StringFormat", FormatName="mscrm.StringFormatName", MaxLength=INT32, DatabaseLength=INT32
    ),
    _attribute("Memo", Format="mscrm.StringFormat", FormatName="mscrm.MemoFormatName", MaxLength=INT32),
    _attribute("Integer", Format="mscrm.IntegerFormat", MinValue=INT32, MaxValue=INT32),
    _attribute("BigInt", MinValue=INT64, MaxValue=INT64),
    _number("Decimal", "Edm.Decimal"),
    _number("Double", "Edm.Double"),
    _number("Money", "Edm.Double"),
    _attribute("DateTime", Format="mscrm.DateTimeFormat", DateTimeBehavior="mscrm.DateTimeBehavior"),
    _attribute("Lookup", Targets="Collection(Edm.String)"),
    _attribute("File", MaxSizeInKB=INT32),
    _attribute("Uniqueidentifier"),
    _attribute("EntityName"),
    _attribute("ManagedProperty"),
    MetadataType(
        "EntityKeyMetadata",
        {
            **_all(STRING, "LogicalName", "SchemaName", "EntityLogicalName", "IntroducedVersion"),
            **_all(_LABEL, "DisplayName"),
            **_all("Collection(Edm.String)", "KeyAttributes"),
            **_all("mscrm.EntityKeyIndexStatus", "EntityKeyIndexStatus"),
            **_all(BOOLEAN, "IsExportKey", "IsSynchronous", "IsManaged"),
            **_all(_MANAGED, "IsCustomizable"),
        },
        {"AsyncJob": "mscrm.asyncoperation"},
        base="MetadataBase",
    ),
    MetadataType(
        "RelationshipMetadataBase",
        {
            **_all(STRING, "SchemaName", "IntroducedVersion"),
            **_all("mscrm.RelationshipType", "RelationshipType"),
            **_all("mscrm.SecurityTypes", "SecurityTypes"),
            **_all(BOOLEAN, "IsCustomRelationship", "IsManaged", "IsValidForAdvancedFind"),
            **_all(_MANAGED, "IsCustomizable"),
        },
        base="MetadataBase",
        abstract=True,
    ),
    MetadataType(
        "OneToManyRelationshipMetadata",
        {
            **_all(
                STRING, "ReferencedAttribute", "ReferencedEntity", "ReferencedEntityNavigationPropertyName",
                "ReferencingAttribute", "ReferencingEntity", "ReferencingEntityNavigationPropertyName",
            ),
            **_all(INT32, "RelationshipBehavior"),
            **_all(BOOLEAN, "IsHierarchical"),
            **_all("mscrm.CascadeConfiguration", "CascadeConfiguration"),
        },
        base="RelationshipMetadataBase",
    ),
    MetadataType(
        "ManyToManyRelationshipMetadata",
        _all(
            STRING, "Entity1LogicalName", "Entity1IntersectAttribute", "Entity1NavigationPropertyName", "Entity2LogicalName",
            "Entity2IntersectAttribute", "Entity2NavigationPropertyName", "IntersectEntityName",
        ),
        base="RelationshipMetadataBase",
    ),
    MetadataType(
        "OptionSetMetadataBase",
        {
            **_all(STRING, "Name", "ExternalTypeName", "IntroducedVersion"),
            **_all("mscrm.OptionSetType", "OptionSetType"),
            **_all(BOOLEAN, "IsGlobal", "IsCustomOptionSet", "IsManaged"),
            **_all(_LABEL, "DisplayName", "Description"),
            **_all(_MANAGED, "IsCustomizable"),
        },
        base="MetadataBase",
        abstract=True,
    ),
    MetadataType("OptionSetMetadata", {"Options": "Collection(mscrm.OptionMetadata)"}, base="OptionSetMetadataBase"),
    MetadataType(
        "BooleanOptionSetMetadata", _all("mscrm.OptionMetadata", "FalseOption", "TrueOption"), base="OptionSetMetadataBase"
    ),
)  # fmt: skip

SETS: Mapping[str, str] = {
    "EntityDefinitions": "EntityMetadata",
    "RelationshipDefinitions": "RelationshipMetadataBase",
    "GlobalOptionSetDefinitions": "OptionSetMetadataBase",
}
