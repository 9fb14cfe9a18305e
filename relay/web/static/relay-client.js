/**
 * The relay's client for pages: an answer is asked for once, paid once, and read to its end whatever the network does.
 *
 *     const relay = new RelayClient({ getToken });
 *     for await (const { text } of relay.stream({ model, messages })) output.append(text);
 *
 * What breaks is resumed by GET, behind the last event. The POST, which costs money, is repeated only after a refusal
 * that says when (`Retry-After`), since then nothing was processed, and under the same `Idempotency-Key`.
 *
 * @import * as Types from "./relay-client.js"
 */

const ATTEMPTS_MAX = 5; // to come back without an event in between
const BACKOFF_MS = 1_000;
const BACKOFF_MS_MAX = 30_000;
const RETRY_AFTER_MS_MAX = 60_000; // a refusal for longer is final
const STALL_SECONDS = 45; // three of the relay's heartbeats
const LINGER_MS_MAX = 1_000;
const PROBE_MS_MAX = 5_000;
const QUEUE_POLL_MS = 50;
const MINUTE_MS = 60_000;

const EVENT_ID = /^(rs_[0-9A-Za-z]{22}):(\d+)$/;
const ENDS = new Set(["complete", "cancelled", "closed", "failed"]);
const LAST_TYPES = new Set(["message_stop", "response.completed", "response.failed", "response.incomplete"]);
const LOST = {
  connection_lost: "The connection was lost.",
  stalled: "The server was silent for too long.",
  event_missing: "A part of the answer is missing.",
  cors_refused: "The server does not let this page read its answers.",
};

/** One relay and one credential. Its streams share a limit, 5 at once and 60 a minute; who is beyond it waits. */
export class RelayClient {
  #link;

  /** @param {Types.ClientOptions} [options] */
  constructor(options) {
    this.#link = new Link(options);
  }

