/**
 * The demo page: one question, its stages, its answer as it comes. Whatever comes is shown as text, never as HTML.
 *
 * What the page says stands in `data-words` of its <main>, in the visitor's language. The file reads downwards: a run
 * from its start to its end, the buttons beside it, where the credential comes from, what is seen.
 */
import { RelayClient, RelayError } from "../relay-client.js";
import { checkWay, refusal } from "./check.js";

const WATCH_MS = 200;
const NEAR_PX = 40; // who has scrolled up further wants to read there

const byId = (id) => document.getElementById(id);
const words = JSON.parse(document.querySelector("main").dataset.words);
const language = document.documentElement.lang;
const inSeconds = new Intl.NumberFormat(language, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const inMs = new Intl.NumberFormat(language, { maximumSignificantDigits: 3 });
const inDollars = new Intl.NumberFormat(language, { style: "currency", currency: "USD", minimumFractionDigits: 4 });

let client; // for all questions, until one fails or the key is another
let clientKey;
let run; // the question that is being answered

byId("ask").addEventListener("submit", ask);
byId("stopBtn").addEventListener("click", stop);
byId("cutBtn").addEventListener("click", cut);
byId("checkBtn").addEventListener("click", check);
addEventListener("pagehide", () => run?.answer?.cancel()); // nobody is left to read it
measureLatency();

async function ask(event) {
  event.preventDefault();
  if (run) return;
  run = { begunAt: performance.now(), firstMs: 0, isBroken: false, resumed: 0, text: new Text() };
  const watch = setInterval(watchConnection, WATCH_MS);
  showStart();
  try {
    run.answer = currentClient().task(request());
    for await (const chunk of run.answer) take(chunk);
    if (run.answer.state === "cancelled") showStopped();
  } catch (error) {
    client = undefined; // the next question begins with a credential of its own
    showError(error);
  }
  clearInterval(watch);
  run = undefined;
  showEnd();
}

function request() {
  const [prompt, model] = ["prompt", "model"].map((id) => byId(id).value.trim());
  return model ? { prompt, model } : { prompt };
}

function take({ type, text, data }) {
  if (run.isBroken) showResumed();
  byId("cutBtn").disabled = false;
  if (type === "status") showStatus(data);
  if (text) showText(text);
  if (data?.progress >= 0) showProgress(data.progress);
  if (type === "complete") showComplete(data);
}

// --- the buttons beside it ---

async function stop() {
  showStage("stopping", "asking");
  await run?.answer?.cancel();
}

// As if the network had failed, in the middle of a word if it must be: the socket is closed, and nobody is told.
function cut() {
  run?.connection?.abort();
  if (run) showBroken();
}

function cuttableFetch(url, init = {}) {
  const connection = new AbortController();
  if (run && !init.keepalive) run.connection = connection;
  const signals = [init.signal, connection.signal].filter(Boolean);
  return fetch(url, { ...init, signal: AbortSignal.any(signals) });
}

// A connection may also break by itself.
function watchConnection() {
  if (run.answer?.state === "resuming" && !run.isBroken) showBroken();
}

async function check() {
  if (byId("key")?.reportValidity() === false) return;
  byId("checkBtn").disabled = true;
  byId("checkText").textContent = words.check.running;
  try {
    const { isLive, frames } = await checkWay(typedKey() ?? (await demoToken()));
    byId("checkText").textContent = filled(isLive ? words.check.live : words.check.held, { frames });
  } catch ({ code, message }) {
    byId("checkText").textContent = filled(words.check.failed, { message: own(words.codes, code) ?? message });
  }
  byId("checkBtn").disabled = false;
}

// --- the credential ---

function currentClient() {
  const key = typedKey();
  if (key !== clientKey) client = undefined;
  clientKey = key;
  client ??= new RelayClient({ getToken: () => key ?? demoToken(), fetch: cuttableFetch });
  return client;
}

function typedKey() {
  return byId("key")?.value.trim();
}

// While only the built-in demo answers, the relay gives this page a token that is good for a few minutes.
async function demoToken() {
  const answer = await fetch("token", { method: "POST" }).catch((cause) => {
    throw new RelayError("network", cause.message, { code: "connection_lost", cause });
  });
  if (!answer.ok) throw await refusal(answer);
  return (await answer.json()).value;
}

// --- what is seen ---

function showStart() {
  byId("result").replaceChildren();
  byId("error").replaceChildren();
  byId("error").hidden = true;
  byId("responseContainer").hidden = true;
  byId("responseContainer").replaceChildren(run.text);
  byId("responseContainer").setAttribute("aria-busy", "true");
  showProgress(0);
  showStage("asking", "asking");
  byId("run").hidden = false;
  byId("stopBtn").disabled = false;
  byId("cutBtn").disabled = true;
  moveFocus("startBtn", "stopBtn");
  byId("startBtn").disabled = true;
  showLabel(byId("startBtn"), words.running);
  byId("run").scrollIntoView({ block: "nearest" });
}

function showEnd() {
  showLabel(byId("startBtn"), words.start);
  byId("startBtn").disabled = false;
  moveFocus("stopBtn", "startBtn");
  moveFocus("cutBtn", "startBtn");
  byId("stopBtn").disabled = byId("cutBtn").disabled = true;
  byId("responseContainer").setAttribute("aria-busy", "false");
}

// Who works by keyboard must not lose the place because a button is switched off.
function moveFocus(from, to) {
  if (document.activeElement === byId(from)) byId(to).focus({ preventScroll: true });
}

// Of a stage that this page does not know: the message, else its name.
function showStatus({ stage, message, queue_depth: ahead }) {
  const label = own(words.stages, stage) ?? `▶️ ${message || stage}`;
  const suffix = stage === "queued" && ahead ? ` ${filled(words.ahead, { count: ahead })}` : "";
  showState(stage === "receiving" ? "flowing" : "asking");
  showLabel(byId("statusText"), label + suffix);
}

function showStage(stage, state) {
  showState(state);
  showLabel(byId("statusText"), words.stages[stage]);
}

function showState(state) {
  byId("wire").dataset.state = byId("run").dataset.state = state;
}

function showProgress(progress) {
  byId("progressFill").style.width = `${progress}%`;
  byId("progressBar").setAttribute("aria-valuenow", progress);
  byId("percent").textContent = `${Math.round(progress)} %`;
}

function showText(text) {
  const box = byId("responseContainer");
  const isAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_PX;
  run.firstMs ||= performance.now() - run.begunAt;
  run.text.appendData(text);
  box.hidden = false;
  if (isAtEnd) box.scrollTop = box.scrollHeight;
}

function showBroken() {
  run.isBroken = true;
  moveFocus("cutBtn", "stopBtn");
  byId("cutBtn").disabled = true;
  showStage("cut", "cut");
}

function showResumed() {
  run.isBroken = false;
  run.resumed += 1;
  showStage("resumed", "flowing");
}

function showComplete({ usage, cost_usd: cost, model }) {
  showStage("complete", "done");
  const priceless = byId("key") ? words.unknown : words.free; // without a price for the model
  showFacts({
    tokens: usage ? usage.input_tokens + usage.output_tokens : words.unknown,
    cost: typeof cost === "number" ? inDollars.format(cost) : priceless,
    model,
  });
}

function showStopped() {
  showStage("stopped", "stopped");
  showFacts({});
}

// Times are this page's own: from the button to what was seen.
function showFacts(more) {
  const seconds = `${inSeconds.format((performance.now() - run.begunAt) / 1000)} s`;
  const ttft = run.firstMs && `${inMs.format(run.firstMs)} ms`;
  const facts = Object.entries({ seconds, ttft, ...more, resumed: run.resumed && `${run.resumed} ×` });
  byId("result").replaceChildren(...facts.filter(([, value]) => value).map(([name, value]) => fact(name, value)));
}

function fact(name, value) {
  const [box, term, told] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
  term.textContent = words.facts[name];
  told.textContent = told.title = value;
  box.append(term, told);
  return box;
}

function showError({ kind, message, code, status, requestId, retryAfterMs }) {
  showStage("failed", kind === "network" || kind === "cors" ? "lost" : "failed");
  const what = document.createElement("p");
  what.textContent = filled(own(words.errors, kind) ?? words.errors.other, { message: own(words.codes, code) ?? message });
  const details = document.createElement("p");
  const wait = retryAfterMs && filled(words.retryAfter, { seconds: Math.ceil(retryAfterMs / 1000) });
  details.textContent = [wait, code, status && `HTTP ${status}`, requestId].filter(Boolean).join(" · ");
  byId("error").replaceChildren(what, details);
  byId("error").hidden = false;
}

// Its sign first, which a screen reader leaves out.
function showLabel(element, text) {
  const [sign, ...rest] = text.split(" ");
  const hidden = document.createElement("span");
  hidden.setAttribute("aria-hidden", "true");
  hidden.textContent = sign;
  element.replaceChildren(hidden, ` ${rest.join(" ")}`);
}

// Names come from outside: "constructor" is none of ours.
function own(table, name) {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

function filled(text, values) {
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

// The way to the relay and back, on a connection that is open already.
async function measureLatency() {
  const ping = () => fetch("../health/live", { cache: "no-store" }).then((answer) => answer.text());
  try {
    await ping();
    const begunAt = performance.now();
    await ping();
    byId("latency").textContent = `${inMs.format(performance.now() - begunAt)} ms`;
  } catch {
    byId("latency").textContent = words.unknown;
  }
}
