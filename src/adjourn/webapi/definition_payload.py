"""What clients send to make metadata: EntityMetadata, AttributeMetadata and relationships, as the entries of our documents.

Clients send whole documents of which most says nothing new; what a type documents is accepted, anything else is refused by name.
The types of the action CreateEntities differ from the others by the word `Complex` in front. Source: webapi.md §17.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from adjourn.errors import InvalidRequest, NotSupported, nearest
from adjourn.metadata.additions import INVALID_METADATA
from adjourn.metadata.custom_columns import Entry
from adjourn.metadata.model import ColumnType
from adjourn.webapi.definition_shapes import LANGUAGE, NAMESPACE

Body = Mapping[str, Any]
_KINDS: dict[str, ColumnType] = {
    found.value: found
    for found in (
        ColumnType.STRING,
        ColumnType.MEMO,
        ColumnType.INTEGER,
        ColumnType.BIGINT,
        ColumnType.DECIMAL,
        ColumnType.DOUBLE,
        ColumnType.MONEY,
        ColumnType.BOOLEAN,
        ColumnType.DATETIME,
        ColumnType.PICKLIST,
        ColumnType.MULTISELECT,
        ColumnType.FILE,
    )
}
_UNTOUCHED_NAMES = """
    AttributeOf AttributeType AttributeTypeName AutoNumberFormat CalculationOf CanBeSecuredForCreate
    CanBeSecuredForRead CanBeSecuredForUpdate CanChangeDateTimeBehavior CanModifyAdditionalSettings
    ChildPicklistLogicalNames ColumnNumber DatabaseLength DeprecatedVersion EntityLogicalName ExternalName
    FormulaDefinition GlobalOptionSet HasChanged ImeMode ImeOnMultiLine InheritsFrom InheritsOn IntroducedVersion
    IsAuditEnabled IsBaseCurrency IsCustomAttribute IsCustomizable IsDataSourceSecret IsEntityReferenceStored
    IsFilterable IsGlobalFilterEnabled IsLocalizable IsLogical IsManaged IsPrimaryId IsRenameable IsRequiredForForm
    IsRetrievable IsSearchable IsSecured IsSortableEnabled IsValidForAdvancedFind IsValidForCreate IsValidForForm
    IsValidForGrid IsValidForRead IsValidForUpdate IsValidODataAttribute LinkedAttributeId LogicalName
    MaxSupportedValue MetadataId MinSupportedValue ParentPicklistLogicalName PrecisionSource SecurityPrivilegeMetadata
    Settings SourceType SourceTypeMask Targets YomiOf
"""
_UNTOUCHED = frozenset(_UNTOUCHED_NAMES.split())
"""Properties of AttributeMetadata that are accepted and change nothing here."""
_READ_NAMES = """
    SchemaName DisplayName Description RequiredLevel MaxLength FormatName Format MinValue MaxValue Precision
    DefaultValue DefaultFormValue OptionSet DateTimeBehavior IsPrimaryName MaxSizeInKB
"""
_READ = frozenset(_READ_NAMES.split())
_TABLE_READ_NAMES = """
    SchemaName DisplayName DisplayCollectionName Description OwnershipType EntitySetName Attributes IsActivity
    LogicalName PrimaryNameAttribute LogicalCollectionName
"""
_TABLE_READ = frozenset(_TABLE_READ_NAMES.split())
_TABLE_UNTOUCHED_NAMES = """
    ActivityTypeMask AutoCreateAccessTeams AutoRouteToOwnerQueue CanBeInCustomEntityAssociation CanBeInManyToMany
    CanBePrimaryEntityInRelationship CanBeRelatedEntityInRelationship CanChangeHierarchicalRelationship
    CanChangeTrackingBeEnabled CanCreateAttributes CanCreateCharts CanCreateForms CanCreateViews
    CanEnableSyncToExternalSearchIndex CanModifyAdditionalSettings CanTriggerWorkflow ChangeTrackingEnabled
    CollectionSchemaName DataProviderId DataSourceId DaysSinceRecordLastModified EnforceStateTransitions EntityColor
    EntityHelpUrl EntityHelpUrlEnabled EntitySetName ExternalCollectionName ExternalName HasActivities HasChanged
    HasEmailAddresses HasFeedback HasNotes IconLargeName IconMediumName IconSmallName IconVectorName IntroducedVersion
    IsAIRUpdated IsActivityParty IsArchivalEnabled IsAuditEnabled IsAvailableOffline IsBPFEntity
    IsBusinessProcessEnabled IsChildEntity IsConnectionsEnabled IsCustomEntity IsCustomizable
    IsDocumentManagementEnabled IsDocumentRecommendationsEnabled IsDuplicateDetectionEnabled IsEnabledForCharts
    IsEnabledForExternalChannels IsEnabledForTrace IsImportable IsInteractionCentricEnabled IsIntersect
    IsKnowledgeManagementEnabled IsLogicalEntity IsMSTeamsIntegrationEnabled IsMailMergeEnabled IsManaged IsMappable
    IsOfflineInMobileClient IsOneNoteIntegrationEnabled IsOptimisticConcurrencyEnabled IsPrivate IsQuickCreateEnabled
    IsReadOnlyInMobileClient IsReadingPaneEnabled IsRenameable IsRetentionEnabled IsRetrieveAuditEnabled
    IsRetrieveMultipleAuditEnabled IsSLAEnabled IsSolutionAware IsStateModelAware IsValidForAdvancedFind
    IsValidForQueue IsVisibleInMobile IsVisibleInMobileClient MetadataId MobileOfflineFilters ModifiedOn CreatedOn
    ObjectTypeCode OwnerId OwnerIdType OwningBusinessUnit PrimaryIdAttribute PrimaryImageAttribute Privileges
    RecurrenceBaseEntityLogicalName ReportViewName SettingOf Settings SyncToExternalSearchIndex TableType
    UsesBusinessDataLabelTable
