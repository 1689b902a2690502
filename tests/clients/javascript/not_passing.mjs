// `node not_passing.mjs CALL` makes one call that does not pass, and ends with what it failed with.

import { api } from "./service.mjs";

const calls = {
  createGlobalOptionSet: () => api.createGlobalOptionSet({ data: { Name: "new_choice", Options: [] } }),
  "create(duplicateDetection: true)": () =>
    api.create({ collection: "accounts", data: { name: "x" }, duplicateDetection: true }),
  query: () => api.query("contoso"),
  suggest: () => api.suggest("contoso"),
  getBackgroundOperationStatus: () => api.getBackgroundOperationStatus("0ad10000-0000-7000-8000-000000000004"),
};

await calls[process.argv[2]]();
