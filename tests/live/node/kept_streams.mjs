// What openai-node 7.x and 6.x, and the founding tutorials' client, read of streams that are kept, with ids and without:
// one JSON object on standard output. Run by test_streams_sdks.py.
import OpenAI from "openai";
import OpenAI6 from "openai6";

import { SeedClient } from "./seed_client.mjs";

const { RELAY_URL: baseURL, RELAY_KEY, KEPT_KEY, MODELS } = process.env;
const messages = [{ role: "user", content: "What is a relay?" }];
const numbers = (text) => [...text.matchAll(/@t\d+:(\d+):/g)].map((match) => Number(match[1]));

async function text(events, textOf) {
  let text = "";
  for await (const event of await events) text += textOf(event) ?? "";
  return numbers(text);
}

const routes = {
  chat: (client, model) =>
    text(client.chat.completions.create({ model, messages, stream: true }), (chunk) => chunk.choices[0].delta.content),
  completions: (client, model) =>
    text(client.completions.create({ model, prompt: "What?", stream: true }), (chunk) => chunk.choices[0].text),
  responses: (client, model) =>
    text(client.responses.create({ model, input: "What?", stream: true }), (event) =>
      event.type === "response.output_text.delta" ? event.delta : "",
    ),
};

async function seed(key, model) {
  const seen = [];
  const onChunk = (text) => seen.push(...numbers(text));
  await new SeedClient(key, baseURL.replace(/\/v1$/, "")).stream(model, { path: "/api/chat/stream", onChunk });
  return seen;
}

const attempts = {};
for (const [keyName, apiKey] of Object.entries({ plain: RELAY_KEY, kept: KEPT_KEY })) {
  for (const model of MODELS.split(" ")) {
    for (const [line, Client] of Object.entries({ openai: OpenAI, openai6: OpenAI6 })) {
      const client = new Client({ baseURL, apiKey, maxRetries: 0 });
      for (const [name, read] of Object.entries(routes)) {
        attempts[`${line} ${name} ${keyName} ${model}`] = () => read(client, model);
      }
    }
    attempts[`seed chat ${keyName} ${model}`] = () => seed(apiKey, model);
  }
}

const outcome = (attempt) => attempt().catch((error) => String(error));
const seen = await Promise.all(Object.entries(attempts).map(async ([name, attempt]) => [name, await outcome(attempt)]));
console.log(JSON.stringify(Object.fromEntries(seen)));
