// A page without a browser: calls come as lines of JSON, and answers go out as such. Run by ../bench/node_page.py.
import { createInterface } from "node:readline";

import { callsOf } from "../pages/client_calls.mjs";

const calls = callsOf(await import(process.env.CLIENT_URL));
const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);

for await (const line of createInterface({ input: process.stdin })) {
  const { id, name, asked } = JSON.parse(line);
  Promise.resolve()
    .then(() => calls[name](asked))
    .then((value) => say({ id, value: value ?? null }), (error) => say({ id, error: String(error.stack) }));
}
process.exit(0);
