// What the founding tutorials' clients (seed_client.mjs) make of the relay: one JSON object on standard output.
// Run by test_seed_clients.py.
import { setTimeout as pause } from "node:timers/promises";

import { PatientClient, RobustClient, SeedClient, retryWithBackoff } from "./seed_client.mjs";

const { RELAY_URL, RELAY_KEY, DEFAULT_KEY, SINGLE_KEY, STATS_URL, MODELS, SLOW_MODELS } = process.env;
const baseUrl = RELAY_URL.replace(/\/v1$/, "");
const PATHS = ["/v1/chat/completions", "/api/chat/stream"];

const stats = async () => (await fetch(STATS_URL)).json();

// What a page would have shown in the end, and whether it would have said that the answer is complete.
async function shown(client, model, path) {
  const seen = { numbers: [], completed: 0, failed: null };
  const options = { path, onChunk: (text) => seen.numbers.push(...numbers(text)), onComplete: () => seen.completed++ };
  try {
    await client.stream(model, options);
  } catch (error) {
    seen.failed = error.message;
  }
  return seen;
}

const numbers = (text) => [...text.matchAll(/@t\d+:(\d+):/g)].map((match) => Number(match[1]));

// Waits for what the upstream's counters say, for five seconds at most.
async function until(isTrue) {
  const end = performance.now() + 5000;
  while (!isTrue(await stats()) && performance.now() < end) await pause(10);
}

// Seconds from `leave` to the upstream's being stopped.
async function stopped(before, leave) {
  const leftAt = performance.now();
  await leave();
  await until((now) => now.cancelled > before);
  return (performance.now() - leftAt) / 1000;
}

// Resolves with the first chunk, to an object that holds the promise of the stream's end.
async function firstChunk(client, model) {
  let ended;
  await new Promise((onChunk, reject) => {
    ended = client.stream(model, { onChunk });
    ended.catch(reject);
  });
  return { ended };
}

async function timedOut() {
  const before = (await stats()).cancelled;
  const seen = await shown(new RobustClient(SINGLE_KEY, baseUrl, 800), "mock-n1000-i50000");
  return { failed: seen.failed, cancelSeconds: await stopped(before, () => {}), next: await nextOnTheOnlySlot() };
}

async function cancelled() {
  const before = (await stats()).cancelled;
  const client = new RobustClient(SINGLE_KEY, baseUrl);
  const { ended } = await firstChunk(client, "mock-n2-i20000000");
  const cancelSeconds = await stopped(before, () => client.cancelStream());
  const failed = await ended.catch((error) => error.message);
  return { failed, cancelSeconds, next: await nextOnTheOnlySlot() };
}

const nextOnTheOnlySlot = async () => (await shown(new SeedClient(SINGLE_KEY, baseUrl), "mock-n1")).numbers;

async function atOnce(client, count) {
  const all = await Promise.all(Array.from({ length: count }, () => shown(client, "mock-n6-i100000")));
  return all.map((seen) => seen.failed ?? "done").sort();
}

async function refusedInFlatShape(headers) {
  const response = await fetch(`${baseUrl}/api/chat/stream`, { method: "POST", headers, body: "{}" });
  return [response.status, await response.json()];
}

// The first attempt meets a stream on the key's only slot.
async function retried() {
  const client = new SeedClient(SINGLE_KEY, baseUrl);
  const { ended } = await firstChunk(client, "mock-n7-i100000");
  let attempts = 0;
  const texts = [];
  await retryWithBackoff(() => (attempts++, client.stream("mock-n2", { onChunk: (text) => texts.push(text) })));
  await ended;
  return { attempts, numbers: numbers(texts.join("")) };
}

const client = new SeedClient(RELAY_KEY, baseUrl);
const stranger = new SeedClient("rk_unknown", baseUrl);
const slow = {};
const quick = {
  "flat, no key": () => refusedInFlatShape({ "Content-Type": "application/json" }),
  "flat, wrong key, German": () =>
    refusedInFlatShape({ "Authorization": "Bearer rk_unknown", "Accept-Language": "de" }),
};
for (const path of PATHS) {
  for (const model of SLOW_MODELS.split(" ")) slow[`${path} ${model}`] = () => shown(client, model, path);
  for (const model of MODELS.split(" ")) quick[`${path} ${model}`] = () => shown(client, model, path);
  quick[`${path} wrong key`] = () => shown(stranger, "demo", path);
}
const outcomes = {};
// What counts cancelled streams, or a key's slots, is tried one by one.
const oneByOne = {
  "timed out": timedOut,
  "cancelled": cancelled,
  "retried": retried,
  "twelve, five at a time": () => atOnce(new PatientClient(DEFAULT_KEY, baseUrl), 12),
  "six at once": () => atOnce(new SeedClient(DEFAULT_KEY, baseUrl), 6),
};

// One attempt that fails in a way that nobody thought of must not hide the others.
async function tryOne([name, attempt]) {
  outcomes[name] = await attempt().catch((error) => ({ broke: String(error) }));
}

// Eight at a time besides the slow ones: a crowd would be a load test.
async function tryInTurn(entries) {
  const left = entries.values();
  const one = async () => {
    for (const entry of left) await tryOne(entry);
  };
  await Promise.all(Array.from({ length: 8 }, one));
}

const begun = Object.entries(slow).map(tryOne);
await tryInTurn(Object.entries(quick));
for (const entry of Object.entries(oneByOne)) await tryOne(entry);
await Promise.all(begun);
console.log(JSON.stringify(outcomes));
