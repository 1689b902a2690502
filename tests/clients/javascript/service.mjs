// ADJOURN_URL and ADJOURN_TOKEN say where and as whom; NODE_EXTRA_CA_CERTS makes Node.js trust the service's certificate.

import { DynamicsWebApi } from "dynamics-web-api";

export const api = new DynamicsWebApi({
  serverUrl: process.env.ADJOURN_URL,
  dataApi: { version: "9.2" },
  onTokenRefresh: async () => process.env.ADJOURN_TOKEN,
});
