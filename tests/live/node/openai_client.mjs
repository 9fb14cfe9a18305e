// What openai-node 7.x and 6.x make of the relay: one JSON object on standard output, for each line an outcome of
// everything that was tried. Run by test_sdk_node.py.
import OpenAI, { APIError } from "openai";
import OpenAI6, { APIError as APIError6 } from "openai6";

import attempts from "./openai_attempts.mjs";

// What the attempt resolves to, or what it raised: an error of the client's own, or anything else.
async function outcome(attempt) {
  try {
    return await attempt();
  } catch (error) {
    if (!(error instanceof APIError || error instanceof APIError6)) return { broke: String(error) };
    return { raised: error.constructor.name, code: error.code ?? null, status: error.status ?? null };
  }
}

const lines = Object.entries({ openai: attempts(OpenAI), openai6: attempts(OpenAI6) });
const seen = { openai: {}, openai6: {} };

// All attempts of a kind, of both lines.
const all = (kind) =>
  lines.flatMap(([line, tried]) => Object.entries(tried[kind]).map(([name, attempt]) => ({ line, name, attempt })));

async function tryOne({ line, name, attempt }) {
  seen[line][name] = await outcome(attempt);
}

// Eight at a time: a crowd would be a load test, and late answers other answers.
async function tryInTurn(attempts) {
  const left = attempts.values();
  const one = async () => {
    for (const attempt of left) await tryOne(attempt);
  };
  await Promise.all(Array.from({ length: 8 }, one));
}

const waiting = all("slow").map(tryOne);
await tryInTurn(all("fast"));
for (const one of all("counting")) await tryOne(one);
await Promise.all(waiting);
console.log(JSON.stringify(seen));