"""
_TABLE_UNTOUCHED = frozenset(_TABLE_UNTOUCHED_NAMES.split())


def table(body: Body) -> tuple[dict[str, Any], list[Entry], str]:
    """EntityMetadata to create: header, columns, and the schema name of the column that names its records."""
    _known(body, _TABLE_READ | _TABLE_UNTOUCHED, "EntityMetadata")
    if body.get("IsActivity"):
        raise NotSupported("Custom activities cannot be created: IsActivity must be false.", status=400)
    attributes = body.get("Attributes")
    if not isinstance(attributes, list) or not all(isinstance(found, dict) for found in attributes):
        raise _wrong("EntityMetadata", "Attributes must be a list of AttributeMetadata with the primary name column")
    primary = [found for found in attributes if found.get("IsPrimaryName") is True]
    if len(primary) != 1:
        raise _wrong("EntityMetadata", f"exactly one of its Attributes must have IsPrimaryName, found {len(primary)}")
    header = {"schema": body.get("SchemaName"), "ownership": body.get("OwnershipType"), **table_texts(body)}
    if body.get("EntitySetName"):
        header["entityset"] = body["EntitySetName"]
    return header, [column(found) for found in attributes], str(primary[0].get("SchemaName"))


def table_texts(body: Body) -> dict[str, str]:
    """The texts of an EntityMetadata, as far as it has any."""
    _known(body, _TABLE_READ | _TABLE_UNTOUCHED, "EntityMetadata")
    names = {"display": "DisplayName", "display_collection": "DisplayCollectionName", "description": "Description"}
    found = {key: label(body[name], name) for key, name in names.items() if body.get(name) is not None}
    return {key: text for key, text in found.items() if text or key == "description"}


def column(body: Body) -> Entry:
    """AttributeMetadata as a column's entry. Raises InvalidRequest, NotSupported."""
    kind = _kind(body)
    _known(body, _READ | _UNTOUCHED, f"{kind}AttributeMetadata")
    if not isinstance(body.get("SchemaName"), str):
        raise _wrong(f"{kind}AttributeMetadata", "it needs a SchemaName")
    entry: Entry = {
        "schema": body["SchemaName"],
        "name": body["SchemaName"].lower(),
        "type": _KINDS[kind].value,
        "required": _value(body.get("RequiredLevel"), "RequiredLevel") in ("ApplicationRequired", "SystemRequired"),
    }
    for key, name in (("display", "DisplayName"), ("description", "Description")):
        if body.get(name) is not None:
            entry[key] = label(body[name], name)
    for key, name in (
        ("max_length", "MaxLength"),
        ("minimum", "MinValue"),
        ("maximum", "MaxValue"),
        ("precision", "Precision"),
        ("size_kb_max", "MaxSizeInKB"),
    ):
        if body.get(name) is not None:
            entry[key] = body[name]
    _formats(body, entry, kind)
    if kind == "Boolean":
        _yes_no(body, entry)
    if kind in ("Picklist", "MultiSelectPicklist"):
        _picklist(body, entry)
    if kind == "MultiSelectPicklist" and "default" in entry:
        raise _wrong(f"{kind}AttributeMetadata", "a column of several choices has no default value")
    return entry


