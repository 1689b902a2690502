// `dynamics-web-api` from npm, unmodified: every group of calls of its documentation, at a real service over HTTPS.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { api } from "./service.mjs";

const FORMATTED = "OData.Community.Display.V1.FormattedValue";
const ADMINISTRATOR = "0ad10000-0000-7000-8000-000000000004";
const unique = () => `js ${randomUUID()}`;
const label = (text) => ({ LocalizedLabels: [{ Label: text, LanguageCode: 1033 }] });

async function account(data = {}) {
  const name = unique();
  return { name, id: await api.create({ collection: "accounts", data: { name, ...data } }) };
}

test("one record: create, retrieve, update, single property, upsert, delete", async () => {
  const { name, id } = await account({ revenue: 1.5 });
  const read = await api.retrieve({ collection: "accounts", key: id, select: ["name", "revenue"], includeAnnotations: "*" });
  assert.equal(read.name, name);
  assert.equal(read[`revenue@${FORMATTED}`], "$1.50");
  assert.equal(read.revenue_Formatted, "$1.50");

  await api.update({ collection: "accounts", key: id, data: { description: "told" } });
  const changed = await api.update({
    collection: "accounts", key: id, data: { revenue: 2 }, returnRepresentation: true, select: ["revenue", "description"],
  });
  assert.deepEqual([changed.revenue, changed.description], [2, "told"]);
  await api.updateSingleProperty({ collection: "accounts", key: id, fieldValuePair: { telephone1: "123" } });
  assert.equal((await api.retrieve({ collection: "accounts", key: id, select: ["telephone1"] })).telephone1, "123");

  const other = randomUUID();
  assert.equal(await api.upsert({ collection: "accounts", key: other, data: { name }, ifmatch: "*" }), null); // it may only update
  assert.equal(await api.count({ collection: "accounts", filter: `accountid eq ${other}` }), 0);
  await api.upsert({ collection: "accounts", key: other, data: { name } });
  await api.deleteRecord({ collection: "accounts", key: other });
  await api.deleteRecord({ collection: "accounts", key: id, property: "description" });
  assert.equal((await api.retrieve({ collection: "accounts", key: id, select: ["description"] })).description, null);
  await api.deleteRecord({ collection: "accounts", key: id });
  await assert.rejects(api.retrieve({ collection: "accounts", key: id }), { status: 404, code: "0x80040217" });
});

test("ETags: an unchanged record is not sent again, a changed one is not overwritten", async () => {
  const { id } = await account();
  const read = await api.retrieve({ collection: "accounts", key: id, select: ["name"] });
  const etag = read["@odata.etag"] ?? read.oDataEtag;
  assert.ok(etag);
  assert.equal(await api.retrieve({ collection: "accounts", key: id, select: ["name"], ifnonematch: etag }), undefined); // 304
  await api.update({ collection: "accounts", key: id, data: { description: "first" }, ifmatch: etag });
  assert.equal(await api.update({ collection: "accounts", key: id, data: { description: "second" }, ifmatch: etag }), false);
  assert.equal(await api.deleteRecord({ collection: "accounts", key: id, ifmatch: etag }), false);
  assert.equal((await api.retrieve({ collection: "accounts", key: id, select: ["description"] })).description, "first");
});

