"""Facts of the Web API's reference: writing, keys, ETags, functions, definitions, errors (§12 to §18)."""

from __future__ import annotations

import re

from tests.acceptance.webapi.facts import ALL, CRM, Fact

from adjourn.pipeline.registration import filter_id, message_id

WRITES = (
    Fact(
        "a create answers with the address",
        "POST accounts",
        204,
        (r"OData-EntityId: ^{root}accounts\([0-9a-f-]{36}\)$",),
        body={"name": "New"},
    ),
    Fact(
        "the id may be in the body",
        "POST accounts",
        204,
        (r"OData-EntityId: accounts\(01900000-0000-7000-8000-000000000001\)",),
        body={"name": "Own id", "accountid": "01900000-0000-7000-8000-000000000001"},
    ),
    Fact(
        "the same id again is a duplicate",
        "POST accounts",
        412,
        ("0x80040237",),
        body={"name": "Own id", "accountid": "01900000-0000-7000-8000-000000000001"},
    ),
    Fact(
        "a PATCH of what is absent creates",
        "PATCH accounts(01900000-0000-7000-8000-000000000002)",
        204,
        ("OData-EntityId: 000000000002",),
        body={"name": "Upserted"},
    ),
    Fact(
        "an upsert that creates with a representation is 201",
        "PATCH accounts(01900000-0000-7000-8000-000000000003)",
        201,
        ('"name":"Upserted"',),
        headers={"Prefer": "return=representation"},
        body={"name": "Upserted"},
    ),
    Fact(
        "If-Match: * never creates",
        "PATCH accounts(01900000-0000-7000-8000-000000000009)",
        404,
        ("0x80040217",),
        headers={"If-Match": "*"},
        body={"name": "x"},
    ),
    Fact(
        "If-None-Match: * never updates",
        "PATCH accounts({contoso})",
        412,
        ("0x80040237", "A record with matching key values already exists."),
        headers={"If-None-Match": "*"},
        body={"name": "x"},
    ),
    Fact("an empty PATCH is 204", "PATCH accounts({contoso})", 204, body={}),
    Fact("an unchanged PATCH is 204", "PATCH accounts({contoso})", 204, body={"name": "Contoso"}),
    Fact("PUT of one property", "PUT accounts({contoso})/telephone1", 204, body={"value": "1"}),
    Fact("DELETE of one property", "DELETE accounts({contoso})/telephone1", 204),
    Fact("DELETE of a lookup's value is refused", "DELETE accounts({contoso})/_primarycontactid_value", 400),
    Fact(
        "a lookup is cleared by null",
        "PATCH accounts(01900000-0000-7000-8000-000000000002)",
        204,
        body={"primarycontactid": None},
    ),
    Fact(
        "a lookup is cleared by a bind of null",
        "PATCH accounts(01900000-0000-7000-8000-000000000002)",
        204,
        body={"primarycontactid@odata.bind": None},
    ),
    Fact(
        "a bind",
        "PATCH accounts(01900000-0000-7000-8000-000000000002)",
        204,
        body={"primarycontactid@odata.bind": "/contacts({joe})"},
    ),
    Fact(
        "a bind by an absolute address",
        "PATCH accounts(01900000-0000-7000-8000-000000000002)",
        204,
        body={"primarycontactid@odata.bind": "{root}contacts({joe})"},
    ),
    Fact(
        "PUT of a reference",
        "PUT accounts(01900000-0000-7000-8000-000000000002)/primarycontactid/$ref",
        204,
        body={"@odata.id": "{root}contacts({joe})"},
    ),
    Fact("DELETE of a reference", "DELETE accounts(01900000-0000-7000-8000-000000000002)/primarycontactid/$ref", 204),
    Fact(
        "a collection's reference",
        "POST accounts({contoso})/account_parent_account/$ref",
        204,
        body={"@odata.id": "accounts(01900000-0000-7000-8000-000000000002)"},
    ),
    Fact(
        "DELETE of a collection's reference by $id",
        "DELETE accounts({contoso})/account_parent_account/$ref?$id={root}accounts(01900000-0000-7000-8000-000000000002)",
        204,
    ),
    *(
        Fact(
            f"{found} are the platform's own",
            f"POST {found}",
            405,
            ("0x80040315", "does not take the message 'Create'"),
            body={},
        )
        for found in (
            "bulkdeleteoperations",
            "bulkdeletefailures",
            "duplicaterecords",
            "fileattachments",
            "importlogs",
            "plugintracelogs",
        )
    ),
    Fact(
        "nor are they changed",
        "PATCH bulkdeletefailures({nobody})",
        405,
        ("0x80040315",),
        headers={"If-Match": "*"},
        body={},
    ),
    Fact("or deleted", "DELETE importlogs({nobody})", 405, ("0x80040315",)),
    Fact("members are associated", "POST teammemberships", 400, ("0x80040315", "Associate"), body={}),
    Fact(
        "there is one organization",
        "POST organizations",
        405,
        ("0x80040315", "does not take the message"),
        body={"name": "x"},
    ),
    Fact("which stays", "DELETE organizations({nobody})", 405, ("0x80040315", "does not take the message")),
    Fact(
        "the platform's messages stay, with the tables on which they are",
        f"DELETE sdkmessages({message_id('Update')})",
        405,
        ("0x80040315", "sdkmessage 'Update' is the platform's own"),
    ),
    Fact(
        "as they are",
        f"PATCH sdkmessages({message_id('Delete')})",
        405,
        ("0x80040315", "the platform's own"),
        headers={"If-Match": "*"},
        body={"name": "x"},
    ),
    Fact(
        "and so do their filters",
        f"DELETE sdkmessagefilters({filter_id('Update', 'account')})",
        405,
        ("0x80040315", "the platform's own"),
    ),
    Fact("and is updated", "PATCH organizations({nobody})", 204, body={"name": "adjourn"}),
    Fact("DELETE of a record", "DELETE accounts(01900000-0000-7000-8000-000000000003)", 204),
    Fact(
        "DELETE of what is absent",
        "DELETE accounts(01900000-0000-7000-8000-000000000003)",
        404,
        ("0x80040217", "account With Id = 01900000-0000-7000-8000-000000000003 Does Not Exist"),
    ),
)
ETAGS = (
    Fact(
        "an old version is 412",
        "PATCH accounts({contoso})",
        412,
        ("0x80060882", "The version of the existing record doesn't match the RowVersion property provided."),
        headers={"If-Match": 'W/"1"'},
        body={"name": "x"},
    ),
    Fact(
        "an old version is not deleted",
        "DELETE accounts({contoso})",
        412,
        ("0x80060882",),
        headers={"If-Match": 'W/"1"'},
    ),
    Fact("what is no ETag is refused", "PATCH accounts({contoso})", 400, headers={"If-Match": "x"}, body={"name": "x"}),
)
KEYS = (Fact("no such key", "GET accounts(name='Contoso')", 400, ("0x80060890",)),)
FUNCTIONS = (
    Fact("a bound function needs its namespace", "GET accounts({contoso})/Nothing()", 404),
    Fact(
        "POST to a function",
        "POST WhoAmI",
        404,
        ('"code":""', "No HTTP resource was found that matches the request URI '"),
        body={},
    ),
    Fact(
        "GET of an action",
        "GET ExecuteAsync",
        404,
        ('"code":""', "No HTTP resource was found that matches the request URI '"),
    ),
    Fact("a parameter by alias", 'GET RetrieveTotalRecordCount(EntityNames=@p)?@p=["account"]', 200, ("account",)),
    Fact(
        "an enum of another type",
        f"GET RetrieveCurrentOrganization(AccessType={CRM}.AccessType'Default')",
        400,
        ("'AccessType' is no enum of type", "Did you mean 'Microsoft.Dynamics.CRM.EndpointAccessType'"),
    ),
    Fact(
        "an enum",
        f"GET RetrieveCurrentOrganization(AccessType={CRM}.EndpointAccessType'Default')",
        200,
        ("OrganizationId",),
    ),
)
DEFINITIONS = (
    Fact(
        "by logical name",
        "GET EntityDefinitions(LogicalName='asyncoperation')?$select=EntitySetName",
        200,
        ("asyncoperations",),
    ),
    Fact(
        "the SDK's question",
        "GET EntityDefinitions?$select=LogicalName,EntitySetName,PrimaryIdAttribute&$filter=LogicalName eq 'account'",
        200,
        ('"LogicalName":"account","EntitySetName":"accounts","PrimaryIdAttribute":"accountid"',),
    ),
    *(
        Fact(f"no {option}", f"GET EntityDefinitions?{option}=1", 400, (re.escape(option),))
        for option in ("$top", "$orderby", "$count")
    ),
    Fact(
        "a cast with its options",
        f"GET EntityDefinitions(LogicalName='asyncoperation')/Attributes(LogicalName='statuscode')/{CRM}.StatusAttributeMetadata"
        "?$select=LogicalName&$expand=OptionSet",
        200,
        ('"Value":30', '"State":3', '"Label":"Succeeded"'),
    ),
    Fact(
        "states name their default status",
        f"GET EntityDefinitions(LogicalName='asyncoperation')/Attributes(LogicalName='statecode')/{CRM}.StateAttributeMetadata"
        "?$select=LogicalName&$expand=OptionSet",
        200,
        ("DefaultStatus", "InvariantName"),
    ),
    *(
        Fact(f"the list {name}", f"GET EntityDefinitions(LogicalName='account')/{name}", 200, ('"value":\\[',))
        for name in ("Keys", "OneToManyRelationships", "ManyToOneRelationships", "ManyToManyRelationships")
    ),
    Fact(
        "a relationship by its name",
        "GET RelationshipDefinitions(SchemaName='Account_AsyncOperations')",
        200,
        ("asyncoperation",),
    ),
    Fact(
        "an enum in a filter",
        f"GET EntityDefinitions?$select=LogicalName&$filter=OwnershipType eq {CRM}.OwnershipTypes'UserOwned'",
        200,
        ('"account"',),
    ),
    Fact(
        "a complex property in a filter",
        "GET EntityDefinitions?$select=LogicalName&$filter=IsCustomizable/Value eq true",
        200,
    ),
    *(
        Fact(
            f"the cast {kind}",
            f"GET EntityDefinitions(LogicalName='account')/Attributes/{CRM}.{kind}AttributeMetadata?$select=LogicalName",
            200,
            ('"value":\\[',),
        )
        for kind in (
            "Picklist",
            "State",
            "Status",
            "Boolean",
            "MultiSelectPicklist",
            "Lookup",
            "String",
            "Memo",
            "Integer",
            "BigInt",
            "DateTime",
            "Decimal",
            "Double",
            "Money",
            "File",
            "Uniqueidentifier",
        )
    ),
)
ERRORS = (
    Fact(
        "an unknown column in a body",
        "POST accounts",
        400,
        ("Invalid property 'nam' was found in entity 'Microsoft.Dynamics.CRM.account'",),
        body={"nam": "x"},
    ),
    Fact(
        "an unknown column in a filter",
        "GET accounts?$filter=nam eq 'x'",
        400,
        ("Could not find a property named 'nam' on type 'Microsoft.Dynamics.CRM.account'",),
    ),
    Fact(
        "a bad name of a bind",
        "POST accounts",
        400,
        (
            "0x80048d19",
            "Error identified in Payload provided by the user for Entity :'accounts'",
            "undeclared property 'nobody'",
        ),
        body={"name": "x", "nobody@odata.bind": "/contacts({joe})"},
    ),
    Fact(
        "a text that is too long",
        "PATCH accounts({contoso})",
        400,
        (
            "0x80044331",
            "A validation error occurred.  The length of the 'name' attribute of the 'account' entity "
            "exceeded the maximum allowed length of '160'.",
        ),
        body={"name": "x" * 161},
    ),
    Fact(
        "a record that is not there",
        "GET accounts({nobody})",
        404,
        ("0x80040217", "account With Id = {nobody} Does Not Exist"),
    ),
    Fact(
        "an error's members beside code and message come when annotations are asked for",
        "GET accounts({nobody})",
        404,
        (
            '"@Microsoft.PowerApps.CDS.ErrorDetails.OperationStatus":"0"',
            '"@Microsoft.PowerApps.CDS.ErrorDetails.SubErrorCode":"2147746327"',
            '"@Microsoft.PowerApps.CDS.HelpLink":"http://go.microsoft.com/fwlink/\\?LinkID=398563&error=Microsoft.Crm.CrmException%3a80040217&client=platform"',
            '"@Microsoft.PowerApps.CDS.TraceText":"',
            '"@Microsoft.PowerApps.CDS.InnerError.Message":"',
        ),
        headers=ALL,
    ),
    Fact("and only then", "GET accounts({nobody})", 404, (), ("PowerApps",)),
)
SECTIONS = {
    "12": WRITES,
    "14": ETAGS,
    "13": KEYS,
    "16": FUNCTIONS,
    "17": DEFINITIONS,
    "18": ERRORS,
}
