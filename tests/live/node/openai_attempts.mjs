// Everything that is tried with one line of openai-node; its default export names the attempts.
import { setTimeout as pause } from "node:timers/promises";

const { RELAY_URL: baseURL, RELAY_KEY: apiKey, STATS_URL } = process.env;
const ODD_FORMS = process.env.ODD_FORMS.split(" ");
const SLOW_ODD_FORMS = ["ids", "retry", "comments", "crlf"];
const SLOW_MODELS = ["mock-n5-i1500000", "mock-n3-d3000000", "fault-429-d2000000"];
const FAST_MODELS = [
  "mock-n50", "fault-429", "fault-404", "fault-401", "fault-reset", "fault-eof-no-done", "fault-error-frame",
  ...ODD_FORMS.map((form) => `fault-${form}`),
];
const messages = [{ role: "user", content: "What is a relay?" }];

const numbers = (text) => [...text.matchAll(/@t\d+:(\d+):/g)].map((match) => Number(match[1]));
const stats = async () => (await fetch(STATS_URL)).json();

async function read(create, textOf) {
  const began = performance.now();
  const events = await create();
  const openedSeconds = (performance.now() - began) / 1000;
  let text = "";
  for await (const event of events) text += textOf(event) ?? "";
  return { numbers: numbers(text), opened_seconds: openedSeconds };
}

const streamsOf = (client) => ({
  chat: (model) =>
    read(
      () => client.chat.completions.create({ model, messages, stream: true }),
      (chunk) => chunk.choices[0].delta.content,
    ),
  completions: (model) =>
    read(
      () => client.completions.create({ model, prompt: "What?", stream: true }),
      (chunk) => chunk.choices[0].text,
    ),
  responses: (model) =>
    read(
      () => client.responses.create({ model, input: "What?", stream: true }),
      (event) => (event.type === "response.output_text.delta" ? event.delta : ""),
    ),
});

async function wholeAnswers(client) {
  const chosen = (await client.chat.completions.create({ model: "mock-n3", messages })).choices[0].message.content;
  const completed = (await client.completions.create({ model: "mock-n3", prompt: "What?" })).choices[0].text;
  const response = (await client.responses.create({ model: "mock-n3", input: "What?" })).output_text;
  return [chosen, completed, response].map(numbers);
}

async function accumulated(client) {
  const chat = client.chat.completions.stream({ model: "mock-n3", messages });
  const response = client.responses.stream({ model: "mock-n3", input: "What?" });
  return [await chat.finalContent(), (await response.finalResponse()).output_text].map(numbers);
}

async function usage(client) {
  const options = { model: "mock-n3", messages, stream: true, stream_options: { include_usage: true } };
  const seen = [];
  for await (const chunk of await client.chat.completions.create(options)) {
    if (chunk.usage || !chunk.choices.length) seen.push([chunk.choices.length, chunk.usage.completion_tokens]);
  }
  return seen;
}

async function models(client) {
  const found = [];
  for await (const model of client.models.list()) found.push(model.id);
  return found;
}

async function embeddings(client) {
  const answer = await client.embeddings.create({ model: "demo", input: ["one", "two"] });
  return answer.data.map((item) => item.embedding.length);
}

// How often the upstream is asked when the client may ask three times.
async function asked(client, model) {
  const before = (await stats()).requests;
  const asking = client.chat.completions.create({ model, messages }, { maxRetries: 2 });
  await asking.catch(() => undefined);
  return (await stats()).requests - before;
}

// Waits for what the upstream's counters say, for five seconds at most.
async function until(isTrue) {
  const end = performance.now() + 5000;
  while (!isTrue(await stats()) && performance.now() < end) await pause(10);
}

// Seconds from leaving to the upstream's being stopped; `begin` resolves to what leaves.
async function left(begin) {
  const before = (await stats()).cancelled;
  const leave = await begin();
  const leftAt = performance.now();
  await leave();
  await until((now) => now.cancelled > before);
  return (performance.now() - leftAt) / 1000;
}

async function abortedStream(client, model) {
  const { signal, abort } = aborting();
  const stream = await client.chat.completions.create({ model, messages, stream: true }, { signal });
  await stream[Symbol.asyncIterator]().next();
  return abort;
}

async function brokenLoop(client) {
  const stream = await client.chat.completions.create({ model: "mock-n1000-i50000", messages, stream: true });
  return async () => {
    for await (const _ of stream) break;
  };
}

async function abortedBeforeTheFirstByte(client) {
  const { signal, abort } = aborting();
  const before = (await stats()).requests;
  const asking = client.chat.completions.create({ model: "mock-d20000000", messages }, { signal });
  const settled = asking.catch(() => undefined);
  await until((now) => now.requests > before);
  return async () => {
    abort();
    await settled;
  };
}

function aborting() {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}

function streamed(client, models) {
  const attempts = {};
  for (const [name, stream] of Object.entries(streamsOf(client))) {
    for (const model of models) attempts[`${name} ${model}`] = () => stream(model);
  }
  return attempts;
}

function slow(client) {
  const attempts = streamed(client, SLOW_MODELS);
  for (const form of SLOW_ODD_FORMS) {
    const model = `fault-${form}-n2-i1500000`;
    attempts[`chat ${model}`] = () => streamsOf(client).chat(model);
  }
  return attempts;
}

function fast(client, stranger) {
  return {
    "whole answers": () => wholeAnswers(client),
    "accumulated": () => accumulated(client),
    "usage": () => usage(client),
    "models": () => models(client),
    "embeddings": () => embeddings(client),
    "wrong key": () => models(stranger),
    ...streamed(client, FAST_MODELS),
  };
}

// What looks at the upstream's counters: no other may begin meanwhile, or be cancelled.
function counting(client) {
  return {
    "asked fault-500": () => asked(client, "fault-500"),
    "asked fault-redirect": () => asked(client, "fault-redirect"),
    "aborted mid-stream": () => left(() => abortedStream(client, "mock-n1000-i50000")),
    "aborted during silence": () => left(() => abortedStream(client, "mock-n2-i20000000")),
    "left its loop": () => left(() => brokenLoop(client)),
    "aborted before the first byte": () => left(() => abortedBeforeTheFirstByte(client)),
  };
}

export default function attempts(OpenAI) {
  const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
  const stranger = new OpenAI({ baseURL, apiKey: "rk_unknown", maxRetries: 0 });
  return { slow: slow(client), fast: fast(client, stranger), counting: counting(client) };
}