test("deep insert, binding, expand, single-valued and collection-valued references", async () => {
  const name = unique();
  const made = await api.create({
    collection: "accounts",
    data: { name, primarycontactid: { lastname: name }, Account_Tasks: [{ subject: "a" }, { subject: "b" }] },
    returnRepresentation: true,
    select: ["name", "accountid"],
    expand: [
      { property: "primarycontactid", select: ["lastname"] },
      { property: "Account_Tasks", select: ["subject"], filter: "subject ne 'b'", orderBy: ["subject desc"] },
    ],
  });
  assert.equal(made.primarycontactid.lastname, name);
  assert.deepEqual(made.Account_Tasks.map((task) => task.subject), ["a"]);

  await api.disassociateSingleValued({ collection: "accounts", primaryKey: made.accountid, navigationProperty: "primarycontactid" });
  const person = await api.create({ collection: "contacts", data: { lastname: name } });
  await api.associateSingleValued({
    collection: "accounts", primaryKey: made.accountid, navigationProperty: "primarycontactid", relatedCollection: "contacts", relatedKey: person,
  });
  const read = await api.retrieve({ collection: "accounts", key: made.accountid, select: ["_primarycontactid_value"], includeAnnotations: "*" });
  assert.equal(read._primarycontactid_value, person);
  assert.equal(read._primarycontactid_value_LogicalName, "contact");
  const task = await api.create({ collection: "tasks", data: { subject: "c" } });
  await api.associate({
    collection: "accounts", primaryKey: made.accountid, relationshipName: "Account_Tasks", relatedCollection: "tasks", relatedKey: task,
  });
  const through = await api.retrieve({
    collection: "accounts", key: made.accountid, navigationProperty: "Account_Tasks", navigationPropertyKey: task, select: ["subject"],
  });
  assert.equal(through.subject, "c");
  await api.disassociate({ collection: "accounts", primaryKey: made.accountid, relationshipName: "Account_Tasks", relatedKey: task });
  const left = await api.retrieve({ collection: "accounts", key: made.accountid, expand: [{ property: "Account_Tasks", select: ["subject"] }] });
  assert.deepEqual(left.Account_Tasks.map((one) => one.subject).sort(), ["a", "b"]);
});

test("many records: options, pages, all pages, counts, aggregates", async () => {
  const name = unique();
  for (let n = 0; n < 7; n++) await api.create({ collection: "accounts", data: { name, numberofemployees: n } });
  const chosen = { collection: "accounts", select: ["numberofemployees"], filter: `name eq '${name}'`, orderBy: ["numberofemployees desc"] };
  const first = await api.retrieveMultiple({ ...chosen, maxPageSize: 3, count: true });
  assert.deepEqual([first.value.length, first.oDataCount], [3, 7]);
  const second = await api.retrieveMultiple({ ...chosen, maxPageSize: 3 }, first.oDataNextLink);
  assert.deepEqual(second.value.map((row) => row.numberofemployees), [3, 2, 1]);
  const all = await api.retrieveAll({ ...chosen, maxPageSize: 2 });
  assert.deepEqual(all.value.map((row) => row.numberofemployees), [6, 5, 4, 3, 2, 1, 0]);
  assert.equal((await api.retrieveMultiple({ ...chosen, top: 2 })).value.length, 2);
  assert.equal(await api.count({ collection: "accounts", filter: chosen.filter }), 7);
  assert.equal(await api.countAll({ collection: "accounts", filter: chosen.filter, select: ["name"] }), 7);
  assert.ok((await api.count({ collection: "accounts" })) >= 7);
  const grouped = await api.retrieveMultiple({
    collection: "accounts", apply: `filter(name eq '${name}')/aggregate(numberofemployees with sum as total)`,
  });
  assert.equal(grouped.value[0].total, 21);
});

test("FetchXML: one page, a page by its number, all pages by cookie", async () => {
  const name = unique();
  for (let n = 0; n < 5; n++) await api.create({ collection: "contacts", data: { lastname: name, firstname: String(n) } });
  const fetchXml = `<fetch count="2"><entity name="contact"><attribute name="firstname"/><order attribute="firstname"/>
    <filter><condition attribute="lastname" operator="eq" value="${name}"/></filter></entity></fetch>`;
  const page = await api.fetch({ collection: "contacts", fetchXml });
  assert.deepEqual(page.value.map((row) => row.firstname), ["0", "1"]);
  const next = await api.fetch({
    collection: "contacts", fetchXml, pageNumber: page.PagingInfo.nextPage, pagingCookie: page.PagingInfo.cookie,
  });
  assert.deepEqual(next.value.map((row) => row.firstname), ["2", "3"]);
  const all = await api.fetchAll({ collection: "contacts", fetchXml });
  assert.deepEqual(all.value.map((row) => row.firstname), ["0", "1", "2", "3", "4"]);
});