def lookup(body: Body) -> Entry:
    """The LookupAttributeMetadata of a relationship."""
    if not isinstance(body, dict) or not isinstance(body.get("SchemaName"), str):
        raise _wrong("OneToManyRelationshipMetadata", "Lookup must be a LookupAttributeMetadata with a SchemaName")
    _known(body, _READ | _UNTOUCHED, "LookupAttributeMetadata")
    entry: Entry = {
        "schema": body["SchemaName"],
        "required": _value(body.get("RequiredLevel"), "RequiredLevel") in ("ApplicationRequired", "SystemRequired"),
    }
    for key, name in (("display", "DisplayName"), ("description", "Description")):
        if body.get(name) is not None:
            entry[key] = label(body[name], name)
    return entry


def label(found: Any, name: str) -> str:
    """The text of a Label in the organization's language, or else in the first that it has."""
    if not isinstance(found, dict):
        raise InvalidRequest(f"'{name}' must be a Label, found {type(found).__name__}.", code=INVALID_METADATA)
    texts = found.get("LocalizedLabels") or []
    if isinstance(found.get("UserLocalizedLabel"), dict):
        texts = [*texts, found["UserLocalizedLabel"]]
    usable = [one for one in texts if isinstance(one, dict) and isinstance(one.get("Label"), str)]
    chosen = next((one for one in usable if one.get("LanguageCode") == LANGUAGE), usable[0] if usable else None)
    return chosen["Label"] if chosen else ""


def _kind(body: Body) -> str:
    text = str(body.get("@odata.type") or "").lstrip("#").removeprefix(NAMESPACE).removeprefix("Complex")
    kind = text.removesuffix("AttributeMetadata") or str(body.get("AttributeType") or "")
    if kind == "Lookup":
        raise InvalidRequest(
            "A lookup is made with its relationship: POST to RelationshipDefinitions.", code=INVALID_METADATA
        )
    if kind not in _KINDS:
        raise NotSupported(
            f"A column of type '{kind[:100]}' cannot be created; @odata.type must be one of "
            f"{', '.join(_KINDS)}AttributeMetadata.{nearest(kind, _KINDS)}",
            status=400,
        )
    return kind


def _formats(body: Body, entry: Entry, kind: str) -> None:
    form = _value(body.get("FormatName"), "FormatName") or body.get("Format")
    if kind == "DateTime":
        if _value(body.get("DateTimeBehavior"), "DateTimeBehavior") == "DateOnly":
            entry["type"] = ColumnType.DATE.value
        elif form == "DateOnly":
            entry["format"] = form
    elif kind == "String" and form is not None and form != "Text":
        entry["format"] = str(form)


def _yes_no(body: Body, entry: Entry) -> None:
    options = body.get("OptionSet")
    if isinstance(options, dict):
        labels = []
        for name, default in (("FalseOption", "No"), ("TrueOption", "Yes")):
            option = options.get(name)
            found = label(option["Label"], name) if isinstance(option, dict) and option.get("Label") else ""
            labels.append(found or default)
        entry["labels"] = labels
    if isinstance(body.get("DefaultValue"), bool):
        entry["default"] = body["DefaultValue"]


def _picklist(body: Body, entry: Entry) -> None:
    options = body.get("OptionSet")
    if any(name.startswith("GlobalOptionSet@") for name in body) or (
        isinstance(options, dict) and options.get("IsGlobal")
    ):
        raise NotSupported("Global choices are not supported: give the column an OptionSet of its own.", status=400)
    if isinstance(options, dict):
        found = options.get("Options") or []
        if not isinstance(found, list) or not all(isinstance(option, dict) for option in found):
            raise _wrong("OptionSetMetadata", "Options must be a list of OptionMetadata")
        entry["options"] = [
            {"value": option.get("Value"), "label": label(option["Label"], "Label") if option.get("Label") else None}
            for option in found
        ]
    default = body.get("DefaultFormValue")
    if isinstance(default, int) and default != -1:
        entry["default"] = default


def _value(found: Any, name: str) -> Any:
    """The Value of a managed property or a type name."""
    if found is None or isinstance(found, str):
        return found
    if not isinstance(found, dict):
        raise InvalidRequest(f"'{name}' must be an object with a Value.", code=INVALID_METADATA)
    return found.get("Value")


def _known(body: Body, names: Iterable[str], kind: str) -> None:
    known = frozenset(names)
    for name in body:
        if "@" not in name and name not in known:
            raise InvalidRequest(
                f"Invalid property '{name[:200]}' was found in entity '{NAMESPACE}{kind}'.{nearest(name, known)}",
                code=0x0,
            )


def _wrong(kind: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{kind}: {what}.", code=INVALID_METADATA)
