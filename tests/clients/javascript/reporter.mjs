// A reporter for `node --test`: a line of JSON for each test, with an empty error if it passed.

import { inspect } from "node:util";

export default async function* reporter(source) {
  for await (const { type, data } of source) {
    if (type !== "test:pass" && type !== "test:fail") continue;
    if (data.nesting > 0 || data.name.endsWith(".mjs")) continue;
    const skipped = data.skip !== undefined || data.todo !== undefined;
    const error = type === "test:fail" ? inspect(data.details.error.cause ?? data.details.error, { depth: 4 }) : skipped ? "skipped" : "";
    yield `${JSON.stringify({ name: data.name, error })}\n`;
  }
}