test("functions and actions, bound and unbound", async () => {
  assert.equal((await api.callFunction("WhoAmI")).UserId, ADMINISTRATOR);
  const { Detail } = await api.callFunction({
    name: "RetrieveCurrentOrganization", parameters: { AccessType: "Microsoft.Dynamics.CRM.EndpointAccessType'Default'" },
  });
  assert.ok(Detail.OrganizationId);
  const { EntityRecordCountCollection } = await api.callFunction({
    name: "RetrieveTotalRecordCount", parameters: { EntityNames: ["account"] },
  });
  assert.deepEqual(EntityRecordCountCollection.Keys, ["account"]);
  assert.equal((await api.callAction({ actionName: "greet", action: { name: "Ada" } })).value, "Hello Ada");
  const { RolePrivileges } = await api.callFunction({ collection: "systemusers", key: ADMINISTRATOR, name: "Microsoft.Dynamics.CRM.RetrieveUserPrivileges" });
  assert.ok(RolePrivileges.length > 10);
});

test("jobs: a plug-in's job is found, and an action on it is answered", async () => {
  const { id } = await account();
  let job;
  for (let tries = 0; !job && tries < 200; tries++) {
    const found = await api.retrieveMultiple({
      collection: "asyncoperations", select: ["name", "statecode", "statuscode", "operationtype"],
      filter: `_regardingobjectid_value eq ${id} and statecode eq 3`, includeAnnotations: "*",
    });
    [job] = found.value;
    await new Promise((done) => setTimeout(done, 50));
  }
  assert.deepEqual([job.statuscode, job.statuscode_Formatted, job.operationtype_Formatted], [30, "Succeeded", "System Event"]);
  await assert.rejects(
    api.update({ collection: "asyncoperations", key: job.asyncoperationid, data: { statecode: 3, statuscode: 32 } }),
    (error) => /^0x8/.test(error.code) && error.status === 400,
  );
});

test("batches: a change set with references, an error that undoes it, continue on error", async () => {
  const name = unique();
  api.startBatch();
  api.create({ collection: "contacts", data: { lastname: name }, contentId: "1" });
  api.create({ collection: "accounts", data: { name, "primarycontactid@odata.bind": "$1" } });
  const [person, made] = await api.executeBatch();
  const read = await api.retrieve({ collection: "accounts", key: made, select: ["_primarycontactid_value"] });
  assert.equal(read._primarycontactid_value, person);

  api.startBatch();
  api.create({ collection: "accounts", data: { name: `${name} undone` } });
  api.create({ collection: "accounts", data: { nmae: "x" } });
  await assert.rejects(api.executeBatch(), (failed) => /nmae/.test(JSON.stringify(failed) + failed.message));
  assert.equal(await api.count({ collection: "accounts", filter: `name eq '${name} undone'` }), 0);

  api.startBatch();
  api.retrieve({ collection: "accounts", key: randomUUID() }).catch(() => undefined);
  api.retrieveMultiple({ collection: "accounts", filter: `name eq '${name}'`, select: ["name"] });
  api.count({ collection: "accounts", filter: `name eq '${name}'` });
  const answers = await api.executeBatch({ continueOnError: true }).catch((errors) => errors);
  assert.match(JSON.stringify(answers), new RegExp(name));
});