  /**
   * Ask for an answer: when it is iterated over, or at once where a callback is given.
   * @param {object} request the body without `stream: true` @param {Types.StreamOptions} [options]
   */
  stream(request, { path = "/v1/chat/completions", ...options } = {}) {
    return new Stream(this.#link, { path, body: { ...request, stream: true }, read: readAnswer }, options);
  }

  /** Start a task, and follow it. @param {object} request @param {Types.StreamOptions} [options] */
  task(request, { path = "/v1/tasks", ...options } = {}) {
    return new Stream(this.#link, { path, body: request, read: readTask }, options);
  }

  /**
   * Come back to what was left, from another page too, and read on. It costs nothing.
   * @param {Types.Bookmark} left the stream, or its `url` and `lastEventId` @param {Types.Options} [options]
   */
  resume({ url, lastEventId }, options = {}) {
    const read = url.includes("/v1/streams/") ? readAnswer : readTask;
    return new Stream(this.#link, { url, lastEventId, read }, options);
  }
}

/**
 * One answer: iterate over its chunks, or be called with them.
 *
 * An end without an error means that the answer is whole, unless the page itself said `cancel` or `close`: see `state`.
 * To leave the loop, or to abort the `signal`, is a `cancel`: nobody pays for what nobody reads.
 */
export class Stream {
  /** @type {Types.State} */
  state = "waiting";
  url = ""; // where the stream goes on; empty: it cannot be resumed
  lastEventId = "";

  #link;
  #plan;
  #signal;
  #idempotencyKey;
  #chunks = this.#follow();
  #over = new AbortController(); // ends every wait, once the page wants no more
  #connection = new AbortController(); // ends the connection that is open
  #posting; // the promise of the POST's answer
  #expired; // the promise of a token that has expired
  #endTurn = () => {};
  #reconnectMs = BACKOFF_MS; // until the server says another by `retry:`
  #hasText = false;

  /** @param {Link} link @param {Types.Plan} plan @param {Types.Options} options */
  constructor(link, plan, { signal, idempotencyKey = randomKey(), ...callbacks }) {
    [this.#link, this.#plan, this.#signal, this.#idempotencyKey] = [link, plan, signal, idempotencyKey];
    if (plan.url) this.url = link.urlOf(plan.url);
    if (plan.lastEventId) [this.lastEventId, this.#hasText] = [plan.lastEventId, true];
    if (signal?.aborted) this.cancel();
    signal?.addEventListener("abort", () => this.cancel(), { signal: this.#over.signal });
    if (Object.keys(callbacks).length > 0) this.#tell(callbacks);
  }

  [Symbol.asyncIterator]() {
    return this.#chunks;
  }

  /** Stop the answer where it is made: it costs no more. Tells whether the relay has confirmed; never rejects. */
  async cancel() {
    if (!this.#end("cancelled")) return false;
    await this.#posting?.catch(() => {}); // its answer names what is to be stopped
    this.#connection.abort();
    if (!this.url) return false; // nothing to stop, or stopped by leaving
    const request = { method: "POST", keepalive: true };
    return this.#link.fetch(cancelUrlOf(this.url), request).then((answer) => answer.ok, () => false);
  }

  /** Leave. The relay reads on for a while, so that `resume` misses nothing. */
  close() {
    if (this.#end("closed")) this.#connection.abort();
  }

  #end(state) {
    if (ENDS.has(this.state)) return false;
    this.state = state;
    this.#over.abort();
    return true;
  }

  #goOn(state) {
    this.#over.signal.throwIfAborted();
    this.state = state;
  }

  /** @param {Types.Callbacks} callbacks */
  async #tell({ onChunk, onStatus, onProgress, onComplete, onError }) {
    let last;
    try {
      for await (last of this) {
        onChunk?.(last);
        if (last.type === "status") onStatus?.(last.data);
        if (last.type === "progress") onProgress?.(last.data);
      }
    } catch (error) {
      if (!onError) throw error;
      return onError(error);
    }
    if (this.state === "complete") onComplete?.(last);
  }

  // Connection after connection, until the answer is complete or too many brought nothing new.
  async *#follow() {
    try {
      for (let failures = 0; this.state !== "complete"; ) {
        try {
          for await (const chunk of this.#read(await this.#open())) {
            failures = 0;
            yield chunk;
          }
        } catch (error) {
          if (!error?.retryable || failures === ATTEMPTS_MAX) throw error;
          await this.#pause(error, failures++);
        }
      }
    } catch (error) {
      this.#signal?.throwIfAborted();
      if (this.#end("failed")) throw await this.#link.explain(error);
    } finally {
      this.cancel(); // unless it has ended: the page has left its loop
      this.#over.abort();
      this.#endTurn();
    }
  }

  async #open() {
    this.#over.signal.throwIfAborted();
    this.#connection = new AbortController();
    if (this.url) return this.#get();
    this.#posting = this.#post();
    const response = await Promise.race([this.#posting, aborted(this.#over.signal)]);
    return response.status === 202 ? this.#get() : response;
  }

  // The request that is paid. Its answer holds the events, or says where they are (202: a task's).
  async #post() {
    this.#endTurn();
    this.#endTurn = await this.#link.limiter.enter(this.#over.signal);
    const asked = this.#link.token(this.#expired);
    const token = await Promise.race([asked, aborted(this.#over.signal)]);
    const headers = { "Content-Type": "application/json", "Idempotency-Key": this.#idempotencyKey };
    if (token) headers.Authorization = `Bearer ${token}`;
    const body = JSON.stringify(this.#plan.body);
    const response = await this.#fetch(this.#link.urlOf(`.${this.#plan.path}`), { method: "POST", headers, body });
    if (!response.ok) throw await this.#refusal(response, asked);
    const isTask = response.status === 202;
    const told = isTask && (await this.#alive("network", response.json()));
    const url = isTask ? told.stream_url : response.headers.get("Relay-Stream-Url");
    if (url) this.url = this.#link.urlOf(url);
    return response;
  }

  async #get() {
    const headers = this.lastEventId ? { "Last-Event-ID": this.lastEventId } : {};
    const response = await this.#fetch(this.url, { headers, cache: "no-store" });
    if (!response.ok) throw await this.#refusal(response);
    return response;
  }

  #fetch(url, init) {
    return this.#alive("network", this.#link.fetch(url, { ...init, signal: this.#connection.signal }));
  }

  // What is new in one connection. Returns when the answer is complete; throws when the connection broke.
  async *#read({ status, headers, body }) {
    if (status === 204) return this.#goOn("complete"); // all of it had come before
    const isStream = headers.get("Content-Type")?.startsWith("text/event-stream");
    if (!isStream) throw this.#refused({ code: "no_event_stream", message: "The answer is no event stream." });
    const reader = body.getReader();
    const parser = new SseParser();
    try {
      for (this.#goOn("open"); ; ) {
        const { done, value } = await this.#alive("truncated", reader.read());
        if (done) throw this.#lost("truncated", "connection_lost");
        const events = parser.feed(value);
        this.#reconnectMs = parser.retryMs ?? this.#reconnectMs;
        for (const event of events) {
          this.#goOn("open");
          if (this.#hadBefore(event)) continue;
          const { chunk, error, last } = this.#plan.read(event);
          const isRestart = error?.code === "relay_draining" && !event.id; // what has no number is not of the answer
          if (error) throw this.#refused({ ...error, retryable: isRestart && this.url !== "" });
          this.lastEventId = event.id ?? this.lastEventId;
          if (chunk?.text) this.#hasText = true;
          if (last) this.#goOn("complete");
          if (chunk) yield chunk;
          if (last) return drain(reader, body);
        }
      }
    } finally {
      if (this.state !== "complete") this.#connection.abort();
    }
  }

  // An event that does not follow the last one is as bad as a broken connection.
  #hadBefore({ id = "" }) {
    const [, stream, number] = EVENT_ID.exec(id) ?? [];
    if (!stream) return false; // nothing to count by
    const [, before = stream, seen = 0] = EVENT_ID.exec(this.lastEventId) ?? [];
    if (stream !== before || Number(number) > Number(seen) + 1) throw this.#lost("truncated", "event_missing");
    return Number(number) <= Number(seen);
  }

  // Wait for a sign of life; every byte is one, so heartbeats count. Silence ends the connection.
  async #alive(kind, sign) {
    const connection = this.#connection;
    const timer = setTimeout(() => connection.abort(), this.#link.stallMs);
    try {
      return await sign;
    } catch (cause) {
      throw this.#lost(kind, connection.signal.aborted ? "stalled" : "connection_lost", cause);
    } finally {
      clearTimeout(timer);
    }
  }

  // A connection has failed. Where the stream can be resumed, the answer has not.
  #lost(kind, code, cause) {
    return new RelayError(kind, LOST[code], { code, cause, retryable: this.url !== "" });
  }

  #refused({ message, ...details }) {
    return new RelayError(this.#hasText ? "truncated" : "refused", message, details);
  }

  async #refusal(response, asked) {
    const { status, headers } = response;
    const said = saidIn(await this.#alive("network", response.json().catch(() => ({}))));
    const renews = said.code === "token_expired" && asked && !this.#expired; // nothing was processed: once more
    if (renews) this.#expired = asked;
    const retryAfterMs = renews ? 0 : retryAfterMsOf(headers);
    const mayEnd = headers.get("x-should-retry") !== "false" && (retryAfterMs ?? 0) <= RETRY_AFTER_MS_MAX;
    const isFree = this.url ? [408, 429].includes(status) || status >= 500 : retryAfterMs !== undefined;
    const message = said.message || `The server answered ${status}.`;
    const requestId = headers.get("X-Request-Id") ?? "";
    return this.#refused({ ...said, message, status, requestId, retryAfterMs, retryable: mayEnd && isFree });
  }

  async #pause({ retryAfterMs }, failures) {
    this.#goOn("resuming");
    const waitMs = retryAfterMs ?? Math.min(this.#reconnectMs * 2 ** failures, BACKOFF_MS_MAX);
    const jitterMs = Math.random() * Math.min(waitMs, BACKOFF_MS); // those who fell together do not rise together
    await pause(waitMs + jitterMs, this.#over.signal);
  }
}

// What an event of an answer says, on any of the routes.
function readAnswer({ type, id, data: raw }) {
  if (raw.trim() === "[DONE]") return { last: true };
  const data = parsed(raw);
  const failed = [data, data?.response].find((part) => part?.error);
  if (failed) return { error: saidIn(failed) };
  return { chunk: { type, id, text: textOf(data), data }, last: LAST_TYPES.has(data?.type) };
}

// What is new in the text; of several choices, in the first.
function textOf(data) {
  const choice = data?.choices?.find?.((one) => !one?.index);
  const delta = data?.type === "response.output_text.delta" ? data.delta : data?.delta?.text;
  const text = choice?.delta?.content ?? choice?.message?.content ?? choice?.text ?? delta;
  return typeof text === "string" ? text : "";
}

// What an event of a task says. Its failure is named `failed`, or `error` on the alias /stream/.
function readTask({ type, id, data: raw }) {
  const data = parsed(raw);
  if (type === "failed" || type === "error") return { error: saidIn(data) };
  return { chunk: { type, id, text: data?.chunk ?? "", data }, last: type === "complete" };
}

function parsed(raw) {
  try {
    return JSON.parse(raw);
  } catch {
    return raw;
  }
}

// An error is told as an object, as a code with a message beside it, or as a message alone.
function saidIn(told) {
  const { error, message } = told ?? {};
  if (typeof error === "string") return message ? { code: error.toLowerCase(), message } : { code: "", message: error };
  return { code: String(error?.code ?? error?.type ?? ""), message: error?.message ?? "", status: error?.status };
}

// The way to one relay, which streams share.
class Link {
  #token; // its promise

  /** @param {Types.ClientOptions} options */
  constructor({ baseUrl, getToken, limiter = new Limiter(), stallSeconds = STALL_SECONDS, fetch: send } = {}) {
    this.base = baseUrl ? `${baseUrl.replace(/\/+$/, "")}/` : import.meta.url; // the relay serves this file
    this.limiter = limiter;
    this.stallMs = stallSeconds * 1000;
    this.fetch = send ?? ((url, init) => fetch(url, init));
    this.getToken = async () => getToken?.();
  }

  urlOf(path) {
    return new URL(path, this.base).href;
  }

  // One for all streams, until one has seen it expire.
  token(expired) {
    if (this.#token && this.#token !== expired) return this.#token;
    this.#token = this.getToken();
    this.#token.catch(() => (this.#token = undefined));
    return this.#token;
  }

  // Whether it was CORS is inferred: fetch tells its refusal and a dead server by the same TypeError. So we ask for
  // /health/live, with a header that takes a preflight. Readable: CORS is in order, the network was not (or a proxy
  // answered without CORS). Only reached (no-cors): CORS refuses this page. Neither: there is no server; or the page's
  // own policy (CSP, mixed content) forbids it, which looks the same.
  async explain(error) {
    if (error?.kind !== "network" || error.code !== "connection_lost") return error;
    if (await this.#reaches({ headers: { "Idempotency-Key": "probe" } })) return error;
    if (!(await this.#reaches({ mode: "no-cors" }))) return error;
    return new RelayError("cors", LOST.cors_refused, { code: "cors_refused", cause: error.cause });
  }

  #reaches(init) {
    const probe = { ...init, cache: "no-store", signal: AbortSignal.timeout(PROBE_MS_MAX) };
    return this.fetch(this.urlOf("./health/live"), probe).then(() => true, () => false);
  }
}

/** Lets so many in at once and in a minute. The others wait, first come, first served. */
export class Limiter {
  #atOnce;
  #perMinute;
  #queue = new Set();
  #inside = new Set();
  #entries = []; // when the latest came in, of performance.now()

  constructor(atOnce = 5, perMinute = 60) {
    [this.#atOnce, this.#perMinute] = [atOnce, perMinute];
  }

  /** Wait for a place, unless the signal aborts. @param {AbortSignal} [signal] @returns what gives the place back */
  async enter(signal = new AbortController().signal) {
    signal.throwIfAborted();
    const place = {};
    this.#queue.add(place);
    try {
      while (!this.#mayEnter(place)) await pause(QUEUE_POLL_MS, signal);
    } finally {
      this.#queue.delete(place);
    }
    this.#inside.add(place);
    this.#entries = [...this.#entries, performance.now()].slice(-this.#perMinute);
    return () => void this.#inside.delete(place);
  }

  #mayEnter(place) {
    const [next] = this.#queue;
    const isQuiet = this.#entries.length < this.#perMinute || performance.now() - this.#entries[0] >= MINUTE_MS;
    return place === next && this.#inside.size < this.#atOnce && isQuiet;
  }
}

/** Reads an event stream as WHATWG HTML 9.2.6 has it: bytes in, events out, wherever the bytes are cut. */
export class SseParser {
  lastEventId = ""; // as an EventSource would have it now
  /** @type {number | undefined} */
  retryMs;

  #decoder = new TextDecoder(); // takes one BOM away
  #line = "";
  #endsInCr = false;
  #type = "";
  #data = "";
  #id;

  /** @param {Uint8Array} bytes @returns {Types.SseEvent[]} what these have completed */
  feed(bytes) {
    let text = this.#decoder.decode(bytes, { stream: true });
    if (text === "") return [];
    if (this.#endsInCr && text[0] === "\n") text = text.slice(1); // the other half of a CRLF
    this.#endsInCr = text.endsWith("\r");
    const lines = text.split(/\r\n?|\n/);
    lines[0] = this.#line + lines[0];
    this.#line = lines.pop() ?? "";
    return lines.flatMap((line) => (line === "" ? this.#dispatch() : this.#take(line)));
  }

  #take(line) {
    const [, name, value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (name === "event") this.#type = value;
    if (name === "data") this.#data += `${value}\n`;
    if (name === "id" && !value.includes("\0")) this.#id = value;
    if (name === "retry" && /^\d+$/.test(value)) this.retryMs = Number(value);
    return [];
  }

  #dispatch() {
    const [type, data, id] = [this.#type || "message", this.#data, this.#id];
    [this.#type, this.#data, this.#id] = ["", "", undefined];
    this.lastEventId = id ?? this.lastEventId;
    return data === "" ? [] : [{ type, data: data.slice(0, -1), id, lastEventId: this.lastEventId }];
  }
}

/** Why there is no answer, or not all of it; relay-client.d.ts says what the kinds mean. */
export class RelayError extends Error {
  name = "RelayError";

  /** @param {Types.ErrorKind} kind @param {string} message @param {Types.ErrorDetails} details */
  constructor(kind, message, { cause, ...details }) {
    super(message, { cause });
    Object.assign(this, { kind, code: "", status: 0, requestId: "", retryable: false }, details);
  }
}

// `Retry-After` is seconds or a date (RFC 9110 10.2.3); `retry-after-ms` is finer.
function retryAfterMsOf(headers) {
  const [ms, after] = ["retry-after-ms", "Retry-After"].map((name) => headers.get(name) ?? "");
  const waits = [parseFloat(ms), parseFloat(after) * 1000, Date.parse(after) - Date.now()];
  const waitMs = waits.find(Number.isFinite);
  return waitMs === undefined ? undefined : Math.max(waitMs, 0);
}

// Beside the events: /v1/streams/ID/events, /v1/tasks/ID/events, or its alias /stream/ID.
function cancelUrlOf(url) {
  const events = url.replace(/\/stream\/([^/?]+)(?=\?|$)/, "/v1/tasks/$1/events");
  return events.replace(/\/events(?=\?|$)/, "/cancel");
}

// A connection that is not read to its end cannot serve again.
function drain(reader, body) {
  reader.releaseLock();
  body.pipeTo(new WritableStream(), { signal: AbortSignal.timeout(LINGER_MS_MAX) }).catch(() => {});
}

async function pause(waitMs, signal) {
  const over = new AbortController();
  let timer;
  const elapsed = new Promise((resolve) => (timer = setTimeout(resolve, waitMs)));
  await Promise.race([elapsed, aborted(signal, over.signal)]).finally(() => (clearTimeout(timer), over.abort()));
}

function aborted(signal, until) {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { signal: until });
  });
}

// A page without TLS has no randomUUID.
function randomKey() {
  return crypto.randomUUID?.() ?? crypto.getRandomValues(new Uint32Array(4)).join("-");
}