test("tables, columns, relationships: made, read, changed, deleted; choices are read", async () => {
  const id = randomUUID().slice(0, 8);
  const table = `new_js${id}`;
  const made = await api.createEntity({
    data: {
      "@odata.type": "Microsoft.Dynamics.CRM.EntityMetadata", SchemaName: table, DisplayName: label("Thing"), DisplayCollectionName: label("Things"),
      Description: label("A thing"), OwnershipType: "UserOwned", IsActivity: false, HasActivities: false, HasNotes: false,
      Attributes: [{
        "@odata.type": "Microsoft.Dynamics.CRM.StringAttributeMetadata", AttributeType: "String", AttributeTypeName: { Value: "StringType" },
        SchemaName: "new_Name", IsPrimaryName: true, MaxLength: 100, RequiredLevel: { Value: "None" }, FormatName: { Value: "Text" },
        DisplayName: label("Name"), Description: label("Its name"),
      }],
    },
  });
  const entity = await api.retrieveEntity({ key: `LogicalName='${table}'`, select: ["MetadataId", "EntitySetName", "DisplayName"] });
  assert.ok(made);
  const column = await api.createAttribute({
    entityKey: entity.MetadataId,
    data: {
      "@odata.type": "Microsoft.Dynamics.CRM.IntegerAttributeMetadata", SchemaName: "new_Size", MinValue: 0, MaxValue: 9,
      RequiredLevel: { Value: "None" }, DisplayName: label("Size"), Description: label(""),
    },
  });
  assert.ok(column);
  const size = await api.retrieveAttribute({
    entityKey: entity.MetadataId, attributeKey: "LogicalName='new_size'", castType: "Microsoft.Dynamics.CRM.IntegerAttributeMetadata",
  });
  size.MaxValue = 99;
  await api.updateAttribute({
    entityKey: entity.MetadataId, data: size, castType: "Microsoft.Dynamics.CRM.IntegerAttributeMetadata", mergeLabels: true,
  });
  const { value: columns } = await api.retrieveAttributes({
    entityKey: entity.MetadataId, castType: "Microsoft.Dynamics.CRM.IntegerAttributeMetadata", select: ["LogicalName", "MaxValue"], filter: "LogicalName eq 'new_size'",
  });
  assert.deepEqual(columns.map((one) => one.MaxValue), [99]);

  const row = await api.create({ collection: entity.EntitySetName, data: { new_name: "a", new_size: 50 } });
  assert.equal((await api.retrieve({ collection: entity.EntitySetName, key: row, select: ["new_size"] })).new_size, 50);

  const relationship = await api.createRelationship({
    data: {
      "@odata.type": "Microsoft.Dynamics.CRM.OneToManyRelationshipMetadata", SchemaName: `${table}_account`, ReferencedEntity: "account",
      ReferencingEntity: table, Lookup: { "@odata.type": "Microsoft.Dynamics.CRM.LookupAttributeMetadata", SchemaName: "new_AccountId",
        DisplayName: label("Account"), Description: label(""), AttributeType: "Lookup", AttributeTypeName: { Value: "LookupType" },
        RequiredLevel: { Value: "None" } },
    },
  });
  const related = await api.retrieveRelationships({
    castType: "Microsoft.Dynamics.CRM.OneToManyRelationshipMetadata", select: ["SchemaName"], filter: `SchemaName eq '${table}_account'`,
  });
  assert.deepEqual(related.value.map((one) => one.SchemaName), [`${table}_account`]);
  await api.deleteRelationship({ key: relationship });

  assert.deepEqual((await api.retrieveGlobalOptionSets()).value, []); // no table of the organization shares its choices
  assert.match(await api.retrieveCsdlMetadata(), new RegExp(`EntityType Name="${table}"`));
});

test("impersonation, headers, cancelled requests", async () => {
  const as = await api.callFunction({ name: "WhoAmI", impersonate: ADMINISTRATOR });
  assert.equal(as.UserId, ADMINISTRATOR);
  await assert.rejects(api.callFunction({ name: "WhoAmI", impersonate: randomUUID() }), (error) => error.status === 403);
  const { id } = await account();
  await api.update({ collection: "accounts", key: id, data: { description: "x" }, bypassCustomPluginExecution: true, headers: { "MSCRM.SuppressDuplicateDetection": "true" } });
  const stop = new AbortController();
  stop.abort();
  await assert.rejects(api.retrieveMultiple({ collection: "accounts", signal: stop.signal }));
});
